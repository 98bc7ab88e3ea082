//! A clock that was ahead once.
//!
//! What has ended stays ended though the clock is set back, so that nobody revives an allowance with it. But a year that
//! was typed wrong, or another system that keeps this machine's clock in local time, would end every new one at once
//! until that time comes. So an owner may say that the clock is right as it is now; nothing else does.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Watcher;
use crate::status::page::second;
use crate::status::timeline::Turn;
use crate::sys::clock::Now;

/// A clock that is set by the network jumps by less.
const WELL: SignedDuration = SignedDuration::from_mins(5);

/// What the clock showed, if that is well ahead of what it shows now.
pub(super) fn ahead(latest: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (latest.duration_since(now) > WELL).then_some(latest)
}

/// What it means, and what to type.
pub(super) fn told(was: Timestamp) -> String {
    format!(
        "clock: it was at {0} once, and is behind that now; an allowance that ends before {0} has ended; if the clock is \
         right now, type: guardian config reload --accept-clock",
        second(was)
    )
}

/// Nothing that was noted lies in the future.
fn no_later(turns: &mut [Turn], now: Timestamp) {
    for turn in turns {
        turn.at = turn.at.min(now);
    }
}

impl Watcher {
    /// An owner says that the clock is right as it is now, wherever it has been.
    pub(super) fn accept_clock(&mut self, now: Now) {
        if self.latest <= now.wall {
            return;
        }
        let was = std::mem::replace(&mut self.latest, now.wall);
        tracing::warn!(%was, now = %now.wall, "the owner accepts the clock as it is");
        no_later(&mut self.past.timeline, now.wall);
        self.record("clock accepted", json!({ "was": was, "is": now.wall }));
        self.record_revived(was);
        self.sight.set_policy(self.config.policy(self.latest));
        self.give_orders();
        self.save();
        self.tell_status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::timeline::Was;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(60 * minutes).unwrap()
    }

    #[test]
    fn a_clock_that_is_well_behind_what_it_was_is_told_and_a_small_step_back_is_not() {
        assert_eq!(ahead(at(100), at(100)), None);
        assert_eq!(ahead(at(100), at(200)), None);
        assert_eq!(ahead(at(104), at(100)), None);
        assert_eq!(ahead(at(160), at(100)), Some(at(160)));
        let told = told(at(160));
        assert!(told.contains("1970-01-01T02:40") && told.contains("--accept-clock"), "{told}");
    }

    #[test]
    fn what_was_noted_in_the_future_was_noted_by_now() {
        let mut turns = [at(1), at(90), at(95)].map(|at| Turn { at, was: Was::Closed });
        no_later(&mut turns, at(10));
        assert_eq!(turns.map(|turn| turn.at), [at(1), at(10), at(10)]);
    }
}
