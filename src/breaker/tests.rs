//! The breaker by examples; [`walk`] has every sequence of events.

use guardian_rules::finding::{Answer as Found, Severity};
use jiff::Timestamp;

use super::*;
use crate::sys::clock::Moment;

mod walk;

pub(super) fn rules() -> Rules {
    Rules {
        observes: false,
        stops: false,
        can_isolate: true,
        patience: Duration::from_secs(10),
        rounds: 3,
        recovery: Duration::from_mins(15),
        boot: Some("this boot".to_owned()),
    }
}

pub(super) fn at(seconds: u64) -> Now {
    let wall = Timestamp::from_second(1_000_000 + seconds.cast_signed()).unwrap();
    Now { moment: Moment::after_boot(Duration::from_secs(100 + seconds)), wall }
}

pub(super) fn closed() -> State {
    Closed::since(at(0).wall).into()
}

pub(super) fn proof(subject: &str) -> Evidence {
    Evidence {
        rule: "bound-beyond-allowed".to_owned(),
        severity: Severity::Critical,
        answer: Found::Yes,
        subject: subject.to_owned(),
        evidence: Vec::new(),
        remedy: String::new(),
    }
}

pub(super) fn round(verdict: Verdict) -> Event {
    let findings = if verdict == Verdict::Exposed { vec![proof("0.0.0.0:18789")] } else { Vec::new() };
    Event::Round(Round { verdict, findings, open_beyond: false })
}

pub(super) fn by(owner: bool) -> Asker {
    Asker { name: if owner { "ana" } else { "bob" }.to_owned(), owner }
}

fn opened() -> State {
    step(&rules(), closed(), round(Verdict::Exposed), at(1)).0
}

fn recovering() -> State {
    let recover = Event::Recover { by: by(true), review: Review::default() };
    step(&rules(), opened(), recover, at(2)).0
}

fn answer(effects: &[Effect]) -> Option<&Answer> {
    effects.iter().find_map(|effect| match effect {
        Effect::Answer(answer) => Some(answer),
        _ => None,
    })
}

#[test]
fn a_trip_takes_the_lease_first_then_locks_then_touches_the_host_then_tells() {
    let (state, effects) = step(&rules(), closed(), round(Verdict::Exposed), at(1));
    let trip = state.trip().unwrap().clone();
    assert_eq!(state.circuit(), state::Circuit::Open);
    assert_eq!(
        effects,
        [
            Effect::RevokeLease,
            Effect::Lock(trip.clone()),
            Effect::Hold,
            Effect::Save,
            Effect::Record("tripped"),
            Effect::Tell(Notice::Tripped(trip)),
        ]
    );
}

#[test]
fn blind_shuts_the_gate_at_once_and_trips_after_the_patience_of_the_policy() {
    let (state, effects) = step(&rules(), closed(), round(Verdict::Blind), at(1));
    assert_eq!(effects, [Effect::RevokeLease]);
    let (state, effects) = step(&rules(), state, round(Verdict::Blind), at(10));
    assert_eq!(effects, [Effect::RevokeLease]);
    let (state, _) = step(&rules(), state, round(Verdict::Blind), at(11));
    assert_eq!(state.trip().unwrap().cause, Cause::Blind);
}

fn doubtful(subject: &str) -> Event {
    let doubt = Evidence {
        rule: "panel-republished".to_owned(),
        answer: Found::Unknown,
        remedy: "Stop it.".to_owned(),
        ..proof(subject)
    };
    Event::Round(Round { verdict: Verdict::Blind, findings: vec![doubt], open_beyond: false })
}

/// What is announced as doubtful.
fn announced(effects: &[Effect]) -> Vec<&str> {
    let recorded = effects.iter().filter_map(|effect| match effect {
        Effect::RecordDoubt(doubt) => Some(&doubt.findings),
        _ => None,
    });
    recorded.flatten().map(|finding| finding.subject.as_str()).collect()
}

#[test]
fn a_doubt_that_lasts_is_announced_once_before_it_trips_and_says_when_and_what_to_do() {
    let (state, effects) = step(&rules(), closed(), doubtful("0.0.0.0:8088"), at(1));
    assert_eq!(effects, [Effect::RevokeLease], "it may be settled by the next look");
    let (state, effects) = step(&rules(), state, doubtful("0.0.0.0:8088"), at(3));
    let [Effect::RevokeLease, Effect::RecordDoubt(doubt), Effect::Tell(Notice::Doubt(told))] =
        effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!((doubt.since, doubt.opens), (at(1).wall, Some(at(11).wall)));
    assert_eq!(doubt, told);
    assert_eq!(
        doubt.line(&doubt.findings[0], at(3).wall),
        "it cannot be told: panel-republished at 0.0.0.0:8088. The circuit opens in about 8 seconds, unless it can be told \
         by then. Stop it."
    );
    let (state, effects) = step(&rules(), state, doubtful("0.0.0.0:8088"), at(4));
    assert_eq!(effects, [Effect::RevokeLease], "it was announced");
    let (state, effects) = step(&rules(), state, doubtful("0.0.0.0:8089"), at(5));
    assert_eq!(announced(&effects), ["0.0.0.0:8089"], "another one");
    let (state, _) = step(&rules(), state, doubtful("0.0.0.0:8088"), at(11));
    assert_eq!(state.trip().unwrap().cause, Cause::Blind);
}

#[test]
fn a_doubt_that_comes_and_goes_is_not_announced_all_the_time() {
    let mut state = closed();
    let mut lines = 0;
    for begun in (0..1200).step_by(10) {
        for (event, after) in [(doubtful("x"), 0), (doubtful("x"), 3), (round(Verdict::Safe), 4)] {
            let (next, effects) = step(&rules(), state, event, at(begun + after));
            state = next;
            lines += announced(&effects).len();
        }
    }
    assert_eq!(lines, 2, "once in ten minutes");
}

#[test]
fn people_are_told_of_doubts_once_a_minute_however_many_there_are_and_the_journal_of_each() {
    let rules = Rules { patience: Duration::from_secs(1000), ..rules() };
    let (mut state, _) = step(&rules, closed(), doubtful("0"), at(1));
    let (mut recorded, mut told) = (0, 0);
    for second in 3..=122 {
        let (next, effects) = step(&rules, state, doubtful(&second.to_string()), at(second));
        state = next;
        recorded += announced(&effects).len();
        told += effects.iter().filter(|it| matches!(it, Effect::Tell(Notice::Doubt(_)))).count();
    }
    assert_eq!((recorded, told), (120, 2));
}

#[test]
fn what_does_not_fit_in_one_announcement_is_in_the_next() {
    let (one, other) = (doubtful("first"), doubtful("last"));
    let (Event::Round(mut round), Event::Round(last)) = (one, other) else { panic!("they are rounds") };
    let first = round.findings[0].clone();
    round.findings = (0..FINDINGS).map(|n| Evidence { subject: n.to_string(), ..first.clone() }).collect();
    round.findings.extend(last.findings);
    let (state, _) = step(&rules(), closed(), Event::Round(round.clone()), at(1));
    let (state, effects) = step(&rules(), state, Event::Round(round.clone()), at(3));
    assert_eq!(announced(&effects).len(), FINDINGS);
    let (_, effects) = step(&rules(), state, Event::Round(round), at(4));
    assert_eq!(announced(&effects), ["last"]);
}

#[test]
fn a_doubt_where_guardian_only_observes_names_no_end() {
    let rules = Rules { observes: true, ..rules() };
    let (state, _) = step(&rules, closed(), doubtful("x"), at(1));
    let (_, effects) = step(&rules, state, doubtful("x"), at(4));
    let told = effects.iter().find_map(|effect| match effect {
        Effect::RecordDoubt(doubt) => Some(doubt.line(&doubt.findings[0], at(4).wall)),
        _ => None,
    });
    assert_eq!(
        told.as_deref(),
        Some(
            "it cannot be told: panel-republished at x. Guardian only observes: nothing is blocked. Stop it."
        )
    );
}

#[test]
fn a_safe_round_in_between_begins_the_patience_anew() {
    let (state, _) = step(&rules(), closed(), round(Verdict::Blind), at(1));
    let (state, effects) = step(&rules(), state, round(Verdict::Safe), at(9));
    assert_eq!(effects, [Effect::MintLease(Reach::Allowed)]);
    let (state, _) = step(&rules(), state, round(Verdict::Blind), at(12));
    assert_eq!(state.circuit(), state::Circuit::Closed);
}

#[test]
fn time_asleep_is_no_blindness_and_no_permit_outlives_it() {
    let (state, _) = step(&rules(), closed(), round(Verdict::Blind), at(1));
    let (state, effects) = step(&rules(), state, Event::Slept, at(3600));
    assert_eq!(effects, [Effect::RevokeLease]);
    let (state, _) = step(&rules(), state, round(Verdict::Blind), at(3601));
    assert_eq!(state.circuit(), state::Circuit::Closed, "the patience begins with the first look after it");
    let (state, _) = step(&rules(), state, round(Verdict::Blind), at(3611));
    assert_eq!(state.trip().unwrap().cause, Cause::Blind);
    let (state, effects) = step(&rules(), recovering(), Event::Slept, at(5));
    assert_eq!(effects, [Effect::RevokeLease]);
    let State::HalfOpen(half) = state else { panic!("{state:?}") };
    assert_eq!(half.safe, 0);
    assert!(step(&rules(), opened(), Event::Slept, at(5)).1.is_empty());
}

#[test]
fn a_gateway_is_isolated_where_that_is_possible_and_else_stopped() {
    let level = |rules: &Rules, open_beyond| {
        let round = Round { verdict: Verdict::Exposed, findings: vec![proof("x")], open_beyond };
        match step(rules, closed(), Event::Round(round), at(1)).0 {
            State::Open(open) => open.level,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(level(&rules(), false), Level::Isolated);
    assert_eq!(level(&rules(), true), Level::Stopped, "open without credentials beyond loopback");
    assert_eq!(level(&Rules { stops: true, ..rules() }, false), Level::Stopped);
    assert_eq!(level(&Rules { can_isolate: false, ..rules() }, false), Level::Stopped);
}

#[test]
fn isolation_that_is_not_proven_in_time_becomes_a_stop_once() {
    let unproven = || Event::Isolation { proven: false };
    let (state, effects) = step(&rules(), opened(), unproven(), at(2));
    assert!(effects.is_empty(), "it may take a moment");
    let (state, effects) = step(&rules(), state, Event::Isolation { proven: true }, at(3));
    assert!(effects.is_empty());
    let (state, effects) = step(&rules(), state, unproven(), at(3));
    assert!(matches!(&state, State::Open(open) if open.level == Level::Stopped));
    assert!(effects.contains(&Effect::Hold));
    assert!(step(&rules(), state, unproven(), at(4)).1.is_empty());
}

#[test]
fn what_is_found_while_open_is_told_once() {
    let (state, effects) = step(&rules(), opened(), round(Verdict::Exposed), at(2));
    assert_eq!(effects, [Effect::RevokeLease]);
    let more = Round { verdict: Verdict::Exposed, findings: vec![proof("[::]:18789")], open_beyond: false };
    let (state, effects) = step(&rules(), state, Event::Round(more.clone()), at(3));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(Notice::News(_)))));
    assert_eq!(step(&rules(), state, Event::Round(more), at(4)).1, [Effect::RevokeLease]);
}

#[test]
fn anybody_opens_only_the_owner_recovers_and_closes() {
    let ask = |owner| Event::Trip { by: by(owner), reason: "a hunch".to_owned() };
    let (state, effects) = step(&rules(), closed(), ask(false), at(1));
    assert_eq!((state.circuit(), answer(&effects)), (state::Circuit::Open, Some(&Answer::Done)));
    let recover = |owner| Event::Recover { by: by(owner), review: Review::default() };
    let (state, effects) = step(&rules(), state, recover(false), at(2));
    assert_eq!(answer(&effects), Some(&Answer::Refused(Refusal::NotOwner)));
    let (state, effects) = step(&rules(), state, Event::Close { by: by(true) }, at(2));
    assert_eq!(answer(&effects), Some(&Answer::Refused(Refusal::RecoverFirst)));
    let (state, _) = step(&rules(), state, recover(true), at(3));
    assert_eq!(state.circuit(), state::Circuit::HalfOpen);
    let (_, effects) = step(&rules(), state, Event::Close { by: by(false) }, at(4));
    assert_eq!(answer(&effects), Some(&Answer::Refused(Refusal::NotOwner)));
}

#[test]
fn a_review_that_fails_keeps_the_circuit_open_and_says_what_to_mend() {
    let failing = vec!["gateway.bind is \"lan\"".to_owned()];
    let recover = Event::Recover { by: by(true), review: Review { failing: failing.clone() } };
    let (state, effects) = step(&rules(), opened(), recover, at(2));
    assert_eq!(state.circuit(), state::Circuit::Open);
    assert_eq!(effects, [Effect::Answer(Answer::Refused(Refusal::Review(failing)))]);
}

#[test]
fn recovery_serves_loopback_and_closes_after_safe_rounds_in_a_row() {
    let mut state = recovering();
    for (second, verdict) in [(3, Verdict::Safe), (4, Verdict::Safe), (5, Verdict::Blind), (6, Verdict::Safe)]
    {
        let effects;
        (state, effects) = step(&rules(), state, round(verdict), at(second));
        let expected =
            if verdict == Verdict::Safe { Effect::MintLease(Reach::Loopback) } else { Effect::RevokeLease };
        assert_eq!(effects, [expected]);
    }
    let close = || Event::Close { by: by(true) };
    let effects;
    (state, effects) = step(&rules(), state, close(), at(7));
    assert_eq!(answer(&effects), Some(&Answer::Refused(Refusal::TooEarly { safe: 1, wanted: 3 })));
    for second in [8, 9] {
        state = step(&rules(), state, round(Verdict::Safe), at(second)).0;
    }
    assert_eq!(step(&rules(), state, close(), at(10)).0.circuit(), state::Circuit::Closed);
}

#[test]
fn recovery_ends_by_exposure_by_request_and_by_its_maximum() {
    for (event, second, cause) in [
        (round(Verdict::Exposed), 5, Cause::Exposed),
        (Event::Trip { by: by(false), reason: String::new() }, 5, Cause::Asked),
        (Event::Tick, 2 + 15 * 60, Cause::Expired),
        (round(Verdict::Safe), 2 + 15 * 60, Cause::Expired),
    ] {
        let (state, effects) = step(&rules(), recovering(), event, at(second));
        assert_eq!((state.circuit(), state.trip().unwrap().cause), (state::Circuit::Open, cause));
        assert!(effects.contains(&Effect::RevokeLease) && effects.contains(&Effect::Hold));
    }
}

#[test]
fn observe_mode_reports_once_what_it_would_have_done_and_changes_nothing() {
    let rules = Rules { observes: true, ..rules() };
    let (state, effects) = step(&rules, closed(), round(Verdict::Exposed), at(1));
    assert_eq!(state.circuit(), state::Circuit::Closed);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(Notice::WouldTrip(_)))));
    assert!(
        !effects.iter().any(|effect| matches!(effect, Effect::Lock(_) | Effect::Hold | Effect::MintLease(_)))
    );
    let (state, effects) = step(&rules, state, round(Verdict::Exposed), at(2));
    assert_eq!(effects, [Effect::RevokeLease]);
    let (state, _) = step(&rules, state, round(Verdict::Safe), at(3));
    let (_, effects) = step(&rules, state, round(Verdict::Exposed), at(4));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(_))), "a new episode");
}
