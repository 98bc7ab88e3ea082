use guardian_rules::fact::{Device, Exposure};

use crate::scenery::*;

const RULE: &str = "paired-while-exposed";

/// A gateway that has paired somebody, at that time.
fn paired(at: Option<u64>) -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).marked(|it| {
        it.devices = Ok(vec![Device {
            id: "aa11".to_owned(),
            client: "openclaw-control-ui".to_owned(),
            platform: "linux".to_owned(),
            remote: Some("203.0.113.9".to_owned()),
            paired: at,
        }]);
    }))
}

fn exposed() -> Host {
    paired(Some(1500)).but(|it| it.exposures = vec![Exposure { from: Some(1000), until: Some(2000) }])
}

#[test]
fn whoever_was_paired_while_the_gateway_was_exposed_is_named() {
    exposed()
        .judged()
        .warns(RULE, "openclaw-control-ui from 203.0.113.9")
        .because(RULE, "while the gateway was exposed")
        .is_safe();
}

#[test]
fn as_long_as_it_is_not_blocked_it_is_exposed() {
    paired(Some(1500))
        .but(|it| it.exposures = vec![Exposure { from: Some(1000), until: None }])
        .judged()
        .warns(RULE, "openclaw-control-ui");
}

#[test]
fn whoever_was_paired_before_or_after_it_is_nothing() {
    for at in [999, 2001] {
        paired(Some(at))
            .but(|it| it.exposures = vec![Exposure { from: Some(1000), until: Some(2000) }])
            .judged()
            .nothing_of(RULE);
    }
}

#[test]
fn without_an_exposure_devices_are_nothing() {
    paired(Some(1500)).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_device_that_was_there_when_guardian_came_too_late_is_unknown() {
    paired(Some(1500))
        .but(|it| it.exposures = vec![Exposure { from: None, until: Some(2000) }])
        .judged()
        .because(RULE, "before it was known that the gateway was exposed")
        .is_safe();
}

#[test]
fn a_device_without_a_time_and_a_list_that_cannot_be_read_are_unknown() {
    let exposed = |host: Host| host.but(|it| it.exposures = vec![Exposure { from: Some(1), until: Some(2) }]);
    exposed(paired(None)).judged().because(RULE, "the gateway did not note").is_safe();
    let closed = host().runs(
        gateway(812).on("127.0.0.1:18789", asking_for_credentials()).marked(|it| it.devices = Err(denied())),
    );
    exposed(closed).judged().because(RULE, "who is paired with it cannot be told").is_safe();
}
