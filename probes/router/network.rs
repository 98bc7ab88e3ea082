//! The networks in which a router is asked: those in which somebody could come to a gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use guardian_rules::address::Scope;
use guardian_rules::fact::InterfaceAddress;
use guardian_rules::scene::{Behind, Door, Scene};
use ipnet::Ipv4Net;

/// A local network that this host is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// This host's address there.
    pub own: Ipv4Addr,
    /// The network itself.
    pub net: Ipv4Net,
    /// The routers that this host sends by, where the system tells.
    pub gateways: Vec<Ipv4Addr>,
}

impl Network {
    /// The sender of an answer is another host of this network.
    #[must_use]
    pub fn has(&self, sender: Ipv4Addr) -> bool {
        let is_a_host =
            self.net.prefix_len() >= 31 || (sender != self.net.network() && sender != self.net.broadcast());
        is_a_host && sender != self.own && !sender.is_loopback() && self.net.contains(&sender)
    }
}

/// The networks where a socket takes connections that leads to a gateway, or may lead to one.
///
/// Of them those that the owner has allowed: in others the gateway is exposed as it is, and whoever sees
/// that must not wait for a router. Routers with `UPnP` know IPv4 alone. On loopback and in a VPN there is no router to ask, and an
/// address that the whole internet reaches needs none.
#[must_use]
pub fn concerned(scene: &Scene<'_>, routes: &[(String, Ipv4Addr)]) -> Vec<Network> {
    let leads = |door: &&Door<'_>| scene.behind(door.listener.bound.port()) != Behind::Nothing;
    let doors: Vec<&Door<'_>> = scene.doors.iter().filter(leads).collect();
    let takes = |own: &InterfaceAddress| doors.iter().any(|door| door.listener.covers(own.address));
    let networks: BTreeMap<Ipv4Addr, Network> = scene
        .own_addresses()
        .into_iter()
        .filter(|own| matches!(own.scope(), Scope::LinkLocal | Scope::Private | Scope::Shared))
        .filter(|own| scene.policy.allows_own(own) && takes(own))
        .filter_map(|own| {
            let IpAddr::V4(address) = own.address else { return None };
            let net = Ipv4Net::new(address, own.prefix).ok()?.trunc();
            let on_it = routes.iter().filter(|(interface, _)| *interface == own.interface);
            let mut network = Network { own: address, net, gateways: Vec::new() };
            network.gateways = on_it.map(|(_, by)| *by).filter(|by| network.has(*by)).collect();
            Some((address, network))
        })
        .collect();
    networks.into_values().collect()
}

/// The routers of the default routes with their interfaces, from `/proc/net/route`: a table of
/// hexadecimal words in the host's byte order, `proc_net(5)`.
#[must_use]
pub fn default_routers(table: &str) -> Vec<(String, Ipv4Addr)> {
    let address = |word: &str| {
        let word = (word.len() == 8).then(|| u32::from_str_radix(word, 16).ok()).flatten()?;
        Some(Ipv4Addr::from(word.to_ne_bytes()))
    };
    let route = |line: &str| {
        let mut words = line.split_whitespace();
        let (interface, to, by) = (words.next()?, address(words.next()?)?, address(words.next()?)?);
        let mask = address(words.nth(4)?)?;
        let is_default = to.is_unspecified() && mask.is_unspecified() && !by.is_unspecified();
        is_default.then(|| (interface.to_owned(), by))
    };
    table.lines().take(MAX_ROUTES).filter_map(route).collect()
}

/// Lines read of the table of routes.
const MAX_ROUTES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use guardian_rules::fact::{Access, AccessAnswer, Attribution, Listener, Transport};
    use guardian_rules::observation::Observation;
    use guardian_rules::policy::{AllowedNetwork, Policy};
    use guardian_rules::snapshot::Snapshot;
    use proptest::prelude::*;

    use super::*;

    fn own(interface: &str, address: &str, prefix: u8) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.to_owned(),
            index: None,
            address: address.parse().unwrap(),
            prefix,
            tunnel: false,
        }
    }

    /// Something listens, and answers as a gateway or not, on a host with many networks.
    fn networks(bound: &str, dual_stack: bool, access: Access) -> Vec<String> {
        networks_of(bound, dual_stack, access, true)
    }

    fn networks_of(bound: &str, dual_stack: bool, access: Access, allowed: bool) -> Vec<String> {
        let bound: SocketAddr = bound.parse().unwrap();
        let listener = Listener {
            bound,
            dual_stack,
            device: None,
            uid: None,
            socket: 1,
            owner: Attribution::Named(vec![7]),
        };
        let answer = AccessAnswer { at: bound, bound, transport: Transport::Plain, access };
        let snapshot = Snapshot {
            listeners: Observation::Seen(vec![listener]),
            access: Observation::Seen(vec![answer]),
            interfaces: Observation::Seen(vec![
                own("lo", "127.0.0.1", 8),
                own("eth0", "192.168.7.2", 24),
                own("eth1", "100.64.0.9", 10),
                own("eth2", "203.0.113.7", 24),
                own("eth0", "fe80::1", 64),
                own("wg0", "10.9.0.2", 24),
            ]),
            ..Snapshot::default()
        };
        let all = ["192.168.0.0/16", "100.64.0.0/10", "fe80::/10"];
        let networks =
            all.map(|net| AllowedNetwork { network: net.parse().unwrap(), reason: "so".to_owned() });
        let networks = if allowed { networks.to_vec() } else { Vec::new() };
        let policy = Policy { ports: Vec::new(), networks, ..Policy::default() };
        let scene = Scene::new(&policy, &snapshot);
        concerned(&scene, &[]).iter().map(|network| network.own.to_string()).collect()
    }

    #[test]
    fn a_gateway_on_loopback_concerns_no_network() {
        assert!(networks("127.0.0.1:18789", false, Access::Required).is_empty());
    }

    #[test]
    fn a_gateway_on_every_address_concerns_every_local_network_and_no_vpn() {
        for (bound, dual_stack) in [("0.0.0.0:18789", false), ("[::]:18789", true)] {
            assert_eq!(networks(bound, dual_stack, Access::Required), ["100.64.0.9", "192.168.7.2"]);
        }
    }

    #[test]
    fn where_the_owner_has_not_allowed_it_nobody_is_asked_for_it_is_exposed_already() {
        assert!(networks_of("0.0.0.0:18789", false, Access::Required, false).is_empty());
    }

    #[test]
    fn a_gateway_on_one_address_concerns_its_network_alone() {
        assert_eq!(networks("192.168.7.2:18789", false, Access::Required), ["192.168.7.2"]);
        for elsewhere in ["203.0.113.7:18789", "10.9.0.2:18789", "[fe80::1]:18789", "[::]:18789"] {
            assert!(networks(elsewhere, false, Access::Required).is_empty(), "{elsewhere}");
        }
    }

    #[test]
    fn a_web_server_that_is_no_gateway_concerns_no_network() {
        assert!(networks("0.0.0.0:80", false, Access::NoGateway).is_empty());
    }

    #[test]
    fn only_another_host_of_the_network_is_in_it() {
        let network = Network {
            own: "192.168.7.2".parse().unwrap(),
            net: "192.168.7.0/24".parse().unwrap(),
            gateways: Vec::new(),
        };
        let has: BTreeSet<&str> =
            ["192.168.7.1", "192.168.7.2", "192.168.7.0", "192.168.7.255", "192.168.8.1", "127.0.0.1"]
                .into_iter()
                .filter(|sender| network.has(sender.parse().unwrap()))
                .collect();
        assert_eq!(has, BTreeSet::from(["192.168.7.1"]));
    }

    #[test]
    fn the_router_of_a_default_route_is_read_from_the_kernels_table() {
        let word = |address: &str| {
            let address: Ipv4Addr = address.parse().unwrap();
            format!("{:08X}", u32::from_ne_bytes(address.octets()))
        };
        let (zero, router, net) = (word("0.0.0.0"), word("192.168.7.1"), word("192.168.7.0"));
        let table = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t{zero}\t{router}\t0003\t0\t0\t100\t{zero}\t0\t0\t0\n\
             eth0\t{net}\t{zero}\t0001\t0\t0\t100\t{}\t0\t0\t0\n\
             tun0\t{zero}\t{router}\t0003\t0\t0\t0\t{}\t0\t0\t0\n",
            word("255.255.255.0"),
            word("128.0.0.0"),
        );
        assert_eq!(default_routers(&table), [("eth0".to_owned(), "192.168.7.1".parse().unwrap())]);
    }

    proptest! {
        #[test]
        fn a_table_of_anything_never_panics(table: String) {
            let _ = default_routers(&table);
        }
    }
}
