//! What waits to be told by one way, and when it is tried again.
//!
//! The queue is data and has no clock. It is bounded: when it is full, what is not critical goes
//! first. Notices of the same key are one entry; a notice that says no more than one before it is
//! counted and not told again.

use std::collections::VecDeque;
use std::time::Duration;

use super::Stamped;
use super::message::{Urgency, key, urgency, weight};
use crate::breaker::effect::Notice;
use crate::sys::clock::Moment;

/// As many notices wait.
const WAITING: usize = 64;
/// As many keys are remembered, so that repetitions are known.
const KNOWN: usize = 64;

/// When a notice is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The pauses after the first failures.
    pub(crate) first: &'static [Duration],
    /// The pause after every other one.
    pub(crate) then: Duration,
    /// After this long a notice is given up.
    pub(crate) until: Duration,
    /// What is not critical is given up at its first failure.
    pub(crate) only_critical: bool,
}

impl Schedule {
    /// A second, then ever longer, then every ten minutes for a day.
    pub(crate) const USUAL: Self = Self {
        first: &[
            Duration::from_secs(1),
            Duration::from_secs(5),
            Duration::from_secs(30),
            Duration::from_mins(2),
            Duration::from_mins(10),
        ],
        then: Duration::from_mins(10),
        until: Duration::from_hours(24),
        only_critical: false,
    };

    /// The pause after this many failures of a notice that is that old; none when it is given up.
    pub(crate) fn pause(&self, failures: u32, age: Duration) -> Option<Duration> {
        let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause = self.first.get(nth).copied().unwrap_or(self.then);
        (age.saturating_add(pause) <= self.until).then_some(pause)
    }
}

/// The notices that wait to be told by one way.
#[derive(Debug)]
pub(crate) struct Queue {
    schedule: Schedule,
    entries: Vec<Entry>,
    known: VecDeque<Known>,
    /// The number of the next entry.
    next: u64,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    key: String,
    notice: Stamped,
    failures: u32,
    /// When it, or the last that was merged into it, came.
    came: Moment,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be tried then.
    Due(Moment),
    /// Being tried.
    Flying,
}

/// What is remembered of a key.
#[derive(Debug)]
struct Known {
    key: String,
    /// How many have come.
    count: u32,
    /// The most that one of them knew.
    weight: usize,
}

/// What became of a notice that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Waits,
    /// It waits as one with an earlier one of its key.
    Merged,
    /// It says nothing new, and is counted.
    Counted,
    /// It waits, and this key had to make room.
    Displaced(String),
    /// There is no room for it.
    Refused,
}

/// What becomes of a notice that could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It is tried again after this time.
    Again(Duration),
    /// A newer one of its key goes on in its place.
    Superseded,
    /// It is given up.
    GivenUp,
}

/// A notice to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Tells the queue which one it was.
    pub(crate) serial: u64,
    /// The notice.
    pub(crate) notice: Stamped,
    /// How many of its key have come so far.
    pub(crate) count: u32,
}

impl Delivery {
    /// A notice that is the first of its key.
    #[cfg(test)]
    pub(crate) fn first(notice: Stamped) -> Self {
        Self { serial: 0, notice, count: 1 }
    }
}

impl Entry {
    fn is_critical(&self) -> bool {
        urgency(&self.notice.notice) == Urgency::Critical
    }

    fn due(&self) -> Option<Moment> {
        match self.state {
            State::Due(at) => Some(at),
            State::Flying => None,
        }
    }
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self { schedule, entries: Vec::new(), known: VecDeque::new(), next: 0 }
    }

    /// Takes a notice in.
    pub(crate) fn push(&mut self, notice: Stamped, now: Moment) -> Pushed {
        let key = key(&notice);
        if !self.learn(&key, weight(&notice.notice)) {
            return Pushed::Counted;
        }
        let waits = |entry: &&mut Entry| entry.key == key && entry.state != State::Flying;
        if let Some(entry) = self.entries.iter_mut().find(waits) {
            entry.notice = merged(&entry.notice, notice);
            (entry.failures, entry.came, entry.state) = (0, now, State::Due(now));
            return Pushed::Merged;
        }
        let displaced = if self.entries.len() < WAITING {
            None
        } else if let Some(victim) = self.victim(urgency(&notice.notice)) {
            let victim = self.entries.remove(victim);
            self.known.retain(|known| known.key != victim.key);
            Some(victim.key)
        } else {
            self.known.retain(|known| known.key != key);
            return Pushed::Refused;
        };
        let serial = self.next;
        self.next = self.next.wrapping_add(1);
        self.entries.push(Entry { serial, key, notice, failures: 0, came: now, state: State::Due(now) });
        displaced.map_or(Pushed::Waits, Pushed::Displaced)
    }

    /// The notice to be told now, if one is due: what is critical first, then what waits longest. One
    /// whose key is being told already waits for that to end, lest they arrive in the wrong order.
    pub(crate) fn take(&mut self, now: Moment) -> Option<Delivery> {
        let candidates = self.entries.iter().enumerate();
        let (at, _) = candidates
            .filter(|(_, entry)| self.may_fly(entry) && entry.due().is_some_and(|due| due <= now))
            .min_by_key(|(_, entry)| (!entry.is_critical(), entry.due(), entry.serial))?;
        let entry = self.entries.get_mut(at)?;
        entry.state = State::Flying;
        let count = self.known.iter().find(|known| known.key == entry.key).map_or(1, |known| known.count);
        Some(Delivery { serial: entry.serial, notice: entry.notice.clone(), count })
    }

    /// When the next notice is due.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.entries.iter().filter(|entry| self.may_fly(entry)).filter_map(Entry::due).min()
    }

    /// A notice has been told.
    pub(crate) fn delivered(&mut self, serial: u64) {
        self.entries.retain(|entry| entry.serial != serial);
    }

    /// A notice could not be told.
    pub(crate) fn failed(&mut self, serial: u64, now: Moment) -> Failed {
        let Some(at) = self.entries.iter().position(|entry| entry.serial == serial) else {
            return Failed::GivenUp;
        };
        let mut entry = self.entries.remove(at);
        if let Some(newer) = self.entries.iter_mut().find(|other| other.key == entry.key) {
            newer.notice = merged(&entry.notice, newer.notice.clone());
            return Failed::Superseded;
        }
        if self.schedule.only_critical && !entry.is_critical() {
            return Failed::GivenUp;
        }
        entry.failures = entry.failures.saturating_add(1);
        let Some(pause) = self.schedule.pause(entry.failures, now.since(entry.came)) else {
            return Failed::GivenUp;
        };
        entry.state = State::Due(now + pause);
        self.entries.insert(at, entry);
        Failed::Again(pause)
    }

    /// Counts a notice. Answers whether it says anything new.
    fn learn(&mut self, key: &str, weight: usize) -> bool {
        if let Some(known) = self.known.iter_mut().find(|known| known.key == key) {
            known.count = known.count.saturating_add(1);
            let new = weight > known.weight;
            known.weight = known.weight.max(weight);
            return new;
        }
        if self.known.len() >= KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(Known { key: key.to_owned(), count: 1, weight });
        true
    }

    fn may_fly(&self, entry: &Entry) -> bool {
        let flies = |other: &Entry| other.state == State::Flying && other.key == entry.key;
        entry.state != State::Flying && !self.entries.iter().any(flies)
    }

    /// The entry that makes room: the oldest that is not critical; the oldest of all only for one
    /// that is critical itself.
    fn victim(&self, coming: Urgency) -> Option<usize> {
        let waiting = || self.entries.iter().enumerate().filter(|(_, entry)| entry.state != State::Flying);
        let oldest =
            waiting().filter(|(_, entry)| !entry.is_critical()).min_by_key(|(_, entry)| entry.serial);
        let oldest = oldest.or_else(|| {
            waiting().filter(|_| coming == Urgency::Critical).min_by_key(|(_, entry)| entry.serial)
        });
        oldest.map(|(at, _)| at)
    }
}

/// Two notices of one key as one. That a circuit was opened stays said until it has been told.
fn merged(older: &Stamped, newer: Stamped) -> Stamped {
    match (&older.notice, newer.notice) {
        (Notice::Tripped(_), Notice::News(trip)) => Stamped { at: older.at, notice: Notice::Tripped(trip) },
        (_, notice) => Stamped { at: newer.at, notice },
    }
}

#[cfg(test)]
mod tests;
