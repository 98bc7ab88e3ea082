//! What the status is in numbers.

use std::time::Duration;

use guardian_rules::finding::Answer;
use guardian_rules::snapshot::ProbeId;
use serde_json::json;

use super::*;
use crate::barrier::{Barrier, Held};
use crate::breaker::effect::Reach;
use crate::breaker::state::Circuit;
use crate::lease::Lease;
use crate::status::{AllowanceStatus, BarrierStatus, Found, ProbeStatus, Recovery, TripStatus};
use crate::sys::clock::Moment;
use crate::trip::{Cause, Evidence, Trip};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Now {
    Now { moment: Moment::after_boot(Duration::from_secs(100)), wall: at("2026-11-23T08:05:00Z") }
}

fn running(circuit: Circuit) -> Status {
    Status::new(circuit, Some(at("2026-11-23T08:00:00Z")), Mode::Enforce, Daemon::Running)
}

/// As much as a status can say, with a subject that is a stranger's.
fn tripped() -> Status {
    let finding = Evidence {
        rule: "bound-beyond-allowed".to_owned(),
        severity: Severity::Critical,
        answer: Answer::Yes,
        subject: "evil\"} 1\nguardian_up 1".to_owned(),
        evidence: vec!["evil\nguardian_up 1".to_owned()],
        remedy: String::new(),
    };
    let trip = Trip::new(at("2026-11-23T08:00:00Z"), Cause::Exposed, "evil\nguardian_up 1", &[finding]);
    let barrier = |barrier, held| BarrierStatus { barrier, held };
    let trip = TripStatus {
        barriers: vec![barrier(Barrier::Lock, Held::Yes), barrier(Barrier::Firewall, Held::Unknown)],
        detect_ms: Some(81),
        block_ms: Some(1500),
        ..TripStatus::from(&trip)
    };
    let probe = |probe, outcome, looked| ProbeStatus {
        probe,
        outcome,
        reason: Some("evil\nguardian_up 1".to_owned()),
        looked,
    };
    let found = |rule: &str, severity, count| Found { rule: rule.to_owned(), severity, count };
    Status {
        trip: Some(trip),
        verdict: Some(Verdict::Exposed),
        round_age_ms: Some(250),
        found: vec![
            found("bound-beyond-allowed", Severity::Critical, 2),
            found("panel-republished", Severity::Info, 1),
            found("evil\"} 1\nguardian_up 1", Severity::Warning, 3),
            found("evil again", Severity::Warning, 4),
        ],
        gateways: vec![json!({ "access": "open" }), json!({ "access": "evil\n" }), json!(null)],
        degraded: vec!["evil\nguardian_up 1".to_owned()],
        probes: vec![
            probe(ProbeId::Listeners, Outcome::Seen, Some(at("2026-11-23T08:04:59.5Z"))),
            probe(ProbeId::Router, Outcome::Blind, None),
            probe(ProbeId::Peers, Outcome::Seen, Some(at("2026-11-23T09:00:00Z"))),
        ],
        allowances: ["2026-12-31T00:00:00Z", "2026-11-30T00:00:00Z"]
            .map(|until| AllowanceStatus {
                network: None,
                path: Some("evil\nguardian_up 1".to_owned()),
                reason: "evil\nguardian_up 1".to_owned(),
                until: at(until),
            })
            .to_vec(),
        ..running(Circuit::Open)
    }
}

/// Whatever a watcher can say, of one status after the other.
pub(super) fn everything() -> String {
    let sealed = Status { seal: Some(Held::No), ..running(Circuit::Closed) };
    let known: String = [tripped(), sealed].iter().map(|status| prometheus(status, now())).collect();
    let probes = |probe| {
        format!(
            "guardian_probe_blind{{probe=\"{probe}\"}} 0\nguardian_probe_age_seconds{{probe=\"{probe}\"}} 0\n"
        )
    };
    let barriers = [Barrier::Service, Barrier::Process, Barrier::Port];
    let barriers = barriers.map(|it| format!("guardian_barrier_held{{barrier=\"{}\"}} 1\n", it.as_str()));
    let more = ProbeId::ALL.into_iter().map(probes).chain(barriers);
    more.fold(known, |known, line| known + &line)
}

#[track_caller]
fn says(status: &Status, lines: &[&str]) {
    let text = prometheus(status, now());
    for line in lines {
        assert_eq!(text.lines().filter(|it| it == line).count(), 1, "{line}\n{text}");
    }
}

#[test]
fn a_trip_is_told_in_numbers() {
    says(
        &tripped(),
        &[
            "guardian_up 1",
            concat!("guardian_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "guardian_verdict{verdict=\"exposed\"} 1",
            "guardian_verdict{verdict=\"safe\"} 0",
            "guardian_round_age_seconds 0.25",
            "guardian_findings{rule=\"bound-beyond-allowed\",severity=\"critical\"} 2",
            "guardian_findings{rule=\"panel-republished\",severity=\"critical\"} 0",
            "guardian_findings{rule=\"panel-republished\",severity=\"info\"} 1",
            "guardian_findings{rule=\"other\",severity=\"warning\"} 7",
            "guardian_gateways{access=\"open\"} 1",
            "guardian_gateways{access=\"required\"} 0",
            "guardian_gateways{access=\"unknown\"} 2",
            "guardian_breaker_state{state=\"open\"} 1",
            "guardian_breaker_state{state=\"half-open\"} 0",
            "guardian_breaker_state{state=\"closed\"} 0",
            "guardian_breaker_since_timestamp_seconds 1795420800",
            "guardian_lease_live 0",
            "guardian_barrier_held{barrier=\"lock\",held=\"yes\"} 1",
            "guardian_barrier_held{barrier=\"firewall\",held=\"yes\"} 0",
            "guardian_barrier_held{barrier=\"firewall\",held=\"unknown\"} 1",
            "guardian_trip_timestamp_seconds 1795420800",
            "guardian_trip_detect_seconds 0.081",
            "guardian_trip_block_seconds 1.5",
            "guardian_probe_blind{probe=\"listeners\"} 0",
            "guardian_probe_blind{probe=\"router\"} 1",
            "guardian_probe_age_seconds{probe=\"listeners\"} 0.5",
            "guardian_probe_age_seconds{probe=\"peers\"} 0",
            "guardian_mode{mode=\"enforce\"} 1",
            "guardian_armed 0",
            "guardian_degraded 1",
            "guardian_allowances 2",
            "guardian_allowance_ends_timestamp_seconds 1795996800",
        ],
    );
    let text = prometheus(&tripped(), now());
    assert!(!text.contains("probe_age_seconds{probe=\"router\"}"), "it never looked\n{text}");
    assert!(!text.contains("evil"), "no text of a stranger is in it\n{text}");
}

#[test]
fn a_lease_lasts_as_long_as_it_lasts_and_a_recovery_has_an_end() {
    let lease = |expires| Some(Lease::new(Reach::Allowed, 1, Moment::after_boot(expires)));
    let live = Status { lease: lease(Duration::from_millis(100_600)), ..running(Circuit::Closed) };
    says(&live, &["guardian_lease_live 1", "guardian_lease_remaining_seconds 0.6"]);
    let ended = Status { lease: lease(Duration::from_secs(100)), ..running(Circuit::Closed) };
    says(&ended, &["guardian_lease_live 0", "guardian_lease_remaining_seconds 0"]);
    let recovery =
        Recovery { safe: 3, wanted: 10, until: at("2026-11-23T08:15:00Z"), in_the_way: Vec::new() };
    let half = Status { half_open: Some(recovery), ..running(Circuit::HalfOpen) };
    says(
        &half,
        &[
            "guardian_breaker_state{state=\"half-open\"} 1",
            "guardian_recovery_ends_timestamp_seconds 1795421700",
        ],
    );
    let sealed = Status { seal: Some(Held::No), ..running(Circuit::Closed) };
    says(&sealed, &["guardian_seal_held{held=\"no\"} 1", "guardian_seal_held{held=\"yes\"} 0"]);
}

#[test]
fn without_a_watcher_it_is_down_and_nothing_is_said_to_be_safe() {
    for daemon in [Daemon::Absent, Daemon::Stale] {
        let status = Status { daemon, ..running(Circuit::Closed) };
        says(&status, &["guardian_up 0", "guardian_armed 0", "guardian_lease_live 0"]);
        assert!(!prometheus(&status, now()).contains("verdict=\"safe\"} 1"));
    }
}

#[test]
fn an_opening_is_counted_once_whoever_was_away_in_between() {
    let turns = |turns: &[Was]| -> Vec<Turn> {
        turns.iter().map(|was| Turn { at: at("2026-11-23T08:00:00Z"), was: *was }).collect()
    };
    for (past, count) in [
        (&[][..], 0),
        (&[Was::Closed], 0),
        (&[Was::Open], 1),
        (&[Was::Open, Was::Unwatched, Was::Open], 1),
        (&[Was::Closed, Was::Open, Was::HalfOpen, Was::Open, Was::Unwatched, Was::Closed, Was::Open], 3),
    ] {
        assert_eq!(openings(&turns(past)), count, "{past:?}");
    }
}
