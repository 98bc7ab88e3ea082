//! Who a client is, as far as its address tells.

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use super::leave::Leaves;

/// A source as budgets know it: an IPv4 address, or the /64 that an IPv6 host of the internet has to
/// itself. A local or private IPv6 network has many hosts in one; this host is one, however many
/// addresses it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(u128);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        let global = |address: Ipv6Addr| address.segments()[0] & 0xe000 == 0x2000;
        match address.to_canonical() {
            address if address.is_loopback() => Self(u128::from(Ipv6Addr::LOCALHOST)),
            IpAddr::V4(address) => Self(u128::from(address.to_ipv6_mapped())),
            IpAddr::V6(address) if global(address) => Self(u128::from(address) & !u128::from(u64::MAX)),
            IpAddr::V6(address) => Self(u128::from(address)),
        }
    }
}

/// Which sources are let through a listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowlist {
    /// Beside loopback.
    networks: Rc<Leaves>,
    /// Whoever comes in on a card that is a VPN's.
    vpn: bool,
}

impl Allowlist {
    /// Loopback and these networks; whoever a VPN's listener hears, too.
    pub(crate) fn new(networks: Rc<Leaves>, vpn: bool) -> Self {
        Self { networks, vpn }
    }

    /// Whether a client at this address may ask. IPv4 inside IPv6 is unwrapped first.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.vpn || address.is_loopback() || self.networks.cover(address)
    }
}

/// Whether an address is this host's own, by number.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_and_the_networks_named_are_let_through_in_either_spelling() {
        let network = ("192.168.1.0/24".parse().unwrap(), jiff::Timestamp::MAX);
        let list = Allowlist::new(Rc::new(Leaves::new([network], crate::sys::clock::now())), false);
        for inside in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "192.168.1.9", "::ffff:192.168.1.9"] {
            assert!(list.admits(address(inside)), "{inside}");
        }
        for outside in ["192.168.2.9", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0", "::"] {
            assert!(!list.admits(address(outside)), "{outside}");
        }
    }

    #[test]
    fn this_host_is_one_source_and_a_private_network_many() {
        let same = |one: &str, other: &str| Source::of(address(one)) == Source::of(address(other));
        assert!(
            same("127.0.0.1", "127.9.9.9") && same("127.0.0.1", "::1") && same("10.0.0.1", "::ffff:10.0.0.1")
        );
        assert!(same("2001:db8::1", "2001:db8::2") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2") && !same("fe80::1", "fe80::2"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn whoever_a_vpn_lets_in_is_let_through_its_listener() {
        assert!(Allowlist::new(Rc::default(), true).admits(address("100.64.7.7")));
        assert!(!Allowlist::new(Rc::default(), false).admits(address("100.64.7.7")));
    }
}
