//! What comes with time alone, and what it means when it has passed unwatched.

use std::time::Duration;

use guardian_rules::verdict::Verdict;
use jiff::Timestamp;

use super::Watcher;
use super::schedule::Looks;
use crate::breaker::event::{Event, Round};
use crate::breaker::state::State;
use crate::sys::clock::{self, Now};

/// Without a whole round for this long, nothing can be said of the host.
const OVERDUE: Duration = Duration::from_secs(3);
/// A gate that is suspicious of somebody says so more often than this; one that is silent has nothing
/// to say any more.
const REPORTED: Duration = Duration::from_mins(1);
/// A turn that comes this late means that time has passed that nobody watched.
const GAP: Duration = Duration::from_secs(2);
/// A system that was awake for so much less than time has passed has slept.
const SLEEP: Duration = Duration::from_secs(1);
/// What belongs to gateways is written down at most this often.
const SAVES: Duration = Duration::from_secs(1);
/// That it lives is written down this often, so that it can be told later since when nobody watched.
const LIVES: Duration = Duration::from_mins(10);
/// The status is renewed this often though nothing happens.
const STATUS: Duration = Duration::from_secs(1);

impl Watcher {
    /// What comes with time alone.
    pub(super) fn turn(&mut self, now: Now) {
        self.notice_gap(now);
        // A seal may get too old to lean on though nobody reports anything.
        self.renew_seal();
        let before = self.pass(now);
        self.record_ended(before);
        self.sight.set_policy(self.config.policy(self.latest));
        if self.reported.is_some_and(|reported| now.moment.since(reported) > REPORTED) {
            self.reported = None;
            self.sight.set_suspicions(Vec::new());
            self.gatekeeper.set_waiting(&[]);
        }
        match &self.state {
            State::HalfOpen(_) => self.step(Event::Tick, now),
            State::Open(_) => self.doubt_isolation(now),
            State::Closed(_) => {}
        }
        if now.moment.since(self.fresh) > OVERDUE {
            let overdue = Round { verdict: Verdict::Blind, findings: Vec::new(), open_beyond: false };
            self.verdict = Some(Verdict::Blind);
            self.step(Event::Round(overdue), now);
        }
        let unsaved = now.moment.since(self.saved.at);
        let news = !self.target.lasts_as(&self.saved.target) || self.past != self.saved.past;
        if (news && unsaved >= SAVES) || unsaved >= LIVES {
            self.save();
        }
        self.resting.turn(now.moment);
        self.mind_equipment(now.moment);
        if self.users.turn(now.moment) {
            self.lines.owners.send_replace(self.users.owners());
            self.give_orders();
        }
        if now.moment.since(self.told) >= STATUS {
            self.tell_status();
        }
    }

    /// Goes on to this instant, from the one that is given back. What happens now is written down as of now.
    pub(super) fn pass(&mut self, now: Now) -> Timestamp {
        let latest = self.latest.max(now.wall);
        std::mem::replace(&mut self.latest, latest)
    }

    /// Asleep, stopped or starved: what was seen before says nothing of now. It was no blindness
    /// either, unless it comes again and again and nothing is seen in between.
    fn notice_gap(&mut self, now: Now) {
        let gap = now.moment.since(self.turned);
        let asleep = gap.saturating_sub(clock::awake().saturating_sub(self.awake));
        (self.turned, self.awake) = (now.moment, clock::awake());
        if gap <= GAP {
            return;
        }
        tracing::info!(?gap, ?asleep, "time has passed that nobody watched");
        self.lines.lease.send_replace(None);
        self.doubt_all();
        if asleep >= SLEEP || std::mem::take(&mut self.rested) {
            (self.fresh, self.clean) = (now.moment, now.moment);
            self.clean_looks = Looks::default();
            self.step(Event::Slept, now);
        }
    }
}
