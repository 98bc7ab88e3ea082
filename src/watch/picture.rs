//! What probes bring back becomes one picture, and a picture a round of the breaker.

use std::time::Duration;

use guardian_rules::fact::Stopped;
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::Verdict;

use super::stations::Looked;
use super::{Watcher, exposures, sight, supervisor};
use crate::barrier::Target;
use crate::breaker::event::{Event, Round};
use crate::breaker::state::{Level, State};
use crate::sys::clock::{self, Now};

/// A whole picture that is older than this is waited for: what changes meanwhile comes after it.
const HASTE: Duration = Duration::from_millis(300);

impl Watcher {
    pub(super) fn looked(&mut self, looked: Looked) {
        let probe = looked.probe;
        let now = clock::now();
        let began = now.moment.before(looked.took);
        tracing::trace!(%probe, took = ?looked.took, "looked");
        if sight::may_wait(probe) && now.moment.since(self.fresh) > HASTE {
            // What comes and goes all the time must not keep every picture from being whole.
            self.conclude(now);
            if !self.schedule.is_whole() {
                self.look_ahead(looked, now);
                return;
            }
        }
        let changed = self.sight.take(looked);
        self.sight.settle(&mut self.schedule, probe, changed);
        if changed {
            self.see_target();
        }
        match probe {
            ProbeId::Reach => self.judge_isolation(began, now),
            ProbeId::Access | ProbeId::Handshake => self.judge_carriers(probe, began, now),
            _ => {}
        }
        if let Some(round) = self.sight.accusation(&self.schedule) {
            self.verdict = Some(round.verdict);
            self.step(Event::Round(round), now);
        }
        if changed || probe == ProbeId::Listeners || self.round.is_none() || self.sight.looks_ahead() {
            self.conclude(now);
        }
    }

    /// Keeps what is newer for the next picture, unless it accuses: then the one under way is worth
    /// nothing any more.
    fn look_ahead(&mut self, looked: Looked, now: Now) {
        let probe = looked.probe;
        let accused = self.sight.look_ahead(looked, &self.schedule);
        self.schedule.finished(probe, false);
        // What the picture under way lacks is not kept from it.
        if accused.is_some() || self.sight.brings_an_address() {
            self.catch_up();
        }
        if let Some(round) = accused {
            self.verdict = Some(round.verdict);
            self.step(Event::Round(round), now);
        }
    }

    /// Goes on to what is newest.
    fn catch_up(&mut self) {
        let changed = self.sight.catch_up();
        for probe in &changed {
            self.schedule.changed(*probe);
        }
        if !changed.is_empty() {
            self.see_target();
        }
    }

    /// Judges the picture if it is whole, and goes on to the next one.
    fn conclude(&mut self, now: Now) {
        if self.falling {
            return;
        }
        let Some(judgement) = self.sight.whole(&self.schedule) else { return };
        let round = sight::round(judgement);
        self.leans_on_the_seal = sight::leans_on_the_seal(judgement);
        self.whole(round, now);
        self.catch_up();
    }

    fn whole(&mut self, round: Round, now: Now) {
        let mut doubted = false;
        if round.verdict != Verdict::Blind {
            let seen = self.seen_target();
            match self.state {
                // All of it is seen: what is not there any more is forgotten.
                State::Closed(_) => self.lasting = seen,
                // What has gone is what a recovery brings back.
                State::Open(_) | State::HalfOpen(_) => self.lasting.remember(seen, &self.tripped),
            }
            doubted = self.see_target();
        }
        if !still_counts(round.verdict, doubted) {
            return;
        }
        (self.fresh, self.rested) = (now.moment, true);
        let first = self.round.replace(now.moment).is_none();
        let news = self.verdict != Some(round.verdict);
        self.verdict = Some(round.verdict);
        let findings = round.findings.clone();
        let clean = round.verdict != Verdict::Exposed;
        if self.rules.observes {
            // Nobody blocks it: it is over when it is seen no more.
            if clean {
                exposures::end(&mut self.past.exposures, self.latest);
            } else {
                exposures::begin(&mut self.past.exposures, self.cleared);
            }
            self.sight.set_exposures(&self.past.exposures);
        }
        self.step(Event::Round(round), now);
        if clean {
            self.clean = now.moment;
            self.clean_looks = self.schedule.looks();
            self.cleared = Some(self.latest);
        }
        if news {
            let about = serde_json::json!({ "verdict": self.verdict, "findings": findings });
            self.record("verdict", about);
            self.tell_status();
        }
        if first {
            supervisor::ready(self.state.circuit(), self.verdict);
        }
    }

    /// Takes in what belongs to gateways now. Between two whole pictures somebody's listener may be
    /// taken for a gateway's for a moment: that counts now, and is not remembered. Answers whether all that was
    /// concluded is in doubt since.
    pub(super) fn see_target(&mut self) -> bool {
        let mut seen = self.seen_target();
        self.keep_carried(&mut seen);
        if !matches!(self.state, State::Closed(_)) {
            self.lasting.services.extend(seen.services.iter().cloned());
            self.lasting.configs.extend(seen.configs.iter().cloned());
        }
        self.target = self.lasting.clone();
        self.target.add(seen);
        self.give_orders()
    }

    /// What belongs to gateways now, its processes told from any that get their numbers later.
    fn seen_target(&mut self) -> Target {
        let mut seen = self.sight.target().clone();
        seen.processes = seen.processes.into_iter().map(|process| self.pins.pin(process)).collect();
        self.pins.forget_all_but(&seen.processes);
        seen
    }

    /// Notes what has been put down, so that whoever runs again is known to have been revived.
    pub(super) fn renew_stopped(&mut self) {
        let stopped = matches!(&self.state, State::Open(open) if open.level == Level::Stopped);
        if stopped && self.put_down.is_none() {
            let processes = self.target.processes.iter().map(|it| (it.pid, it.started)).collect();
            let at = self.state.trip().map_or(self.latest, |trip| trip.at);
            let since = u64::try_from(at.as_second()).unwrap_or(0);
            self.put_down = Some(Stopped { since, processes });
        } else if !stopped {
            self.put_down = None;
        }
        self.sight.set_stopped(self.put_down.clone());
    }
}

/// Whether a judgement is one still: the seal that it leant on may be found gone while it is taken in. A lease that was
/// taken away for that is not given back for what was concluded before.
fn still_counts(verdict: Verdict, doubted: bool) -> bool {
    !doubted || verdict != Verdict::Safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_safe_by_what_was_put_in_doubt_meanwhile_and_what_is_exposed_stays_so() {
        for (verdict, counts) in [(Verdict::Safe, false), (Verdict::Blind, true), (Verdict::Exposed, true)] {
            assert_eq!(still_counts(verdict, true), counts, "{verdict:?}");
            assert!(still_counts(verdict, false), "{verdict:?}");
        }
    }
}
