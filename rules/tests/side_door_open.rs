use guardian_rules::fact::{Attribution, SideDoor};
use guardian_rules::finding::{Answer, Severity};

use crate::scenery::*;

const RULE: &str = "side-door-open";

fn with_side_door(bound: &str, kind: SideDoor) -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).on(bound, side_door(kind)))
}

#[test]
fn a_gateway_with_one_door_has_no_side_door() {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials())).judged().nothing_of(RULE);
}

#[test]
fn browser_control_open_on_loopback_is_a_warning() {
    with_side_door("127.0.0.1:18791", SideDoor::BrowserControl)
        .judged()
        .warns(RULE, "127.0.0.1:18791")
        .because(RULE, "browser control")
        .is_safe();
}

#[test]
fn browser_control_beyond_the_allowed_networks_is_critical() {
    with_side_door("192.168.1.5:18791", SideDoor::BrowserControl).judged().exposes(RULE, "192.168.1.5:18791");
}

#[test]
fn the_extension_relay_on_loopback_is_info_and_critical_beyond() {
    with_side_door("127.0.0.1:18792", SideDoor::ExtensionRelay).judged().notes(RULE, "18792").is_safe();
    with_side_door("0.0.0.0:18792", SideDoor::ExtensionRelay).judged().exposes(RULE, "0.0.0.0:18792");
}

#[test]
fn an_inspector_of_the_gateway_is_a_warning_on_loopback_and_critical_beyond() {
    with_side_door("127.0.0.1:9229", SideDoor::Inspector).judged().warns(RULE, "127.0.0.1:9229").is_safe();
    with_side_door("0.0.0.0:9229", SideDoor::Inspector).judged().exposes(RULE, "0.0.0.0:9229");
}

#[test]
fn an_inspector_of_another_program_is_no_door_to_a_gateway() {
    host()
        .runs(unknown_program(700).on("0.0.0.0:9229", side_door(SideDoor::Inspector)))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn an_inspector_that_cannot_be_named_may_be_the_gateways() {
    let inspector = |bound: &str| {
        host()
            .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
            .runs(unknown_program(700).on(bound, side_door(SideDoor::Inspector)).unnamed())
            .judged()
    };
    inspector("0.0.0.0:9229").doubts(RULE, "0.0.0.0:9229").is_blind();
    inspector("127.0.0.1:9229").nothing_of(RULE).is_safe();
}

#[test]
fn a_side_door_carried_elsewhere_is_critical_there() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(socat(950).on("0.0.0.0:8000", side_door(SideDoor::BrowserControl)))
        .judged()
        .exposes(RULE, "0.0.0.0:8000");
}

#[test]
fn a_side_door_on_a_host_whose_addresses_are_not_known_is_unknown() {
    with_side_door("0.0.0.0:18791", SideDoor::BrowserControl)
        .but(|snapshot| snapshot.interfaces = unseen(timed_out()))
        .judged()
        .says(RULE, Severity::Critical, Answer::Unknown, "0.0.0.0:18791")
        .is_blind();
}

#[test]
fn a_side_door_of_a_process_that_cannot_be_named_counts() {
    host()
        .runs(gateway(812).on_socket("0.0.0.0:18791", side_door(SideDoor::BrowserControl), |it| {
            it.owner = Attribution::Unnamed(denied());
        }))
        .judged()
        .exposes(RULE, "0.0.0.0:18791");
}

#[test]
fn an_inspector_of_a_gateway_that_hangs_is_the_gateways() {
    host()
        .runs(
            gateway(812).on("127.0.0.1:18789", silent()).on("127.0.0.1:9229", side_door(SideDoor::Inspector)),
        )
        .judged()
        .warns(RULE, "127.0.0.1:9229");
}
