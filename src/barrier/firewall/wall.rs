//! What the packet filter is to let through to the gateways' ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How much of what is allowed comes through at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stance {
    /// Loopback, the tunnels and the networks that are allowed in writing: the circuit is closed.
    Seal,
    /// Loopback alone: a recovery.
    Loopback,
    /// Nothing: the circuit is open.
    Block,
}

/// What comes through to the gateways' ports. Applied whole: each application replaces the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wall {
    /// How much of the rest applies.
    pub(crate) stance: Stance,
    /// The gateways' ports, on every address.
    pub(crate) ports: BTreeSet<u16>,
    /// Their places on ports that they share with somebody else: an address, or with an unspecified
    /// one all of its family.
    pub(crate) doors: BTreeSet<SocketAddr>,
    /// Tunnel interfaces, by name.
    pub(crate) vpn: BTreeSet<String>,
    /// This host's own addresses, other than loopback, at which the policy lets a gateway be reached.
    pub(crate) own: BTreeSet<IpAddr>,
    /// Networks that are allowed in writing.
    pub(crate) networks: BTreeSet<IpNet>,
    /// Users who may connect over loopback; everybody if none are named.
    pub(crate) local_users: Option<BTreeSet<u32>>,
    /// The gateway's user, if it has one of its own: the wall then holds on any port it listens on.
    pub(crate) gateway_user: Option<u32>,
}

/// Addresses or networks of both families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Families<V4, V6> {
    pub(crate) v4: Vec<V4>,
    pub(crate) v6: Vec<V6>,
}

/// Places on shared ports, of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places<A> {
    /// Ports that are held on every address of the family.
    pub(crate) ports: BTreeSet<u16>,
    /// Addresses that are held at these ports.
    pub(crate) exact: BTreeSet<(A, u16)>,
}

impl<A: Ord> Places<A> {
    fn none() -> Self {
        Self { ports: BTreeSet::new(), exact: BTreeSet::new() }
    }

    fn add(&mut self, address: A, every: bool, port: u16) {
        if every {
            self.ports.insert(port);
        } else {
            self.exact.insert((address, port));
        }
    }
}

impl Wall {
    /// A wall with nothing to guard, which is what a builder starts from.
    #[cfg(test)]
    pub(crate) fn empty(stance: Stance) -> Self {
        Self {
            stance,
            ports: BTreeSet::new(),
            doors: BTreeSet::new(),
            vpn: BTreeSet::new(),
            own: BTreeSet::new(),
            networks: BTreeSet::new(),
            local_users: None,
            gateway_user: None,
        }
    }

    /// A wall that has something of every kind, to ask a packet filter whether it would take it.
    pub(crate) fn sample() -> Self {
        let (v4, v6) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        Self {
            stance: Stance::Seal,
            ports: BTreeSet::from([18789]),
            doors: [IpAddr::V4(v4), v6.into(), Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
                .map(|address| SocketAddr::new(address, 18790))
                .into(),
            vpn: BTreeSet::from(["tun0".to_owned()]),
            own: BTreeSet::from([v4.into(), v6.into()]),
            networks: BTreeSet::from([IpAddr::V4(v4).into(), IpAddr::V6(v6).into()]),
            local_users: Some(BTreeSet::from([0])),
            gateway_user: Some(0),
        }
    }

    /// A connection to this address is the wall's affair.
    pub(crate) fn holds(&self, at: SocketAddr) -> bool {
        let ip = at.ip().to_canonical();
        let covers = |door: &SocketAddr| {
            let own = door.ip().to_canonical();
            let every = own.is_unspecified() && own.is_ipv4() == ip.is_ipv4();
            door.port() == at.port() && (own == ip || every)
        };
        self.ports.contains(&at.port()) || self.doors.iter().any(covers)
    }

    /// The places on shared ports, of IPv4 and of IPv6.
    pub(crate) fn places(&self) -> (Places<Ipv4Addr>, Places<Ipv6Addr>) {
        let (mut v4, mut v6) = (Places::none(), Places::none());
        for door in self.doors.iter().filter(|door| !self.ports.contains(&door.port())) {
            match door.ip().to_canonical() {
                IpAddr::V4(ip) => v4.add(ip, ip.is_unspecified(), door.port()),
                IpAddr::V6(ip) => v6.add(ip, ip.is_unspecified(), door.port()),
            }
        }
        (v4, v6)
    }

    /// The tunnel interfaces from which something comes through.
    ///
    /// Packet filters read some characters as patterns or references. An interface that has one in
    /// its name is left out, which lets less through.
    pub(crate) fn tunnels(&self) -> Vec<&str> {
        const LONGEST: usize = 15;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = |name: &str| name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let usable = |name: &&str| name.len() <= LONGEST && begins(name) && name.chars().all(plain);
        if self.stance != Stance::Seal {
            return Vec::new();
        }
        self.vpn.iter().map(String::as_str).filter(usable).collect()
    }

    /// The own addresses at which something comes through: from this host, and by the tunnels.
    pub(crate) fn own(&self) -> Families<Ipv4Addr, Ipv6Addr> {
        let mut own = Families { v4: Vec::new(), v6: Vec::new() };
        if self.stance != Stance::Block {
            for address in &self.own {
                match address.to_canonical() {
                    IpAddr::V4(address) => own.v4.push(address),
                    IpAddr::V6(address) => own.v6.push(address),
                }
            }
        }
        own.v4.dedup();
        own
    }

    /// The networks from which something comes through, none of them within another: packet filters
    /// refuse sets that overlap.
    pub(crate) fn networks(&self) -> Families<Ipv4Net, Ipv6Net> {
        let mut networks = Families { v4: Vec::new(), v6: Vec::new() };
        if self.stance == Stance::Seal {
            for network in &self.networks {
                match network {
                    IpNet::V4(network) => networks.v4.push(*network),
                    IpNet::V6(network) => networks.v6.push(*network),
                }
            }
        }
        Families { v4: Ipv4Net::aggregate(&networks.v4), v6: Ipv6Net::aggregate(&networks.v6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_within_others_are_merged() {
        let mut wall = Wall::empty(Stance::Seal);
        wall.networks = ["10.0.0.0/8", "10.1.2.3/16", "192.168.1.7/24", "fd00::/8", "fd00::1/128"]
            .map(|it| it.parse().unwrap())
            .into();
        let networks = wall.networks();
        assert_eq!(networks.v4, ["10.0.0.0/8", "192.168.1.0/24"].map(|it| it.parse().unwrap()));
        assert_eq!(networks.v6, ["fd00::/8"].map(|it| it.parse().unwrap()));
    }

    #[test]
    fn beyond_the_seal_nothing_comes_through_but_loopback_and_this_host_itself() {
        for stance in [Stance::Loopback, Stance::Block] {
            let wall = Wall { stance, ..Wall::sample() };
            assert!(wall.tunnels().is_empty());
            assert_eq!(wall.own().v4.is_empty(), stance == Stance::Block);
            assert_eq!(wall.networks(), Families { v4: vec![], v6: vec![] });
        }
    }

    #[test]
    fn an_interface_whose_name_a_packet_filter_would_read_otherwise_is_left_out() {
        let mut wall = Wall::empty(Stance::Seal);
        wall.vpn = ["wg0", "utun4", "wg*", "@ports", "a\"b", "tun 0", "", "-x", "sixteen-letters-"]
            .map(str::to_owned)
            .into();
        assert_eq!(wall.tunnels(), ["utun4", "wg0"]);
    }

    #[test]
    fn an_ipv4_address_in_the_form_of_ipv6_is_one_of_ipv4() {
        let mut wall = Wall::empty(Stance::Seal);
        wall.own = ["192.0.2.1", "::ffff:192.0.2.1"].map(|it| it.parse().unwrap()).into();
        assert_eq!(wall.own().v4, [Ipv4Addr::new(192, 0, 2, 1)]);
        assert!(wall.own().v6.is_empty());
    }
}
