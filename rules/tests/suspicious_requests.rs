use guardian_rules::fact::{Intent, Suspicion};
use guardian_rules::finding::Severity;
use guardian_rules::snapshot::Snapshot;

use crate::scenery::*;

const RULE: &str = "suspicious-requests";

/// What the gate reports.
fn refused<const COUNT: u32>(snapshot: &mut Snapshot) {
    snapshot.suspicions = vec![Suspicion { intent: Intent::Guessing, count: COUNT, last: ip("100.100.1.9") }];
}

fn sound() -> Program {
    gateway(812).on("127.0.0.1:18789", asking_for_credentials())
}

#[test]
fn somebody_who_mistypes_is_no_news() {
    host().runs(sound()).but(refused::<9>).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_few_are_worth_knowing_and_move_nothing() {
    let conclusion = host().runs(sound()).but(refused::<10>).judged();
    conclusion.is_safe();
    assert!(conclusion.findings(RULE).all(|finding| finding.severity == Severity::Warning));
    assert_eq!(conclusion.findings(RULE).count(), 1);
}

#[test]
fn many_are_an_attack_and_the_last_address_is_named() {
    let conclusion = host().runs(sound()).but(refused::<100>).judged();
    conclusion.exposes(RULE, "wrong tokens and passphrases");
    assert!(
        conclusion.findings(RULE).all(|finding| finding.evidence.iter().any(|it| it.contains("100.100.1.9")))
    );
}

#[test]
fn an_owner_who_does_not_want_it_gets_none_of_it() {
    let judged = host().runs(sound()).but(refused::<1_000_000>).suspecting(0).judged();
    judged.nothing_of(RULE).is_safe();
}
