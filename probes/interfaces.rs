//! The addresses of this host and the interfaces that have them.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::InterfaceAddress;
use guardian_rules::snapshot::ProbeId;

use crate::listeners::socket::is_link_local;
use crate::probe::{Ground, Probe, blocking};

/// The probe.
#[derive(Debug, Default)]
pub struct Interfaces;

impl Probe for Interfaces {
    type Facts = Vec<InterfaceAddress>;
    const ID: ProbeId = ProbeId::Interfaces;
    const CADENCE: Duration = Duration::from_secs(1);
    const DEADLINE: Duration = Duration::from_secs(2);

    async fn observe(&mut self, _: Ground) -> Result<Vec<InterfaceAddress>, Blindness> {
        blocking(read).await
    }
}

/// Reads them with getifaddrs(3), ordered by interface and address. Addresses of interfaces that
/// are down are listed too: they come up without notice.
pub fn read() -> Result<Vec<InterfaceAddress>, Blindness> {
    let found = if_addrs::get_if_addrs().map_err(|error| {
        let cause = match error.kind() {
            io::ErrorKind::PermissionDenied => Cause::Denied,
            _ => Cause::Interrupted,
        };
        Blindness::new(cause, format!("the addresses of this host cannot be listed: {error}"))
    })?;
    complete(found.into_iter().map(address).collect(), loopback_works)
}

fn address(found: if_addrs::Interface) -> InterfaceAddress {
    let (ip, prefix) = match &found.addr {
        if_addrs::IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
        if_addrs::IfAddr::V6(v6) if cfg!(target_os = "macos") => (without_scope(v6.ip).into(), v6.prefixlen),
        if_addrs::IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
    };
    InterfaceAddress { interface: found.name, index: found.index, address: ip, prefix }
}

/// The address without the interface number that BSD kernels keep in the second word of a
/// link-local one (KAME's embedded scope).
#[must_use]
pub(crate) fn without_scope(address: Ipv6Addr) -> Ipv6Addr {
    if !is_link_local(address) {
        return address;
    }
    let mut segments = address.segments();
    let [_, scope, ..] = &mut segments;
    *scope = 0;
    segments.into()
}

/// A list without a loopback address is believed only where loopback does not work, as in a
/// network namespace that nobody has set up; else something has been left out of it.
fn complete(
    list: Vec<InterfaceAddress>,
    loopback_works: impl FnOnce() -> bool,
) -> Result<Vec<InterfaceAddress>, Blindness> {
    let list: BTreeSet<_> =
        list.into_iter().map(|own| (own.index, own.interface, own.address, own.prefix)).collect();
    if !list.iter().any(|(_, _, address, _)| address.is_loopback()) && loopback_works() {
        return Err(Blindness::malformed(
            "the list of this host's addresses has no loopback address, though loopback works",
        ));
    }
    Ok(list
        .into_iter()
        .map(|(index, interface, address, prefix)| InterfaceAddress { interface, index, address, prefix })
        .collect())
}

/// Whether there is a way to loopback. Connecting a UDP socket asks for the route and sends nothing.
fn loopback_works() -> bool {
    let way = |own: IpAddr| UdpSocket::bind((own, 0)).and_then(|socket| socket.connect((own, 9)));
    way(Ipv4Addr::LOCALHOST.into()).is_ok() || way(Ipv6Addr::LOCALHOST.into()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(interface: &str, address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.into(),
            index: Some(1),
            address: address.parse().unwrap(),
            prefix: 8,
        }
    }

    #[test]
    fn this_host_has_loopback_with_its_prefix_and_interface() {
        let list = read().unwrap();
        let loopback = list.iter().find(|own| own.address == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert_eq!(loopback.prefix, 8);
        assert!(loopback.interface.starts_with("lo"), "{loopback:?}");
        assert!(loopback.index.is_some());
    }

    #[test]
    fn a_list_without_loopback_is_not_believed_where_loopback_works() {
        let list = vec![own("eth0", "10.0.0.1")];
        assert_eq!(complete(list.clone(), || true).unwrap_err().cause, Cause::Malformed);
        assert_eq!(complete(Vec::new(), || true).unwrap_err().cause, Cause::Malformed);
        assert_eq!(complete(list.clone(), || false), Ok(list));
        assert_eq!(complete(Vec::new(), || false), Ok(Vec::new()));
    }

    #[test]
    fn an_address_is_listed_once_per_interface() {
        let list = vec![own("lo", "127.0.0.1"), own("lo", "127.0.0.1"), own("eth0", "10.0.0.1")];
        assert_eq!(complete(list, || true).unwrap().len(), 2);
    }

    #[test]
    fn the_scope_within_a_link_local_address_is_taken_out() {
        let plain = |text: &str| without_scope(text.parse().unwrap()).to_string();
        assert_eq!(plain("fe80:4::1"), "fe80::1");
        assert_eq!(plain("fd00:4::1"), "fd00:4::1");
    }
}
