//! How the circuit was in the last days, as a list of its turns.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::breaker::state::Circuit;

/// As far back as it goes.
pub(crate) const SPAN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// As many turns are kept: whoever turns more often than this is told by the journal.
const MOST: usize = 200;

/// How things were from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Was {
    Closed,
    HalfOpen,
    Open,
    /// Nobody watched.
    Unwatched,
}

impl From<Circuit> for Was {
    fn from(circuit: Circuit) -> Self {
        match circuit {
            Circuit::Closed => Self::Closed,
            Circuit::HalfOpen => Self::HalfOpen,
            Circuit::Open => Self::Open,
        }
    }
}

/// From this time on it was so, until the next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) at: Timestamp,
    pub(crate) was: Was,
}

/// Notes how things are from now on.
pub(crate) fn note(turns: &mut Vec<Turn>, at: Timestamp, was: Was) {
    if turns.last().is_none_or(|last| last.was != was) {
        // A clock that was set back does not turn the list around.
        let at = turns.last().map_or(at, |last| at.max(last.at));
        turns.push(Turn { at, was });
    }
    let oldest = at.saturating_sub(SPAN).unwrap_or(Timestamp::MIN);
    // The one that was in force at the beginning stays.
    let past = turns.iter().skip(1).take_while(|turn| turn.at <= oldest).count();
    let surplus = turns.len().saturating_sub(MOST);
    turns.drain(..past.max(surplus));
}

/// A part of the picture: from where to where, as parts of the whole, and how it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) was: Was,
}

/// The parts of the last days up to now.
pub(crate) fn parts(turns: &[Turn], now: Timestamp) -> Vec<Part> {
    let begin = now.saturating_sub(SPAN).unwrap_or(Timestamp::MIN);
    let place = |at: Timestamp| (at.duration_since(begin).as_secs_f64() / SPAN.as_secs_f64()).clamp(0.0, 1.0);
    let ends = turns.iter().skip(1).map(|turn| turn.at).chain([now]);
    let parts = turns.iter().zip(ends).map(|(turn, end)| Part {
        from: place(turn.at),
        to: place(end),
        was: turn.was,
    });
    parts.filter(|part| part.to > part.from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    #[test]
    fn what_stays_as_it_is_is_no_turn() {
        let mut turns = Vec::new();
        for (hour, was) in
            [(0, Was::Closed), (1, Was::Closed), (2, Was::Open), (3, Was::Open), (4, Was::Closed)]
        {
            note(&mut turns, at(hour), was);
        }
        assert_eq!(turns.iter().map(|turn| turn.at).collect::<Vec<_>>(), [at(0), at(2), at(4)]);
    }

    #[test]
    fn what_is_older_than_a_week_goes_but_for_what_was_in_force_then() {
        let mut turns = Vec::new();
        for (day, was) in [(0, Was::Closed), (1, Was::Open), (2, Was::Closed), (9, Was::Open)] {
            note(&mut turns, at(day * 24), was);
        }
        assert_eq!(turns.first(), Some(&Turn { at: at(48), was: Was::Closed }));
        let parts = parts(&turns, at(9 * 24 + 84));
        assert_eq!(parts.len(), 2);
        assert!(parts[0].from == 0.0 && (parts[1].to - 1.0).abs() < f64::EPSILON, "{parts:?}");
        assert!((parts[0].to - 0.5).abs() < 0.001, "{parts:?}");
    }

    #[test]
    fn a_flood_of_turns_and_clocks_that_jump_are_borne() {
        let mut turns = Vec::new();
        for n in 0..1000 {
            note(
                &mut turns,
                at(if n % 3 == 0 { -5 } else { 5 }),
                if n % 2 == 0 { Was::Open } else { Was::Closed },
            );
        }
        assert!(turns.len() <= MOST);
        assert!(turns.is_sorted_by_key(|turn| turn.at));
        for part in parts(&turns, at(-100)) {
            assert!((0.0..=1.0).contains(&part.from) && (0.0..=1.0).contains(&part.to));
        }
        note(&mut turns, Timestamp::MIN, Was::Closed);
        note(&mut turns, Timestamp::MAX, Was::Open);
        let _ = parts(&turns, Timestamp::MAX);
    }
}
