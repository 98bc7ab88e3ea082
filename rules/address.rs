//! Who can reach an address.

use std::fmt;
use std::net::IpAddr;

/// How far an address of this host reaches, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Programs on this host.
    Loopback,
    /// Members of a virtual private network: a tunnel interface.
    Vpn,
    /// Hosts on the same wire or Wi-Fi.
    LinkLocal,
    /// The local network: RFC 1918, and unique local addresses of RFC 4193.
    Private,
    /// The provider's network: 100.64.0.0/10 of RFC 6598 on an ordinary interface.
    Shared,
    /// Everybody, as far as no firewall on the way stops them.
    Global,
}

impl Scope {
    /// Who can reach an address of this scope, for a sentence.
    #[must_use]
    pub fn audience(self) -> &'static str {
        match self {
            Self::Loopback => "programs on this host",
            Self::Vpn => "members of this VPN",
            Self::LinkLocal => "every device on the same wire or Wi-Fi",
            Self::Private => "everyone on the local network",
            Self::Shared => "everyone in the provider's network",
            Self::Global => "the internet, unless a firewall on the way stops it",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Vpn => "VPN",
            Self::LinkLocal => "link-local",
            Self::Private => "private network",
            Self::Shared => "shared address space",
            Self::Global => "global",
        })
    }
}

/// Interfaces of VPNs: a prefix, and whether only digits may follow it.
///
/// Left out on purpose: `ppp` (also a provider's line), `tap` and `vnet` (also a guest's card),
/// `tunl`, `sit` and `gre` (tunnels without a membership).
const TUNNELS: &[(&str, bool)] = &[
    ("utun", true),
    ("tun", true),
    ("wg", false),
    ("tailscale", false),
    ("zt", false),
    ("nebula", false),
    ("nordlynx", false),
    ("proton", false),
    ("mullvad", false),
    ("wt", true),
    ("ham", true),
    ("feth", true),
    ("ipsec", true),
];

/// Whether an interface of this name is a VPN's. The name is enough, though a bridge or a container's cable could have
/// it: only whoever administers this host gives names, and a system that tells nothing else has nothing but them.
#[must_use]
pub fn is_tunnel(interface: &str) -> bool {
    let interface = without_alias(interface);
    TUNNELS.iter().any(|(prefix, digits_only)| {
        interface.strip_prefix(prefix).is_some_and(|rest| {
            !digits_only || (!rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        })
    })
}

/// The interface itself: `eth0:1` is an alias, a second address of `eth0`.
#[must_use]
pub fn without_alias(interface: &str) -> &str {
    interface.split_once(':').map_or(interface, |(interface, _)| interface)
}

/// An IPv4-mapped IPv6 address as the IPv4 address it is.
#[must_use]
pub fn unmap(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether what the kernel calls an interface's driver is a VPN's. A TUN device has a program of this host at its other
/// end, and no wire; a TAP device, which has the same driver, may be a guest's card.
#[must_use]
pub fn is_tunnel_kind(kind: &str, tun: bool) -> bool {
    matches!(kind, "wireguard" | "amneziawg" | "ovpn" | "ovpn-dco") || (kind == "tun" && tun)
}

/// How far an address on an interface of this name reaches.
#[must_use]
pub fn scope(interface: &str, address: IpAddr) -> Scope {
    scope_of(interface, false, address)
}

/// How far an address on an interface reaches that is a VPN's by its name, or because the kernel says so.
///
/// A global address stays global on a tunnel: some VPNs hand out addresses that the whole
/// internet can reach.
#[must_use]
pub fn scope_of(interface: &str, tunnel: bool, address: IpAddr) -> Scope {
    let address = unmap(address);
    if address.is_loopback() || (is_link_local(address) && is_loopback_interface(interface)) {
        return Scope::Loopback;
    }
    let by_address = match address {
        _ if is_link_local(address) => Scope::LinkLocal,
        IpAddr::V4(v4) if v4.is_private() => Scope::Private,
        IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64 => Scope::Shared,
        IpAddr::V6(v6) if v6.octets()[0] & 0xfe == 0xfc => Scope::Private,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::Global,
    };
    if by_address < Scope::Global && (tunnel || is_tunnel(interface)) { Scope::Vpn } else { by_address }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Linux has `lo`, macOS `lo0`. Other addresses there may be routed to from outside; a link-local
/// one, such as macOS's `fe80::1%lo0`, is this host's alone.
fn is_loopback_interface(interface: &str) -> bool {
    matches!(without_alias(interface), "lo" | "lo0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(interface: &str, address: &str) -> Scope {
        scope(interface, address.parse().unwrap())
    }

    #[test]
    fn every_loopback_address_is_loopback_whatever_its_spelling() {
        for address in ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of("lo", address), Scope::Loopback, "{address}");
        }
    }

    #[test]
    fn a_shared_address_is_a_vpn_only_on_a_tunnel() {
        assert_eq!(of("tailscale0", "100.100.1.2"), Scope::Vpn);
        assert_eq!(of("utun4", "100.64.0.1"), Scope::Vpn);
        assert_eq!(of("eth0", "100.64.0.1"), Scope::Shared);
        assert_eq!(of("ppp0", "100.127.255.255"), Scope::Shared);
        assert_eq!(of("eth0", "100.128.0.1"), Scope::Global);
        assert_eq!(of("eth0", "100.63.255.255"), Scope::Global);
    }

    #[test]
    fn a_vpn_with_a_name_of_its_own_is_one_where_the_kernel_says_so() {
        let of = |tunnel, address: &str| scope_of("office", tunnel, address.parse().unwrap());
        for address in ["10.8.0.2", "100.64.0.1", "fd00::2", "fe80::1"] {
            assert_eq!(of(true, address), Scope::Vpn, "{address}");
            assert!(of(false, address) > Scope::Vpn, "{address}");
        }
        assert_eq!(of(true, "8.8.8.8"), Scope::Global);
        for (kind, tun, is) in [
            ("wireguard", false, true),
            ("ovpn", false, true),
            ("tun", true, true),
            ("tun", false, false),
            ("bridge", false, false),
            ("veth", true, false),
            ("", true, false),
        ] {
            assert_eq!(is_tunnel_kind(kind, tun), is, "{kind} {tun}");
        }
    }

    #[test]
    fn a_global_address_stays_global_on_a_tunnel() {
        assert_eq!(of("wg0", "2001:4860::8"), Scope::Global);
        assert_eq!(of("tun0", "8.8.8.8"), Scope::Global);
        assert_eq!(of("tun0", "200:1234::1"), Scope::Global, "Yggdrasil is open to all");
    }

    #[test]
    fn bridges_and_guests_are_the_local_network_not_a_vpn() {
        for interface in
            ["docker0", "br-12ab", "bridge100", "virbr0", "veth12", "tap0", "vnet3", "tunl0", "wlan0"]
        {
            assert_eq!(of(interface, "172.17.0.1"), Scope::Private, "{interface}");
        }
    }

    #[test]
    fn link_local_and_unique_local_addresses_are_told_apart() {
        assert_eq!(of("eth0", "fe80::1"), Scope::LinkLocal);
        assert_eq!(of("eth0", "febf::1"), Scope::LinkLocal);
        assert_eq!(of("eth0", "169.254.7.7"), Scope::LinkLocal);
        assert_eq!(of("eth0", "fd00::2"), Scope::Private);
        assert_eq!(of("tailscale0", "fd7a:115c:a1e0::1"), Scope::Vpn);
        assert_eq!(of("utun0", "fe80::1"), Scope::Vpn);
    }

    #[test]
    fn a_link_local_address_of_the_loopback_interface_is_this_hosts_alone() {
        assert_eq!(of("lo0", "fe80::1"), Scope::Loopback);
        assert_eq!(of("lo", "169.254.1.1"), Scope::Loopback);
        assert_eq!(of("lo", "10.0.0.1"), Scope::Private, "it may be routed to from outside");
        assert_eq!(of("lowpan0", "fe80::1"), Scope::LinkLocal);
    }

    #[test]
    fn an_alias_is_the_interface_it_is_an_alias_of() {
        assert_eq!(of("tun0:1", "10.7.0.2"), Scope::Vpn);
        assert_eq!(of("eth0:wg", "10.7.0.2"), Scope::Private);
    }

    #[test]
    fn scopes_are_ordered_by_reach() {
        assert!(
            Scope::Loopback < Scope::Vpn && Scope::Vpn < Scope::Private && Scope::Private < Scope::Global
        );
    }
}
