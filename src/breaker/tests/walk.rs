//! Every sequence of events up to a depth, and what must hold after each of them.
//!
//! States that differ in nothing but when they were reached go on alike, so each is walked once;
//! that makes the walk exhaustive and short.

use std::collections::HashSet;

use super::super::state::Circuit;
use super::*;

/// Events in a row.
const DEPTH: u32 = 8;

/// An event, and the seconds that pass before it.
#[derive(Debug, Clone)]
struct Turn {
    event: Event,
    after: u64,
}

fn turns() -> Vec<Turn> {
    let open_beyond = Event::Round(Round {
        verdict: Verdict::Exposed,
        findings: vec![proof("192.168.1.5:18789")],
        open_beyond: true,
    });
    let failing = Review { failing: vec!["gateway.bind".to_owned()] };
    let events = [
        round(Verdict::Safe),
        round(Verdict::Blind),
        round(Verdict::Exposed),
        open_beyond,
        Event::Isolation { proven: false },
        Event::Isolation { proven: true },
        Event::Trip { by: by(false), reason: String::new() },
        Event::Recover { by: by(true), review: Review::default() },
        Event::Recover { by: by(true), review: failing },
        Event::Recover { by: by(false), review: Review::default() },
        Event::Close { by: by(true) },
        Event::Close { by: by(false) },
        Event::Slept,
        Event::Tick,
    ];
    let pauses = [1, rules().patience.as_secs(), rules().recovery.as_secs()];
    events.into_iter().flat_map(|event| pauses.map(|after| Turn { event: event.clone(), after })).collect()
}

/// A state without the times at which it was reached, seen from `now`.
fn shape(state: &State, now: Now) -> String {
    match state {
        State::Closed(closed) => {
            let blind = closed.blind.map(|since| now.moment.since(since.moment));
            format!("closed {blind:?} {:?} {:?}", closed.told, closed.doubted.keys())
        }
        State::Open(open) => {
            let age = now.moment.since(open.began).min(PROOF);
            let found: Vec<_> = open.trip.findings.iter().map(Evidence::key).collect();
            format!("open {:?} {age:?} {:?} {found:?}", open.level, open.trip.cause)
        }
        State::HalfOpen(half) => {
            format!("half {:?} {}", now.moment.since(half.began), half.safe.min(rules().rounds))
        }
    }
}

fn holds(rules: &Rules, before: &State, turn: &Turn, now: Now, after: &State, effects: &[Effect]) {
    let context = || format!("{before:#?}\n{turn:?}\n{after:#?}\n{effects:#?}");
    let (from, to) = (before.circuit(), after.circuit());
    let verdict = match &turn.event {
        Event::Round(round) => Some(round.verdict),
        _ => None,
    };
    let mints = effects.iter().find_map(|effect| match effect {
        Effect::MintLease(reach) => Some(*reach),
        _ => None,
    });
    // No lease unless the round is safe and the circuit closed, or half-open and then for loopback.
    if let Some(reach) = mints {
        let right = match to {
            Circuit::Closed => reach == Reach::Allowed,
            Circuit::HalfOpen => reach == Reach::Loopback,
            Circuit::Open => false,
        };
        assert!(verdict == Some(Verdict::Safe) && right, "{}", context());
    }
    // A round that is not safe takes the lease away.
    if verdict.is_some_and(|verdict| verdict != Verdict::Safe) {
        assert!(effects.contains(&Effect::RevokeLease), "{}", context());
    }
    // No way to closed but recover then close, both by the owner.
    if to == Circuit::Closed && from != Circuit::Closed {
        assert!(from == Circuit::HalfOpen && turn.event == Event::Close { by: by(true) }, "{}", context());
    }
    // Open is never left by itself.
    if from == Circuit::Open && to != Circuit::Open {
        let recovers = turn.event == Event::Recover { by: by(true), review: Review::default() };
        assert!(to == Circuit::HalfOpen && recovers, "{}", context());
    }
    assert_eq!(
        effects.contains(&Effect::Unlock),
        from == Circuit::Open && to == Circuit::HalfOpen,
        "{}",
        context()
    );
    // Half-open never outlives its maximum.
    if let State::HalfOpen(half) = after {
        assert!(now.moment.since(half.began) < rules.recovery, "{}", context());
    }
    if rules.observes {
        let automatic = !matches!(turn.event, Event::Trip { .. });
        assert!(!(automatic && from == Circuit::Closed && to != Circuit::Closed), "{}", context());
        return;
    }
    // Exposure and anybody's wish open the circuit.
    if verdict == Some(Verdict::Exposed) || matches!(turn.event, Event::Trip { .. }) {
        assert_eq!(to, Circuit::Open, "{}", context());
    }
    // Whatever opens it takes the lease, locks, saves and then touches the host.
    if from != Circuit::Open && to == Circuit::Open {
        let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
        let revoked = place(|effect| *effect == Effect::RevokeLease);
        let locked = place(|effect| matches!(effect, Effect::Lock(_)));
        let held = place(|effect| *effect == Effect::Hold);
        assert!(revoked < locked && locked < held, "{}", context());
    }
    // A change of state is written down and the host brought in line with it.
    if from != to {
        assert!(effects.contains(&Effect::Save) && effects.contains(&Effect::Hold), "{}", context());
    }
}

fn walk(rules: &Rules) -> usize {
    let turns = turns();
    let start = (closed(), at(0));
    let mut seen = HashSet::from([shape(&start.0, start.1)]);
    let mut frontier = vec![(start.0, 0)];
    let mut steps = 0;
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for (state, seconds) in frontier {
            for turn in &turns {
                let now = at(seconds + turn.after);
                let (after, effects) = step(rules, state.clone(), turn.event.clone(), now);
                holds(rules, &state, turn, now, &after, &effects);
                steps += 1;
                if seen.insert(shape(&after, now)) {
                    next.push((after, seconds + turn.after));
                }
            }
        }
        frontier = next;
    }
    steps
}

#[test]
fn every_sequence_of_events_keeps_what_the_breaker_promises() {
    for observes in [false, true] {
        for stops in [false, true] {
            for can_isolate in [false, true] {
                let steps = walk(&Rules { observes, stops, can_isolate, ..rules() });
                assert!(steps > 1000, "the walk is not short by mistake: {steps}");
            }
        }
    }
}
