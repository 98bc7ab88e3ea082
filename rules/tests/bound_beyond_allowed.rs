use guardian_rules::fact::{Access, Reached};
use guardian_rules::observation::Observation;
use guardian_rules::snapshot::Snapshot;
use guardian_rules::verdict::Verdict;

use crate::scenery::*;

const RULE: &str = "bound-beyond-allowed";

#[test]
fn a_gateway_on_loopback_is_bound_to_nothing_beyond() {
    host()
        .runs(
            gateway(812)
                .on("127.0.0.1:18789", asking_for_credentials())
                .on("[::1]:18789", asking_for_credentials()),
        )
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn every_loopback_address_is_allowed() {
    for bound in ["127.0.0.2:18789", "127.255.255.254:18789", "[::1]:18789"] {
        host().runs(gateway(812).on(bound, asking_for_credentials())).judged().is_safe();
    }
}

#[test]
fn a_wildcard_is_bound_to_every_address_of_the_host() {
    let conclusion = host().runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials())).judged();
    conclusion
        .exposes(RULE, "0.0.0.0:18789")
        .because(RULE, "openclaw-gateway [node] (pid 812, user ana) listens on 0.0.0.0:18789")
        .because(RULE, "192.168.1.5 (private network, wlan0): everyone on the local network");
    let evidence = conclusion.only(RULE).evidence.join("\n");
    assert!(!evidence.contains("127.0.0.1") && !evidence.contains("100.100.1.2"), "{evidence}");
}

#[test]
fn an_ipv6_wildcard_reaches_ipv4_only_when_it_is_dual_stack() {
    let with = |dual_stack| {
        host()
            .runs(
                gateway(812)
                    .on_socket("[::]:18789", asking_for_credentials(), |it| it.dual_stack = dual_stack),
            )
            .judged()
    };
    with(true).exposes(RULE, "[::]:18789");
    with(false).nothing_of(RULE);
    host()
        .interface("wlan0", "2001:db8::5")
        .runs(gateway(812).on("[::]:18789", asking_for_credentials()))
        .judged()
        .because(RULE, "2001:db8::5 (global, wlan0): the internet");
}

#[test]
fn a_wildcard_on_a_host_with_loopback_and_vpn_only_is_allowed() {
    bare_host()
        .interface("wg0", "10.7.0.2")
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .judged()
        .is_safe();
}

#[test]
fn an_address_of_a_vpn_is_allowed_and_the_same_address_on_a_card_is_not() {
    let on = |interface| {
        bare_host()
            .interface(interface, "100.100.1.2")
            .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
            .judged()
    };
    on("tailscale0").nothing_of(RULE).is_safe();
    on("eth0").exposes(RULE, "100.100.1.2:18789").because(RULE, "everyone in the provider's network");
}

#[test]
fn a_bridge_of_containers_is_the_local_network() {
    bare_host()
        .interface("docker0", "172.17.0.1")
        .runs(gateway(812).on("172.17.0.1:18789", asking_for_credentials()))
        .judged()
        .exposes(RULE, "172.17.0.1:18789");
}

#[test]
fn a_link_local_address_is_every_device_on_the_wire() {
    bare_host()
        .interface("eth0", "fe80::1234")
        .runs(gateway(812).on("[fe80::1234%2]:18789", asking_for_credentials()))
        .judged()
        .because(RULE, "fe80::1234 (link-local, eth0)");
}

#[test]
fn a_network_that_the_owner_has_written_down_is_allowed() {
    let host = host().runs(gateway(812).on("192.168.1.5:18789", asking_for_credentials()));
    host.judged().exposes(RULE, "192.168.1.5:18789");
    host.allowing_network("192.168.1.0/24").judged().is_safe();
}

#[test]
fn an_allowance_covers_its_network_and_no_other() {
    host()
        .interface("eth0", "203.0.113.7")
        .allowing_network("192.168.1.0/24")
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .judged()
        .exposes(RULE, "0.0.0.0:18789")
        .because(RULE, "203.0.113.7 (global, eth0)");
}

#[test]
fn every_socket_of_a_gateways_process_counts_not_only_the_one_that_answers() {
    host()
        .runs(
            gateway(812).on("127.0.0.1:18789", asking_for_credentials()).on("0.0.0.0:18795", another_site()),
        )
        .judged()
        .exposes(RULE, "0.0.0.0:18795");
}

#[test]
fn a_gateway_that_hangs_is_bound_where_it_is_bound() {
    host()
        .runs(gateway(812).on("192.168.1.5:18789", silent()))
        .judged()
        .exposes(RULE, "192.168.1.5:18789")
        .doubts("open-without-credentials", "192.168.1.5:18789");
}

#[test]
fn a_gateway_that_lets_nobody_ask_from_here_is_bound_where_it_is_bound() {
    let cut = hanging_up().but_access(Access::NoGateway);
    for manner in [refusing(), refusing().but_access(Access::NoGateway), hanging_up(), cut] {
        host()
            .runs(gateway(812).on("0.0.0.0:18789", manner))
            .judged()
            .exposes(RULE, "0.0.0.0:18789")
            .doubts("open-without-credentials", "0.0.0.0:18789");
    }
}

#[test]
fn a_gateway_without_a_panel_or_under_a_base_path_is_bound_all_the_same() {
    host()
        .runs(gateway(812).on("192.168.1.5:4000", asking_for_credentials().with_page(|it| *it = page(404))))
        .judged()
        .exposes(RULE, "192.168.1.5:4000");
}

#[test]
fn a_wildcard_on_a_host_whose_addresses_are_not_known_is_unknown() {
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .but(|snapshot| snapshot.interfaces = unseen(timed_out()))
        .judged()
        .doubts(RULE, "0.0.0.0:18789")
        .is(Verdict::Blind);
}

#[test]
fn an_address_that_no_interface_has_is_judged_by_itself() {
    host()
        .runs(gateway(812).on("203.0.113.9:18789", asking_for_credentials()))
        .judged()
        .exposes(RULE, "203.0.113.9:18789");
}

/// `tailscale down`: the gateway that is bound to the VPN's address alone is reached by nobody.
#[test]
fn an_address_that_this_host_does_not_have_at_the_moment_is_reached_by_nobody() {
    let waits = || {
        host()
            .runs(gateway(812).on("100.100.9.9:18789", silent()))
            .reaching("100.100.9.9:18789", Reached::Absent)
    };
    waits().judged().nothing_of(RULE).nothing_of("open-without-credentials").is_safe();
    waits()
        .visited_by(stranger("100.100.7.7:50111", "100.100.9.9:18789"))
        .judged()
        .nothing_of("foreign-peer")
        .is_safe();
    // An earlier look tells nothing of what is there by now, and none tells nothing at all.
    for blind in [
        |snapshot: &mut Snapshot| {
            let before = std::mem::replace(&mut snapshot.reach, Observation::never_ran());
            snapshot.reach = before.followed_by(Err(timed_out()));
        },
        |snapshot: &mut Snapshot| snapshot.reach = Observation::never_ran(),
    ] {
        waits()
            .visited_by(stranger("100.100.7.7:50111", "100.100.9.9:18789"))
            .but(blind)
            .judged()
            .doubts(RULE, "100.100.9.9:18789")
            .doubts("foreign-peer", "100.100.7.7")
            .is(Verdict::Blind);
    }
}
