//! What the breaker is in after a start. Never more trusting than before the end.

use jiff::{SignedDuration, Timestamp};

use super::{Memory, Past, Recall};
use crate::barrier::Target;
use crate::breaker::state::{Circuit, Closed, Level, Open, State};
use crate::lock::Lock;
use crate::status::timeline::{self, Was};
use crate::sys::clock::Now;
use crate::trip::{Cause, Trip};

/// Whoever was away for longer than this has watched nothing meanwhile: a daemon writes down at least
/// this often that it lives.
const UNWATCHED: SignedDuration = SignedDuration::from_mins(12);

/// Where the breaker goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// The state.
    pub(crate) state: State,
    /// A sentence for the journal; none if the circuit was closed and is.
    pub(crate) why: Option<String>,
    /// What the barriers act on.
    pub(crate) target: Target,
    /// The latest time that any clock of this host has shown.
    pub(crate) latest: Timestamp,
    /// What lasts whatever the state is.
    pub(crate) past: Past,
    /// The circuit is open and no good lock says so: it has to be written.
    pub(crate) relock: bool,
}

/// Goes on from what is remembered and what the lock says.
///
/// Any lock means open, and so do a memory that is damaged, one of an open circuit whatever became
/// of the lock, and one of a recovery, which does not survive a restart. The rest is closed.
#[must_use]
pub(crate) fn resume(recall: Recall, lock: Lock, now: Now) -> Resumed {
    let (memory, damage) = match recall {
        Recall::FirstStart => (None, None),
        Recall::Known(memory) => (Some(*memory), None),
        Recall::Damaged(why) => (None, Some(why)),
    };
    let first = memory.is_none() && damage.is_none();
    let circuit = memory.as_ref().map_or(Circuit::Closed, |memory| memory.circuit);
    let since = memory.as_ref().map(|memory| memory.since);
    let mut rest = memory.map(Rest::of).unwrap_or_default();
    let latest = rest.latest.map_or(now.wall, |latest| latest.max(now.wall));
    if let Some(seen) = rest.latest
        && now.wall.duration_since(seen) > UNWATCHED
    {
        timeline::note(&mut rest.past.timeline, seen, Was::Unwatched);
    }
    let relock = !matches!(lock, Lock::Held(_));
    // A recovery goes back to how far the gateway was put down by the trip that it recovers from.
    let recovers = circuit == Circuit::HalfOpen && lock == Lock::Absent;
    if circuit == Circuit::Closed && damage.is_none() && lock == Lock::Absent {
        return Resumed {
            state: Closed::since(since.unwrap_or(now.wall)).into(),
            why: first.then(|| "this is the first start".to_owned()),
            target: rest.target,
            latest,
            past: rest.past,
            relock: false,
        };
    }
    let why = reason(circuit, damage, &lock);
    let was_open = circuit == Circuit::Open;
    let (trip, same) = match (lock, rest.trip) {
        // It may have learned more since the lock was written.
        (Lock::Held(lock), Some(known)) if lock.id == known.id => (known, was_open),
        // The lock is written first, so it is the later one.
        (Lock::Held(lock), _) => (*lock, false),
        (_, Some(known)) if circuit != Circuit::Closed => (known, was_open),
        (_, _) => (Trip::new(now.wall, Cause::Damaged, why.as_str(), &[]), false),
    };
    let level = rest.level.filter(|_| same || recovers).unwrap_or(Level::Stopped);
    let since = match since.filter(|_| same) {
        Some(since) => since,
        None if circuit == Circuit::HalfOpen => now.wall,
        None => trip.at,
    };
    Resumed {
        state: Open { since, began: now.moment, trip, level }.into(),
        why: Some(why),
        target: rest.target,
        latest,
        past: rest.past,
        relock,
    }
}

/// The parts of a memory that may be missing.
#[derive(Default)]
struct Rest {
    trip: Option<Trip>,
    level: Option<Level>,
    target: Target,
    latest: Option<Timestamp>,
    past: Past,
}

impl Rest {
    fn of(memory: Memory) -> Self {
        let Memory { trip, level, target, latest, past, .. } = memory;
        Self { trip, level, target, latest: Some(latest), past }
    }
}

/// Why the circuit is open after this start, in a sentence.
fn reason(circuit: Circuit, damage: Option<String>, lock: &Lock) -> String {
    let known = match (circuit, damage) {
        (_, Some(damage)) => damage,
        (Circuit::Open, None) => "the circuit was open before".to_owned(),
        (Circuit::HalfOpen, None) => "a recovery does not survive a restart".to_owned(),
        (Circuit::Closed, None) => "the circuit was not open before".to_owned(),
    };
    match lock {
        Lock::Absent if circuit == Circuit::Open => format!("{known}, though the lock is gone"),
        Lock::Absent => known,
        Lock::Held(_) => format!("{known}, and the lock is there"),
        Lock::Damaged(damage) => format!("{known}; {damage}"),
    }
}
