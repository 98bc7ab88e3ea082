//! Carries the breaker's effects out, in their order.

use serde_json::{Value, json};

use super::isolation::Isolation;
use super::trouble::Part;
use super::{LEASE_ROUNDS, SHORTEST_LEASE, Saved, Watcher, exposures, standing_orders};
use crate::breaker::effect::{Effect, Notice, Reach};
use crate::breaker::event::Event;
use crate::breaker::state::State;
use crate::breaker::{self};
use crate::control::protocol::Reply;
use crate::doubt::Doubt;
use crate::lease::Lease;
use crate::lock;
use crate::memory::{self, Memory};
use crate::page;
use crate::sys::clock::{self, Now};
use crate::sys::crash;
use crate::trip::{Cause, Trip};

impl Watcher {
    pub(super) fn step(&mut self, event: Event, now: Now) {
        let _ = self.step_for(event, now);
    }

    /// Steps the breaker; gives the answer for whoever asked.
    pub(super) fn step_for(&mut self, event: Event, now: Now) -> Option<Reply> {
        let passed = self.pass(now);
        let before = self.state.circuit();
        let state = std::mem::replace(
            &mut self.state,
            // Never seen: the step gives the next one.
            State::Closed(breaker::state::Closed::since(now.wall)),
        );
        let (state, effects) = breaker::step(&self.rules, state, event, now);
        self.state = state;
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Answer(given) => answer = Some(given),
                other => self.carry_out(other, now),
            }
        }
        if self.state.circuit() != before {
            self.note_turn(now.wall.max(self.latest));
            self.isolation = Isolation::begun(now.moment);
            self.falling = false;
            if matches!(self.state, State::HalfOpen(_)) {
                // Who still carries a gateway answers again, and is seen then.
                self.lasting.carried.clear();
                self.doubt_all();
            }
            if matches!(self.state, State::Closed(_)) && !standing_orders::seals(&self.config) {
                // The wall of the recovery goes, and what was heard behind it goes with it.
                self.lines.lease.send_replace(None);
                self.falling = self.powers.firewall();
                self.doubt_all();
            }
            self.tell_status();
        }
        // Nothing is written down before the lock.
        self.record_ended(passed);
        answer.map(Reply::from)
    }

    fn carry_out(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::RevokeLease => {
                self.lines.lease.send_if_modified(|lease| lease.take().is_some());
            }
            Effect::MintLease(reach) => self.mint(reach, now),
            Effect::Lock(trip) => self.lock(&trip, now),
            Effect::Unlock => {
                crash::point("unlock-before");
                let unlocked = lock::remove(&self.paths).map_err(|failed| crate::cli::chain(&failed));
                crash::point("unlock-after");
                self.trouble.note(Part::Lock, unlocked);
            }
            Effect::Save => self.save(),
            Effect::Hold => {
                self.renew_stopped();
                self.give_orders();
            }
            Effect::Record(what) => {
                let about = self.state.trip().map_or(Value::Null, |trip| {
                    json!({ "trip": trip.id, "cause": trip.cause, "why": trip.why, "findings": trip.findings })
                });
                self.record(what, about);
            }
            Effect::RecordDoubt(doubt) => {
                let why = doubt.summary(now.wall);
                tracing::warn!("in doubt: {}", page::printable(&why));
                let Doubt { since, opens, findings } = doubt;
                let about = json!({ "why": why, "since": since, "opens": opens, "findings": findings });
                self.record("in doubt", about);
            }
            Effect::Tell(notice) => {
                crash::point("tell-before");
                self.notice(&notice, now);
                if let Notice::Tripped(trip) = &notice {
                    tracing::warn!(id = %trip.id, why = %page::printable(&trip.why), "tripped");
                }
            }
            Effect::Answer(_) => {}
        }
    }

    fn mint(&mut self, reach: Reach, now: Now) {
        self.serial += 1;
        let round = self.config.cadence(guardian_rules::snapshot::ProbeId::Listeners);
        let round = round.unwrap_or_else(|| super::cadence(guardian_rules::snapshot::ProbeId::Listeners));
        let life = (round * LEASE_ROUNDS).max(SHORTEST_LEASE);
        self.lines.lease.send_replace(Some(Lease::new(reach, self.serial, now.moment + life)));
    }

    fn lock(&mut self, trip: &Trip, now: Now) {
        crash::point("lock-before");
        let locked = lock::write(&self.paths, trip).map_err(|failed| crate::cli::chain(&failed));
        crash::point("lock-after");
        self.trouble.note(Part::Lock, locked);
        self.lasting = self.target.clone();
        self.tripped = self.target.clone();
        if trip.cause == Cause::Exposed {
            exposures::begin(&mut self.past.exposures, self.cleared);
            self.sight.set_exposures(&self.past.exposures);
        }
        self.times = super::Times {
            began: Some(now.moment),
            // What is done on request, or because nothing was seen, was not there to be found.
            detect: (trip.cause == Cause::Exposed).then(|| {
                let unseen = self.schedule.unseen_at(&self.clean_looks).unwrap_or(self.clean);
                clock::moment().since(unseen.min(self.clean))
            }),
            block: None,
        };
    }

    pub(super) fn save(&mut self) {
        let memory = Memory::of(&self.state, self.target.clone(), self.latest, self.past.clone());
        let circuit = self.state.circuit().as_str();
        crash::point(&format!("save-{circuit}-before"));
        let saved = memory::save(&self.paths, &memory).map_err(|failed| crate::cli::chain(&failed));
        crash::point(&format!("save-{circuit}-after"));
        self.trouble.note(Part::Memory, saved);
        // Tried is enough: a disk that refuses is not asked all the time.
        self.saved = Saved { target: self.target.clone(), past: self.past.clone(), at: clock::moment() };
    }

    pub(super) fn record(&mut self, what: &str, about: Value) {
        crash::point(&format!("record-{what}"));
        let recorded = self.journal.record(self.latest, self.state.circuit(), what, about);
        let amiss = recorded
            .map_err(|failed| format!("what happens is not written down: {}", crate::cli::chain(&failed)));
        self.trouble.note(Part::Journal, amiss);
    }
}
