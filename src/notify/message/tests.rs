use guardian_rules::finding::{Answer, Severity};
use proptest::prelude::*;

use super::*;
use crate::doubt::Doubt;

pub(in crate::notify) fn finding(rule: &str, subject: &str) -> Evidence {
    Evidence {
        rule: rule.to_owned(),
        severity: Severity::Critical,
        answer: Answer::Yes,
        subject: subject.to_owned(),
        evidence: vec!["somebody said s3cr3t".to_owned()],
        remedy: "mend it".to_owned(),
    }
}

/// A trip a number of seconds after eight, with this many findings.
pub(in crate::notify) fn trip(second: i64, findings: usize) -> Trip {
    let eight: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    let at = eight + jiff::SignedDuration::from_secs(second);
    let findings: Vec<Evidence> = (0..findings)
        .map(|nth| finding("bound-beyond-allowed", &format!("0.0.0.0:{}", 18789 + nth)))
        .collect();
    Trip::new(at, Cause::Exposed, "bound-beyond-allowed at 0.0.0.0:18789", &findings)
}

pub(in crate::notify) fn stamped(notice: Notice) -> Stamped {
    Stamped { at: "2026-11-23T08:00:00Z".parse().unwrap(), notice }
}

#[test]
fn a_trip_says_what_where_since_when_and_what_to_type() {
    let message = message(&stamped(Notice::Tripped(trip(0, 3))), "pine", 1);
    assert_eq!(message.title, "Gateway blocked on pine");
    let title = catalog::rule("bound-beyond-allowed").unwrap().title.trim_end_matches('.');
    assert_eq!(
        message.body,
        format!(
            "{title}: 0.0.0.0:18789\n\
             And 2 more findings.\n\
             Since 08:00 UTC. Guardian keeps it blocked until you recover.\n\
             Type: guardian status"
        )
    );
    assert_eq!((message.urgency, message.key.as_str()), (Urgency::Critical, "20261123T080000.000Z"));
}

#[test]
fn news_shows_what_is_new_and_counts() {
    let message = message(&stamped(Notice::News(trip(0, 2))), "pine", 4);
    assert!(message.body.contains("0.0.0.0:18790") && message.body.contains("4 reports"), "{message:?}");
    assert_eq!(message.key, key(&stamped(Notice::Tripped(trip(0, 1)))));
}

#[test]
fn observing_never_claims_that_something_was_blocked() {
    let message = message(&stamped(Notice::WouldTrip(trip(0, 1))), "pine", 1);
    assert!(message.title.contains("NOT blocked") && message.body.contains("would have"), "{message:?}");
    assert_eq!(message.urgency, Urgency::Critical);
}

#[test]
fn a_policy_that_is_refused_is_told_without_quoting_it() {
    let message = message(&stamped(Notice::PolicyRefused("moed = \"s3cr3t\"".to_owned())), "pine", 1);
    assert_eq!(message.title, "Guardian's policy is refused on pine");
    assert!(!message.body.contains("s3cr3t") && message.body.contains("guardian status"), "{message:?}");
    assert_eq!(message.urgency, Urgency::Critical);
}

#[test]
fn a_doubt_says_what_cannot_be_told_and_when_the_circuit_opens() {
    let at: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    let doubt = Doubt {
        since: at,
        opens: Some(at + jiff::SignedDuration::from_secs(8)),
        findings: vec![finding("panel-republished", "0.0.0.0:8088"), finding("panel-republished", "x")],
    };
    let message = message(&stamped(Notice::Doubt(doubt)), "pine", 1);
    let title = catalog::rule("panel-republished").unwrap().title.trim_end_matches('.');
    assert_eq!(
        message.body,
        format!(
            "This cannot be told: {title}: 0.0.0.0:8088\n\
             And one more finding.\n\
             The circuit opens in about 8 seconds, unless it can be told by then.\n\
             Type: guardian status"
        )
    );
    assert_eq!(message.urgency, Urgency::Normal, "a trip follows, if it comes to that");
}

#[test]
fn every_cause_has_a_sentence() {
    for (cause, first) in [
        (Cause::Blind, "Not everything could be seen for 10s."),
        (Cause::Asked, "Not everything could be seen for 10s."),
        (Cause::Exposed, "Not everything could be seen for 10s."),
        (Cause::Damaged, "Guardian's own record is missing or damaged, so nothing is let in."),
        (Cause::Expired, "The recovery was not finished in time."),
    ] {
        let trip = Trip::new(Timestamp::UNIX_EPOCH, cause, "not everything could be seen for 10s", &[]);
        let message = message(&stamped(Notice::Tripped(trip)), "pine", 1);
        assert_eq!(message.body.lines().next(), Some(first));
    }
}

#[test]
fn recovery_and_its_end_name_who_and_are_not_critical() {
    for notice in [Notice::Recovering("ana".to_owned()), Notice::Closed("ana".to_owned())] {
        let message = message(&stamped(notice), "pine", 1);
        assert!(message.body.starts_with("ana ") && message.body.ends_with("guardian status"));
        assert_eq!(message.urgency, Urgency::Normal);
    }
}

#[test]
fn evidence_is_not_quoted_and_secrets_in_a_reason_are_taken_out() {
    let mut trip = trip(0, 2);
    trip.cause = Cause::Asked;
    trip.why = "ana: somebody posted token=s3cr3t".to_owned();
    let message = message(&stamped(Notice::Tripped(trip)), "pine", 1);
    assert!(!format!("{message:?}").contains("s3cr3t"), "{message:?}");
}

proptest! {
    #[test]
    fn any_notice_makes_a_short_message(why in ".{0,600}", subject in ".{0,600}", rule in ".{0,90}", asked: bool) {
        let cause = if asked { Cause::Asked } else { Cause::Exposed };
        let trip = Trip::new(Timestamp::UNIX_EPOCH, cause, why, &[finding(&rule, &subject)]);
        for notice in [Notice::Tripped(trip.clone()), Notice::News(trip.clone()), Notice::WouldTrip(trip)] {
            let message = message(&stamped(notice), "pine", 2);
            prop_assert!(message.body.lines().count() <= 5);
            prop_assert!(message.body.lines().all(|line| line.chars().count() <= REASON + 4));
        }
    }
}
