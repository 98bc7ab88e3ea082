//! The addresses of this host and the interfaces that have them.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use guardian_rules::address::Scope;
#[cfg(target_os = "linux")]
use guardian_rules::address::is_tunnel_kind;
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
        Blindness::new(cause(&error), format!("the addresses of this host cannot be listed: {error}"))
    })?;
    let found = found.into_iter().map(address).collect();
    complete(with_tunnels(found, kernels_tunnels)?, loopback_works)
}

fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Cause::Denied,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cause::TimedOut,
        _ => Cause::Interrupted,
    }
}

/// Notes which interfaces the kernel says are VPNs'. It is asked where a name leaves it open alone; where it does not
/// answer, a VPN would pass for a local network, and the list is none.
fn with_tunnels(
    mut list: Vec<InterfaceAddress>,
    ask: impl FnOnce() -> Result<BTreeSet<u32>, Blindness>,
) -> Result<Vec<InterfaceAddress>, Blindness> {
    let is_open = |own: &InterfaceAddress| Scope::Vpn < own.scope() && own.scope() < Scope::Global;
    if list.iter().any(is_open) {
        let tunnels = ask()?;
        for own in &mut list {
            own.tunnel = own.index.is_some_and(|index| tunnels.contains(&index));
        }
    }
    Ok(list)
}

/// The numbers of VPNs' interfaces.
#[cfg(target_os = "linux")]
fn kernels_tunnels() -> Result<BTreeSet<u32>, Blindness> {
    let links = crate::guests::link::read().map_err(|error| {
        Blindness::new(cause(&error), format!("the kernel does not tell which interfaces are VPNs': {error}"))
    })?;
    Ok(links.into_iter().filter(|it| is_tunnel_kind(&it.kind, it.tun)).map(|it| it.index).collect())
}

/// On a Mac every tunnel is a `utun`.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
fn kernels_tunnels() -> Result<BTreeSet<u32>, Blindness> {
    Ok(BTreeSet::new())
}

fn address(found: if_addrs::Interface) -> InterfaceAddress {
    let (ip, prefix) = match &found.addr {
        if_addrs::IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
        if_addrs::IfAddr::V6(v6) if cfg!(target_os = "macos") => (without_scope(v6.ip).into(), v6.prefixlen),
        if_addrs::IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
    };
    InterfaceAddress { interface: found.name, index: found.index, address: ip, prefix, tunnel: false }
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
        list.into_iter().map(|own| (own.index, own.interface, own.address, own.prefix, own.tunnel)).collect();
    if !list.iter().any(|(_, _, address, ..)| address.is_loopback()) && loopback_works() {
        return Err(Blindness::malformed(
            "the list of this host's addresses has no loopback address, though loopback works",
        ));
    }
    Ok(list
        .into_iter()
        .map(|(index, interface, address, prefix, tunnel)| InterfaceAddress {
            interface,
            index,
            address,
            prefix,
            tunnel,
        })
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
            tunnel: false,
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
    fn the_kernel_says_which_interface_is_a_vpns_and_is_asked_where_the_name_does_not() {
        let office = |index| InterfaceAddress { index: Some(index), ..own("office", "10.8.0.2") };
        let scopes = |list, tunnels: &[u32]| {
            let tunnels: BTreeSet<u32> = tunnels.iter().copied().collect();
            let list = with_tunnels(list, || Ok(tunnels)).unwrap();
            list.iter().map(InterfaceAddress::scope).collect::<Vec<_>>()
        };
        assert_eq!(scopes(vec![office(7), office(8)], &[7]), [Scope::Vpn, Scope::Private]);
        assert_eq!(scopes(vec![office(7)], &[]), [Scope::Private], "it says that it is none");
        let silent = || Err(Blindness::timed_out("it does not answer"));
        assert_eq!(with_tunnels(vec![office(7)], silent).unwrap_err().cause, Cause::TimedOut);
        let settled = vec![own("lo", "127.0.0.1"), own("wg0", "10.8.0.2"), own("eth0", "8.8.8.8")];
        let settled = with_tunnels(settled, || panic!("there is nothing to ask")).unwrap();
        assert!(settled.iter().all(|own| !own.tunnel));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_tun_device_of_any_name_is_a_vpns_and_a_tap_device_and_a_bridge_are_not() {
        use std::process::Command;

        use nix::sched::{CloneFlags, unshare};
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("left out: a network namespace needs root");
            return;
        }
        let own_network = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let ip = |line: &str| Command::new("ip").args(line.split(' ')).status().unwrap().success();
            assert!(ip("link set lo up"));
            let made =
                ["tuntap add office mode tun", "tuntap add guest mode tap", "link add shelf type bridge"];
            if !made.iter().all(|line| ip(line)) {
                eprintln!("left out: this kernel has no TUN devices");
                return;
            }
            for (place, card) in ["office", "guest", "shelf"].into_iter().enumerate() {
                assert!(ip(&format!("addr add 10.9.{place}.1/24 dev {card}")));
            }
            let list = read().unwrap();
            let scope = |card: &str| list.iter().find(|own| own.interface == card).unwrap().scope();
            assert_eq!(
                (scope("office"), scope("guest"), scope("shelf")),
                (Scope::Vpn, Scope::Private, Scope::Private)
            );
        };
        std::thread::spawn(own_network).join().unwrap();
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
