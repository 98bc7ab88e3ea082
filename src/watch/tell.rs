//! What the watcher says of itself.

use std::time::Duration;

use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::Verdict;
use jiff::{SignedDuration, Timestamp};

use super::remains::Present;
use super::{Watcher, ahead, gatekeeper, supervisor};
use crate::barrier::{Barrier, Held, process};
use crate::breaker::state::{Level, State};
use crate::lock;
use crate::round::Outcome;
use crate::status::{
    AllowanceStatus, BarrierStatus, Daemon, Found, ProbeStatus, Recovery, Status, TripStatus,
};
use crate::sys::clock::{self, Now};
use crate::trip::{Evidence, Trip};
use crate::undo;

/// As many warnings are told.
const WARNINGS: usize = 16;

impl Watcher {
    /// Renews the status for whoever asks.
    pub(super) fn tell_status(&mut self) {
        let status = self.status();
        self.told = clock::moment();
        self.lines.status.send_replace(status);
        supervisor::alive();
    }

    fn status(&mut self) -> Status {
        let mut status = Status::new(
            self.state.circuit(),
            Some(self.state.since()),
            self.config.settings.mode,
            Daemon::Running,
        );
        let report = self.enforcer.report.borrow().clone();
        status.degraded = self.powers.missing().collect();
        status.degraded.extend(self.trouble.sentences());
        status.degraded.extend(undo::told_of_damaged(&self.paths));
        status.degraded.extend(report.trouble().map(str::to_owned));
        status.clock_was = ahead::ahead(self.latest, clock::now().wall);
        status.degraded.extend(status.clock_was.map(ahead::told));
        // Nothing that is blocked depends on it.
        status.degraded.extend(self.metrics.trouble().map(str::to_owned));
        status.degraded.extend(self.resting.trouble());
        status.gate = self.gatekeeper.look(clock::moment());
        status.degraded.extend(gatekeeper::amiss(status.gate));
        status.degraded.extend(self.gatekeeper.waits(status.gate));
        // Owners are no barrier; whom the seal holds is.
        status.degraded.extend(self.users.unknown_owners());
        let unknown_gateway = self.users.unknown_gateway();
        status.armed = self.powers.armed() && !self.trouble.weakens_a_trip() && unknown_gateway.is_none();
        status.degraded.extend(unknown_gateway);
        status.round = self.round;
        status.locked = lock::is_locked(&self.paths);
        status.verdict = self.verdict;
        status.lease = *self.lines.lease.borrow();
        if let Some(judgement) = self.sight.whole(&self.schedule) {
            self.gateways =
                judgement.gateways.iter().filter_map(|it| serde_json::to_value(it).ok()).collect();
            let worth_knowing = judgement.findings.iter().filter(|it| it.severity == Severity::Warning);
            self.warnings = worth_knowing.take(WARNINGS).map(Evidence::from).collect();
            let doubtful = |it: &&Finding| it.severity == Severity::Critical && it.answer == Answer::Unknown;
            self.doubtful = judgement.findings.iter().filter(doubtful).map(Evidence::from).collect();
            self.found = Found::count(&judgement.findings);
            self.found_at = self.round;
        }
        // The last ones that were seen: between two pictures nobody wants to see none.
        status.gateways.clone_from(&self.gateways);
        status.warnings.clone_from(&self.warnings);
        status.found.clone_from(&self.found);
        // Before the gateways are known all of them would be taken for gateways that do not run.
        if self.sight.known.gateway.known().is_some() && self.found_at.is_some() {
            status.at_rest = self.resting.notes(&self.sight.policy, &self.sight.known).to_vec();
        }
        status.probes = self.probes();
        status.timeline.clone_from(&self.past.timeline);
        status.allowances = AllowanceStatus::in_force(&self.config.settings.allowance, self.latest);
        if let State::HalfOpen(half) = &self.state {
            let began = Now { moment: half.began, wall: half.since }.shown(clock::now());
            status.half_open = Some(Recovery {
                safe: half.safe.min(self.rules.rounds),
                wanted: self.rules.rounds,
                until: later(began, self.rules.recovery),
                in_the_way: self.in_the_way(),
            });
        }
        if let State::Closed(closed) = &self.state {
            let blind = closed.blind.filter(|_| self.verdict == Some(Verdict::Blind));
            status.doubt = blind.map(|since| self.rules.doubt(since, self.doubtful.iter()));
            let wanted = self.enforcer.orders.borrow().wall.clone();
            status.seal = wanted.map(|wall| report.wall(&wall));
        }
        if let State::Open(open) = &self.state {
            status.level = Some(open.level);
        }
        status.trip = self.state.trip().map(|trip| {
            let mut told = TripStatus::from(trip);
            (told.still_found, told.gone) = self.remains(trip);
            told.barriers = self.barriers(&report);
            told.detect_ms = self.times.detect.map(milliseconds);
            told.block_ms = self.times.block.map(milliseconds);
            told
        });
        status
    }

    /// What keeps a round from being safe; what is exposed opens the circuit again.
    fn in_the_way(&self) -> Vec<Evidence> {
        if self.verdict == Some(Verdict::Blind) { self.doubtful.clone() } else { Vec::new() }
    }

    /// The rules of a trip that are still so, or may be; none if nobody has looked since. And what of it is there no
    /// more, whether or not anybody has.
    fn remains(&self, trip: &Trip) -> (Option<Vec<String>>, Vec<String>) {
        // What tripped it is in the picture in which it tripped.
        let looked = self.found_at.is_some_and(|at| self.times.began.is_none_or(|began| at > began));
        let known = &self.sight.known;
        let present = Present {
            found: &self.found,
            listeners: known.listeners.known().map(Vec::as_slice).unwrap_or_default(),
            gateways: known.gateway.known().map(Vec::as_slice).unwrap_or_default(),
            stopped: matches!(&self.state, State::Open(open) if open.level == Level::Stopped),
            lets_in: matches!(&self.state, State::HalfOpen(half) if self.found_at.is_some_and(|at| at > half.began)),
            newest: self.sight.newest_listeners(),
            has_ended: process::has_ended,
        };
        (looked.then(|| present.rules_of(&trip.findings)), present.gone_of(&trip.findings))
    }

    fn probes(&mut self) -> Vec<ProbeStatus> {
        let now = clock::now();
        let of = |probe| {
            let blindness = self.sight.known.blindness_of(probe);
            let looked = self.schedule.looked(probe).map(|moment| {
                let known = self.looked_at.get(&probe).copied().filter(|known| known.moment == moment);
                let passed = SignedDuration::try_from(now.moment.since(moment)).unwrap_or_default();
                known.unwrap_or(Now { moment, wall: now.wall.checked_sub(passed).unwrap_or(now.wall) })
            });
            self.looked_at.extend(looked.map(|looked| (probe, looked)));
            ProbeStatus {
                probe,
                outcome: if blindness.is_some() { Outcome::Blind } else { Outcome::Seen },
                reason: blindness.map(ToString::to_string),
                looked: looked.map(|looked| looked.shown(now)),
            }
        };
        ProbeId::ALL.into_iter().map(of).collect()
    }

    fn barriers(&self, report: &crate::enforce::Report) -> Vec<BarrierStatus> {
        let State::Open(_) = &self.state else { return Vec::new() };
        let lock = if lock::is_locked(&self.paths) { Held::Yes } else { Held::No };
        std::iter::once((Barrier::Lock, lock))
            .chain(report.held(&self.enforcer.orders.borrow()))
            // It reads back as it was put up, and something came through.
            .map(|(barrier, held)| match barrier {
                Barrier::Firewall if self.isolation.is_pierced() => (barrier, Held::No),
                _ => (barrier, held),
            })
            .map(|(barrier, held)| BarrierStatus { barrier, held })
            .collect()
    }
}

fn later(than: Timestamp, by: Duration) -> Timestamp {
    than.checked_add(SignedDuration::try_from(by).unwrap_or_default()).unwrap_or(than)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
