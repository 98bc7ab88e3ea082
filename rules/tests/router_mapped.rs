use guardian_rules::fact::{Access, Role, Router};
use guardian_rules::finding::{Answer, Severity};

use crate::scenery::*;

const RULE: &str = "router-mapped";
const FACE: &str = "192.168.1.5:18789";

/// A gateway that the owner lets the local network reach.
fn kiosk() -> Host {
    host().runs(gateway(812).on(FACE, asking_for_credentials())).allowing_network("192.168.1.0/24")
}

#[test]
fn a_router_that_carries_nothing_here_is_nothing() {
    kiosk().judged().nothing_of(RULE).is_safe();
    kiosk().behind(idle_router()).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_router_that_carries_a_port_to_a_gateway_exposes_it() {
    kiosk()
        .behind(router_to(FACE))
        .judged()
        .exposes(RULE, "198.51.100.1:4711")
        .because(RULE, "the router 192.168.1.1 carries 198.51.100.1:4711 to 192.168.1.5:18789")
        .because(RULE, "(\"game\"): the whole internet");
}

#[test]
fn a_router_that_does_not_tell_its_own_address_is_named_instead() {
    kiosk()
        .behind(Router { public: None, ..router_to(FACE) })
        .judged()
        .exposes(RULE, "port 4711 of the router 192.168.1.1")
        .because(RULE, "the whole internet");
}

#[test]
fn a_router_behind_another_one_carries_those_who_are_between_them() {
    for (public, who) in
        [("10.0.0.9", "everyone on the local network"), ("100.64.0.9", "everyone in the provider's network")]
    {
        kiosk()
            .behind(Router { public: Some(ip(public)), ..router_to(FACE) })
            .judged()
            .exposes(RULE, public)
            .because(RULE, who);
    }
}

#[test]
fn a_router_that_carries_a_port_to_another_service_is_nothing() {
    kiosk()
        .runs(program("httpd", 700, Role::Unknown).on("192.168.1.5:80", another_site()))
        .behind(router_to("192.168.1.5:80"))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_router_that_carries_a_port_to_a_proxy_of_the_gateway_exposes_it() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(nginx(900).on("192.168.1.5:8088", carrying_the_gateway()))
        .behind(router_to("192.168.1.5:8088"))
        .judged()
        .exposes(RULE, "198.51.100.1:4711");
}

#[test]
fn what_may_be_a_gateway_behind_a_mapping_is_unknown() {
    let looks_like_one = decoy().but_access(Access::Unknown(timed_out()));
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(nginx(900).on("192.168.1.5:8088", looks_like_one))
        .allowing_network("192.168.1.0/24")
        .behind(router_to("192.168.1.5:8088"))
        .judged()
        .doubts(RULE, "198.51.100.1:4711")
        .because(RULE, "whether a gateway is at 192.168.1.5:8088 cannot be told");
}

#[test]
fn a_mapping_that_waits_for_a_gateway_is_a_warning() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .behind(router_to(FACE))
        .judged()
        .warns(RULE, "198.51.100.1:4711")
        .because(RULE, "nobody listens on 192.168.1.5:18789, for now")
        .is_safe();
}

#[test]
fn a_router_that_does_not_tell_what_it_carries_is_unknown_and_a_warning() {
    kiosk()
        .behind(router_that_does_not_tell())
        .judged()
        .says(RULE, Severity::Warning, Answer::Unknown, "192.168.1.1")
        .because(RULE, "does not tell what it carries: denied: no permission")
        .is_safe();
}

#[test]
fn an_allowed_path_is_info() {
    kiosk()
        .allowing_path("router")
        .behind(router_to(FACE))
        .judged()
        .notes(RULE, "198.51.100.1:4711")
        .is_safe();
}

#[test]
fn what_another_device_of_the_network_claims_is_a_warning_and_opens_no_circuit() {
    kiosk()
        .behind(Router { is_the_way_out: false, ..router_to(FACE) })
        .judged()
        .warns(RULE, "198.51.100.1")
        .because(RULE, "any device can say so");
}
