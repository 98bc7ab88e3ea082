use guardian_rules::observation::Observation;
use guardian_rules::snapshot::Snapshot;

use crate::scenery::*;

const RULE: &str = "foreign-peer";

fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

#[test]
fn nobody_from_elsewhere_is_nothing() {
    laptop().judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_stranger_connected_to_the_gateway_is_foreign() {
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .visited_by(stranger("203.0.113.9:50111", "192.168.1.5:18789"))
        .judged()
        .exposes(RULE, "203.0.113.9")
        .because(RULE, "one connection to the gateway's port at 192.168.1.5:18789");
}

#[test]
fn many_connections_of_one_stranger_are_one_finding() {
    let conclusion = laptop()
        .visited_by(stranger("203.0.113.9:50111", "192.168.1.5:18789"))
        .visited_by(stranger("203.0.113.9:50112", "192.168.1.5:18789"))
        .visited_by(stranger("198.51.100.4:50113", "192.168.1.5:18789"))
        .judged();
    conclusion.exposes(RULE, "203.0.113.9").exposes(RULE, "198.51.100.4").because(RULE, "2 connections");
    assert_eq!(conclusion.findings(RULE).count(), 2);
}

#[test]
fn a_member_of_the_vpn_at_an_address_of_the_vpn_is_allowed() {
    host()
        .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
        .visited_by(stranger("100.90.1.7:50111", "100.100.1.2:18789"))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

/// Linux takes any of its addresses on any card: `ip route add 100.100.1.2 via 192.168.1.5` is all it takes.
#[test]
fn a_neighbour_on_the_wire_who_comes_to_the_vpns_address_is_a_stranger() {
    let in_the_vpn = || host().runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()));
    let visit = |from: &str| in_the_vpn().visited_by(stranger(from, "100.100.1.2:18789"));
    visit("192.168.1.77:50111").judged().exposes(RULE, "192.168.1.77");
    visit("[::ffff:192.168.1.77]:50111").judged().exposes(RULE, "192.168.1.77");
    visit("100.100.1.7:50111").judged().nothing_of(RULE).is_safe();
    // Behind a router of the VPN's, or of the network's: addresses do not tell.
    visit("10.20.30.40:50111").judged().nothing_of(RULE).is_safe();
    visit("192.168.1.77:50111").allowing_network("192.168.1.0/24").judged().nothing_of(RULE).is_safe();
    // The nearer network is the one it came by.
    let within = || in_the_vpn().interface("eth1", "100.90.1.1");
    within()
        .visited_by(stranger("100.90.1.7:50111", "100.100.1.2:18789"))
        .judged()
        .exposes(RULE, "100.90.1.7");
}

/// Tailscale's address stands alone, and the provider's network may be the one that its members' are taken from.
#[test]
fn a_member_is_none_of_the_providers_network_unless_that_is_nearer() {
    fn provider(snapshot: &mut Snapshot, prefix: u8) {
        let Observation::Seen(cards) = &mut snapshot.interfaces else { unreachable!() };
        for card in cards {
            match card.address.to_string().as_str() {
                "100.90.0.5" => card.prefix = prefix,
                "100.100.1.2" => card.prefix = 32,
                _ => {}
            }
        }
    }
    let visited = || {
        host()
            .interface("eth1", "100.90.0.5")
            .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
            .visited_by(stranger("100.90.1.7:50111", "100.100.1.2:18789"))
    };
    visited().but(|snapshot| provider(snapshot, 10)).judged().nothing_of(RULE);
    visited().but(|snapshot| provider(snapshot, 20)).judged().exposes(RULE, "100.90.1.7");
}

#[test]
fn an_address_that_a_card_has_as_well_is_no_address_of_the_vpn_alone() {
    host()
        .interface("eth0", "100.100.1.2")
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .visited_by(stranger("100.90.1.7:50111", "100.100.1.2:18789"))
        .judged()
        .exposes(RULE, "100.90.1.7");
}

#[test]
fn somebody_in_a_network_that_the_owner_allows_is_allowed() {
    host()
        .allowing_network("192.168.1.0/24")
        .runs(gateway(812).on("192.168.1.5:18789", asking_for_credentials()))
        .visited_by(stranger("192.168.1.77:50111", "192.168.1.5:18789"))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_stranger_at_a_loopback_address_came_through_a_redirect() {
    laptop()
        .visited_by(stranger("203.0.113.9:50111", "127.0.0.1:18789"))
        .judged()
        .exposes(RULE, "203.0.113.9");
    laptop()
        .allowing_network("192.168.1.0/24")
        .visited_by(stranger("192.168.1.77:50111", "127.0.0.1:18789"))
        .judged()
        .exposes(RULE, "192.168.1.77");
}

#[test]
fn a_connection_that_outlives_its_listener_still_stands() {
    laptop()
        .visited_by(stranger("203.0.113.9:50111", "192.168.1.5:18789"))
        .judged()
        .exposes(RULE, "203.0.113.9");
}

#[test]
fn a_stranger_at_another_program_on_a_port_that_the_policy_names_is_its_affair() {
    host()
        .runs(unknown_program(700).on("0.0.0.0:18789", another_site()))
        .visited_by(stranger("203.0.113.9:50111", "192.168.1.5:18789"))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_stranger_at_a_silent_program_on_a_port_that_the_policy_names_is_foreign() {
    host()
        .runs(unknown_program(700).on("0.0.0.0:18789", silent()))
        .visited_by(stranger("203.0.113.9:50111", "192.168.1.5:18789"))
        .judged()
        .exposes(RULE, "203.0.113.9");
}

#[test]
fn peers_that_cannot_be_listed_are_unknown() {
    fn blind(snapshot: &mut Snapshot) {
        snapshot.peers = unseen(denied());
    }
    laptop().but(blind).judged().doubts("probe-blind", "peers").is_blind();
}

#[test]
fn a_stranger_seen_before_the_probe_went_blind_still_accuses() {
    fn blind(snapshot: &mut Snapshot) {
        snapshot.peers = snapshot.peers.clone().followed_by(Err(timed_out()));
    }
    laptop()
        .visited_by(stranger("203.0.113.9:50111", "192.168.1.5:18789"))
        .but(blind)
        .judged()
        .exposes(RULE, "203.0.113.9");
}
