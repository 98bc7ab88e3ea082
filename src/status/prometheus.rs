//! The status as numbers, for Prometheus. The names are a contract: `docs/monitoring.md` lists them.
//!
//! How many series there are depends on no text that a stranger writes: labels are words of
//! Guardian's own.

use std::collections::BTreeMap;

use guardian_rules::catalog;
use guardian_rules::finding::Severity;
use guardian_rules::verdict::Verdict;
use jiff::Timestamp;

use super::timeline::{Turn, Was};
use super::{Daemon, Status};
use crate::config::Mode;
use crate::exposition::Exposition;
use crate::round::Outcome;
use crate::sys::clock::Now;

const CIRCUITS: [&str; 3] = ["closed", "half-open", "open"];
const HELD: [&str; 3] = ["yes", "no", "unknown"];
/// A finding of a rule that this program does not know is counted here.
const OTHER: &str = "other";

/// All of it at a moment. Without a watcher it is what can be said without one, and `guardian_up` is 0.
pub(crate) fn prometheus(status: &Status, now: Now) -> String {
    let mut text = Exposition::default();
    let running = status.daemon == Daemon::Running;
    text.gauge("guardian_up", "Whether a watcher answers, and looks.").is(u8::from(running));
    text.gauge("guardian_build_info", "Always 1; the version that writes this.")
        .with(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    judgement(&mut text, status);
    circuit(&mut text, status, now);
    trips(&mut text, status);
    probes(&mut text, status, now);
    policy(&mut text, status);
    text.into_text()
}

/// What is seen.
fn judgement(text: &mut Exposition, status: &Status) {
    let verdict = status.verdict.map(|verdict| match verdict {
        Verdict::Safe => "safe",
        Verdict::Blind => "blind",
        Verdict::Exposed => "exposed",
    });
    text.gauge("guardian_verdict", "1 for what the last look came to; none of them before the first.").word(
        &[],
        "verdict",
        &["safe", "blind", "exposed"],
        verdict,
    );
    text.gauge("guardian_round_age_seconds", "How long ago everything was last seen; none if it never was.")
        .may_be(status.round_age_ms.map(seconds));
    let mut findings =
        text.gauge("guardian_findings", "Findings of the last whole look, by rule and severity.");
    for ((rule, severity), count) in found(status) {
        findings.with(&[("rule", rule), ("severity", severity.as_str())], count);
    }
    let mut gateways =
        text.gauge("guardian_gateways", "Gateways seen, by what they ask of whoever comes in.");
    for access in ["open", "required", "unknown"] {
        let count = status.gateways.iter().filter(|gateway| access_of(gateway) == access).count();
        gateways.with(&[("access", access)], count);
    }
}

/// Whether anybody gets through, and what keeps them out.
fn circuit(text: &mut Exposition, status: &Status, now: Now) {
    text.gauge("guardian_breaker_state", "1 for the state of the circuit; open is blocked.").word(
        &[],
        "state",
        &CIRCUITS,
        Some(status.breaker.as_str()),
    );
    text.gauge("guardian_breaker_since_timestamp_seconds", "When the circuit came into its state.")
        .may_be(status.since.map(Timestamp::as_second));
    let lease = status.lease.filter(|lease| lease.is_live(now.moment));
    text.gauge("guardian_lease_live", "Whether the gate may forward.").is(u8::from(lease.is_some()));
    text.gauge("guardian_lease_remaining_seconds", "How long it may if nobody renews the lease.")
        .is(lease.map_or(0.0, |lease| lease.left(now.moment).as_secs_f64()));
    let mut barriers = text.gauge(
        "guardian_barrier_held",
        "While the circuit is open: 1 for whether a barrier is proven to stand.",
    );
    for barrier in status.trip.iter().flat_map(|trip| &trip.barriers) {
        let of = [("barrier", barrier.barrier.as_str())];
        barriers.word(&of, "held", &HELD, Some(barrier.held.as_str()));
    }
    let mut seal =
        text.gauge("guardian_seal_held", "While the circuit is closed: 1 for whether the seal stands.");
    if let Some(held) = status.seal {
        seal.word(&[], "held", &HELD, Some(held.as_str()));
    }
    text.gauge("guardian_recovery_ends_timestamp_seconds", "When a recovery that is not closed opens again.")
        .may_be(status.half_open.as_ref().map(|recovery| recovery.until.as_second()));
}

fn trips(text: &mut Exposition, status: &Status) {
    let trip = status.trip.as_ref();
    text.gauge("guardian_trips_last_week", "How often the circuit opened in the last seven days.")
        .is(openings(&status.timeline));
    text.gauge("guardian_trip_timestamp_seconds", "When it opened, until it is closed again.")
        .may_be(trip.map(|trip| trip.at.as_second()));
    text.gauge("guardian_trip_detect_seconds", "From the last look without an exposure to the lock.")
        .may_be(trip.and_then(|trip| trip.detect_ms).map(seconds));
    text.gauge("guardian_trip_block_seconds", "From the trip until every barrier was found standing.")
        .may_be(trip.and_then(|trip| trip.block_ms).map(seconds));
}

fn probes(text: &mut Exposition, status: &Status, now: Now) {
    let mut blind = text.gauge("guardian_probe_blind", "Whether a probe cannot see.");
    for probe in &status.probes {
        let is = u8::from(probe.outcome == Outcome::Blind);
        blind.with(&[("probe", probe.probe.as_str())], is);
    }
    let mut age = text.gauge("guardian_probe_age_seconds", "How long ago a probe began to look last.");
    for (probe, looked) in status.probes.iter().filter_map(|it| Some((it.probe, it.looked?))) {
        // A clock that was set back makes nothing younger than now.
        let seconds = now.wall.duration_since(looked).as_secs_f64().max(0.0);
        age.with(&[("probe", probe.as_str())], seconds);
    }
}

/// What the policy says, and what is missing.
fn policy(text: &mut Exposition, status: &Status) {
    let mode = match status.mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    };
    text.gauge("guardian_mode", "1 for the mode of the policy.").word(
        &[],
        "mode",
        &["enforce", "observe"],
        Some(mode),
    );
    text.gauge("guardian_armed", "Whether an exposure would be blocked with all that it takes.")
        .is(u8::from(status.armed));
    text.gauge("guardian_degraded", "Sentences of `guardian status` under What is missing.")
        .is(status.degraded.len());
    text.gauge("guardian_allowances", "Written exceptions in force.").is(status.allowances.len());
    let ends = status.allowances.iter().map(|allowance| allowance.until).min();
    text.gauge("guardian_allowance_ends_timestamp_seconds", "When the first of them ends.")
        .may_be(ends.map(Timestamp::as_second));
}

/// Every rule there is at its own severity, and whatever was found.
fn found(status: &Status) -> BTreeMap<(&'static str, Severity), u64> {
    let mut counts: BTreeMap<_, u64> =
        catalog::CATALOG.iter().map(|rule| ((rule.id, rule.severity), 0)).collect();
    for found in &status.found {
        let rule = catalog::rule(&found.rule).map_or(OTHER, |rule| rule.id);
        let count = counts.entry((rule, found.severity)).or_default();
        *count = count.saturating_add(found.count);
    }
    counts
}

fn access_of(gateway: &serde_json::Value) -> &str {
    match gateway.get("access").and_then(serde_json::Value::as_str) {
        Some(access @ ("open" | "required")) => access,
        _ => "unknown",
    }
}

/// How often it opened. A watcher that was away in between found it as it was.
fn openings(turns: &[Turn]) -> usize {
    let mut before = None;
    let watched = turns.iter().map(|turn| turn.was).filter(|was| *was != Was::Unwatched);
    watched.filter(|was| before.replace(*was) != Some(*was) && *was == Was::Open).count()
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod named;
#[cfg(test)]
mod tests;
