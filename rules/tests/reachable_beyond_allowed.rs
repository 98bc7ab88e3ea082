use guardian_rules::fact::{Attribution, Reached};

use crate::scenery::*;

const RULE: &str = "reachable-beyond-allowed";

#[test]
fn a_gateway_that_takes_connections_on_loopback_and_vpn_alone_is_not_reachable_beyond() {
    bare_host()
        .interface("tailscale0", "100.100.1.2")
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn an_accepted_connection_on_the_local_network_is_reachable() {
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .judged()
        .exposes(RULE, "192.168.1.5:18789")
        .because(RULE, "everyone on the local network");
}

#[test]
fn a_connection_accepted_where_nothing_listens_came_through_a_redirect() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .reaching("192.168.1.5:18789", Reached::Accepted)
        .judged()
        .exposes(RULE, "192.168.1.5:18789")
        .because(RULE, "no listening socket is known there");
}

#[test]
fn neither_accepted_nor_refused_is_unknown_where_a_gateway_is_bound() {
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .reaching("192.168.1.5:18789", Reached::Unknown(timed_out()))
        .judged()
        .doubts(RULE, "192.168.1.5:18789");
}

#[test]
fn a_packet_dropped_where_nothing_is_bound_lets_nobody_in() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .reaching("192.168.1.5:18789", Reached::Unknown(timed_out()))
        .judged()
        .is_safe();
}

#[test]
fn a_port_that_the_policy_names_and_another_program_holds_is_judged_by_what_answers() {
    host().runs(unknown_program(700).on("0.0.0.0:18789", another_site())).judged().nothing_of(RULE).is_safe();
}

#[test]
fn another_program_on_the_same_port_of_another_address_is_not_the_gateway() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(unknown_program(700).on("192.168.1.5:18789", another_site()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_gateway_on_another_port_is_tried_on_that_port() {
    host()
        .runs(gateway(812).on("0.0.0.0:4000", asking_for_credentials()))
        .judged()
        .exposes(RULE, "192.168.1.5:4000");
}

#[test]
fn a_network_that_the_owner_has_written_down_may_reach_it() {
    host()
        .allowing_network("192.168.1.0/24")
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_gateway_that_cannot_be_named_is_reachable_all_the_same() {
    host()
        .runs(gateway(812).on_socket("0.0.0.0:18789", asking_for_credentials(), |it| {
            it.owner = Attribution::Unnamed(denied());
        }))
        .judged()
        .exposes(RULE, "192.168.1.5:18789")
        .because(RULE, "a process of user 1000 that cannot be named");
}

#[test]
fn a_connection_accepted_on_loopback_or_in_the_vpn_is_allowed_whatever_took_it() {
    for allowed in ["127.0.0.1:18789", "100.100.1.2:18789"] {
        host().reaching(allowed, Reached::Accepted).judged().nothing_of(RULE).is_safe();
    }
}

#[test]
fn a_port_that_is_no_gateways_is_none_of_this_rules_business() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .reaching("192.168.1.5:3000", Reached::Accepted)
        .judged()
        .nothing_of(RULE);
}

#[test]
fn an_address_that_could_not_be_tried_may_be_redirected() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .reaching("192.168.1.5:18789", Reached::Unknown(denied()))
        .judged()
        .doubts(RULE, "192.168.1.5:18789")
        .is_blind();
}

#[test]
fn a_link_local_address_of_the_vpn_is_not_the_cards() {
    // The same address on a card, 2, and on a tunnel, 3.
    let reached = |address: &str| {
        bare_host()
            .interface("eth0", "fe80::1")
            .interface("wg0", "fe80::1")
            .reaching(address, Reached::Accepted)
            .judged()
    };
    reached("[fe80::1%2]:18789").exposes(RULE, "18789");
    reached("[fe80::1%3]:18789").is_safe();
}

#[test]
fn a_gateway_on_a_link_local_address_is_found_there_and_not_on_its_twin() {
    bare_host()
        .interface("eth0", "fe80::1")
        .interface("wg0", "fe80::1")
        .runs(gateway(812).on("[fe80::1%3]:18789", asking_for_credentials()))
        .reaching("[fe80::1%2]:18789", Reached::Accepted)
        .judged()
        .exposes(RULE, "18789")
        .because(RULE, "no listening socket is known there");
}
