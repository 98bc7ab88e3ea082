//! The networks of this host's own guests: containers and virtual machines behind a bridge.
//!
//! A guest may be asked like a listener of this host; a neighbour of the local network never. So a
//! bridge counts only if everything plugged into it leads to a guest, as the kernel itself says, and
//! if this host's way to other networks does not go through it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use guardian_rules::address::unmap;
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, InterfaceAddress};
use ipnet::IpNet;

use crate::access::{who_gets_in, who_gets_in_at_guests};
use crate::ask::targets::Target;

pub mod link;

use link::Link;

/// All questions to guests together end after this.
const BUDGET: Duration = Duration::from_secs(4);

/// Guests asked in one look; the rest is unknown.
pub(crate) const MAX_GUESTS: usize = 48;

/// Which addresses are guests', and by which interface they are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guests {
    /// Every network in which this host has an address, and the bridge by which guests have it.
    networks: Vec<(IpNet, Option<String>)>,
}

impl Guests {
    /// Those of this host. Where the kernel does not tell, nobody is one.
    pub(crate) fn of_this_host(own: &[InterfaceAddress]) -> Self {
        let (links, uplinks) = platform::links();
        Self::new(&links, &uplinks, own)
    }

    pub(crate) fn new(links: &[Link], uplinks: &BTreeSet<String>, own: &[InterfaceAddress]) -> Self {
        let is_guests = |name: &str| {
            links.iter().any(|bridge| {
                bridge.name == name
                    && bridge.kind == "bridge"
                    && !uplinks.contains(name)
                    && links.iter().filter(|it| it.master == Some(bridge.index)).all(Link::leads_to_a_guest)
            })
        };
        let network = |own: &InterfaceAddress| IpNet::new(unmap(own.address), own.prefix).ok();
        let networks = own.iter().filter_map(|own| {
            let bridge = is_guests(&own.interface).then(|| own.interface.clone());
            Some((network(own)?, bridge))
        });
        Self { networks: networks.collect() }
    }

    /// On this interface are guests of this host and nobody else.
    pub(crate) fn are_behind(&self, interface: &str) -> bool {
        self.networks.iter().any(|(_, bridge)| bridge.as_deref() == Some(interface))
    }

    /// The bridge by which a guest of this address is reached; none if it is nobody's or this
    /// host's own.
    pub(crate) fn way_to(&self, ip: IpAddr) -> Option<&str> {
        let ip = unmap(ip);
        let covering = || self.networks.iter().filter(|(network, _)| network.contains(&ip));
        let longest = covering().map(|(network, _)| network.prefix_len()).max()?;
        let mut ways = covering().filter(|(network, _)| network.prefix_len() == longest).map(|(_, way)| way);
        let way = ways.next()?.as_deref()?;
        let is_own = self.networks.iter().any(|(network, _)| network.addr() == ip);
        (!is_own && ways.all(|other| other.as_deref() == Some(way))).then_some(way)
    }
}

/// Asks who gets in at each of these. Places that refuse a connection are left out, those beyond a bound are unknown.
pub(crate) async fn answers(places: BTreeSet<SocketAddr>, guests: &Guests) -> BTreeMap<SocketAddr, Access> {
    let target = |at: &SocketAddr| Some((*at, Target::guest(*at, guests.way_to(at.ip())?)));
    let mut all: Vec<(SocketAddr, Target)> = places.iter().filter_map(target).collect();
    let rest = all.split_off(all.len().min(MAX_GUESTS));
    let (places, targets): (Vec<SocketAddr>, Vec<Target>) = all.into_iter().unzip();
    let answers = who_gets_in_at_guests(targets, BUDGET).await;
    let known = places.into_iter().zip(answers).filter_map(|(at, access)| Some((at, access?)));
    let too_many = || Access::Unknown(Blindness::new(Cause::TooMuch, "there are too many places to ask"));
    known.chain(rest.into_iter().map(|(at, _)| (at, too_many()))).collect()
}

/// Asks whether each of these lets anyone in. The answers come in their order.
pub(crate) async fn ask(targets: Vec<Target>) -> Vec<Access> {
    who_gets_in(targets, BUDGET).await
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::BTreeSet;
    use std::fs;

    use super::link::{self, Link};

    pub(super) fn links() -> (Vec<Link>, BTreeSet<String>) {
        let links = link::read().inspect_err(|why| tracing::info!(%why, "interfaces cannot be listed"));
        let routes = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let uplinks = link::default_routes(&routes("/proc/net/route"), &routes("/proc/net/ipv6_route"));
        (links.unwrap_or_default(), uplinks)
    }
}

/// Containers and virtual machines of a Mac are behind its engine's listeners, not behind a bridge.
#[cfg(not(target_os = "linux"))]
mod platform {
    use std::collections::BTreeSet;

    use super::link::Link;

    pub(super) fn links() -> (Vec<Link>, BTreeSet<String>) {
        (Vec::new(), BTreeSet::new())
    }
}

#[cfg(test)]
impl Guests {
    /// docker0 with its usual network, and a card.
    pub(crate) fn of_one_bridge() -> Self {
        let bridge = Some("docker0".to_owned());
        let network = |text: &str| text.parse().unwrap();
        Self { networks: vec![(network("172.17.0.1/16"), bridge), (network("192.168.1.5/24"), None)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: &str, master: Option<u32>) -> Link {
        Link { index, name: name.to_owned(), kind: kind.to_owned(), master, tun: false }
    }

    fn own(interface: &str, address: &str, prefix: u8) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.to_owned(),
            index: Some(1),
            address: address.parse().unwrap(),
            prefix,
            tunnel: false,
        }
    }

    fn guests(links: &[Link]) -> Guests {
        let own = [
            own("lo", "127.0.0.1", 8),
            own("eth0", "192.168.1.5", 24),
            own("docker0", "172.17.0.1", 16),
            own("br0", "192.168.7.1", 24),
            own("eth0", "fe80::1", 64),
            own("docker0", "fe80::2", 64),
        ];
        Guests::new(links, &BTreeSet::from(["br0".to_owned()]), &own)
    }

    fn usual() -> Vec<Link> {
        vec![
            link(1, "lo", "", None),
            link(2, "eth0", "", None),
            link(3, "docker0", "bridge", None),
            link(4, "veth1", "veth", Some(3)),
            link(5, "vnet0", "tun", Some(3)),
            link(6, "br0", "bridge", None),
            link(7, "veth2", "veth", Some(6)),
        ]
    }

    fn way(guests: &Guests, ip: &str) -> Option<String> {
        guests.way_to(ip.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn a_container_behind_a_bridge_is_a_guest_and_a_neighbour_is_not() {
        let guests = guests(&usual());
        assert_eq!(way(&guests, "172.17.0.2").as_deref(), Some("docker0"));
        assert_eq!(way(&guests, "::ffff:172.17.0.2").as_deref(), Some("docker0"));
        for neighbour in ["192.168.1.9", "172.18.0.2", "203.0.113.7", "127.0.0.5", "172.17.0.1"] {
            assert_eq!(way(&guests, neighbour), None, "{neighbour}");
        }
    }

    #[test]
    fn a_bridge_with_a_card_a_vlan_or_a_tunnel_in_it_leads_to_neighbours() {
        for kind in ["", "vlan", "vxlan", "bond", "gretap", "wlan"] {
            let mut links = usual();
            links.push(link(8, "port", kind, Some(3)));
            assert_eq!(way(&guests(&links), "172.17.0.2"), None, "{kind}");
        }
    }

    #[test]
    fn the_bridge_of_the_default_route_leads_to_neighbours() {
        assert_eq!(way(&guests(&usual()), "192.168.7.9"), None);
    }

    #[test]
    fn an_address_that_may_be_on_several_wires_is_nobodys() {
        assert_eq!(way(&guests(&usual()), "fe80::77"), None);
    }

    #[test]
    fn without_the_kernels_word_nobody_is_a_guest() {
        assert_eq!(way(&guests(&[]), "172.17.0.2"), None);
    }
}
