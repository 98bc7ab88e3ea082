use std::collections::BTreeSet;

use guardian_rules::fact::{Role, Stopped};
use guardian_rules::snapshot::Snapshot;

use crate::scenery::*;

const RULE: &str = "revived-while-open";

/// The breaker has put down process 700. The programs of these hosts were started a second later.
fn stopped(snapshot: &mut Snapshot) {
    snapshot.stopped =
        Some(Stopped { since: 1_779_999_999, processes: BTreeSet::from([(700, 1_780_000_000)]) });
}

fn sound(pid: u32) -> Program {
    gateway(pid).on("127.0.0.1:18789", asking_for_credentials())
}

#[test]
fn while_nothing_is_stopped_a_gateway_may_run() {
    host().runs(sound(812)).judged().nothing_of(RULE).is_safe();
}

#[test]
fn while_it_is_stopped_and_stays_so_there_is_nothing_to_say() {
    host().but(stopped).judged().nothing_of(RULE);
}

#[test]
fn one_that_was_to_end_and_lives_was_not_revived() {
    host().runs(sound(700)).but(stopped).judged().nothing_of(RULE);
}

#[test]
fn one_that_was_there_before_the_trip_and_was_not_known_yet_was_not_revived() {
    let mut old = sound(812);
    old.process.started = 1_779_999_999;
    host().runs(old).but(stopped).judged().nothing_of(RULE);
}

#[test]
fn one_that_runs_again_is_exposed_and_its_supervisor_named() {
    host().runs(sound(812)).but(stopped).judged().exposes(RULE, "openclaw-gateway.service of user 1000");
}

#[test]
fn the_number_of_one_that_has_ended_is_no_excuse_for_another() {
    let mut again = sound(700);
    again.process.started += 60;
    host().runs(again).but(stopped).judged().exposes(RULE, "openclaw-gateway.service");
}

#[test]
fn without_a_service_whoever_started_it_is_named_and_not_its_wrapper() {
    let watchdog = program("watchdog.sh", 600, Role::Unknown);
    let mut wrapper = gateway(811);
    let mut serving = sound(812);
    for (gateway, parent) in [(&mut wrapper, 600), (&mut serving, 811)] {
        gateway.process.parent = Some(parent);
        gateway.marks.as_mut().unwrap().service = None;
    }
    let conclusion = host().runs(watchdog).runs(wrapper).runs(serving).but(stopped).judged();
    conclusion.exposes(RULE, "watchdog.sh (pid 600");
    assert!(conclusion.findings(RULE).all(|finding| finding.subject.contains("600")), "{conclusion:#?}");
}

#[test]
fn one_whose_parent_has_ended_was_revived_by_somebody_unknown() {
    let mut orphan = sound(812);
    orphan.marks.as_mut().unwrap().service = None;
    host().runs(orphan).but(stopped).judged().exposes(RULE, "an unknown supervisor");
}

#[test]
fn one_that_cannot_be_described_may_have_been_revived() {
    host().runs(sound(812).undescribed()).but(stopped).judged().doubts(RULE, "pid 812");
}
