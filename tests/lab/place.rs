//! A host with a network: a card, a VPN, a container bridge, and somebody outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::host::{Host, User};

/// The host's address on the local network.
pub(crate) const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 2));
/// The neighbour's address there.
pub(crate) const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1));
/// The host's global IPv6 address.
pub(crate) const GLOBAL6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 2));
/// The host's link-local address, on the card `eth0`.
pub(crate) const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, 2);
/// The host's address in the VPN.
pub(crate) const VPN: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 1, 2));
/// An address on the host's card from the range that VPNs like, and providers too.
pub(crate) const PROVIDER: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 7, 7));
/// The host's address for its containers.
pub(crate) const BRIDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
/// Loopback.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A host and the world around it.
pub(crate) struct Place {
    pub(crate) host: Host,
    /// On the same wire, and in the same VPN.
    pub(crate) outside: Host,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::around(Host::new())
    }

    /// The same network around a host that is there.
    pub(crate) fn around(host: Host) -> Self {
        let outside = Host::new();
        let ip = |host: &Host, line: &str| {
            let command: Vec<&str> = std::iter::once("ip").chain(line.split(' ')).collect();
            host.run(User::Root, &command);
        };
        host.wire("eth0", &outside, "eth0");
        ip(&host, "addr add 192.168.77.2/24 dev eth0");
        ip(&host, "addr add 100.64.7.7/24 dev eth0");
        ip(&host, "addr add 2001:db8:77::2/64 dev eth0 nodad");
        ip(&host, "addr add fe80::77:2/64 dev eth0 nodad");
        ip(&outside, "addr add 192.168.77.1/24 dev eth0");
        ip(&outside, "addr add 2001:db8:77::1/64 dev eth0 nodad");
        ip(&outside, "addr add fe80::77:1/64 dev eth0 nodad");
        host.wire("tailscale0", &outside, "tailscale0");
        ip(&host, "addr add 100.100.1.2/24 dev tailscale0");
        ip(&outside, "addr add 100.100.1.1/24 dev tailscale0");
        ip(&host, "link add docker0 type bridge");
        ip(&host, "addr add 172.17.0.1/16 dev docker0");
        ip(&host, "link set docker0 up");
        Self { host, outside }
    }
}

/// An address with its port.
pub(crate) const fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}
