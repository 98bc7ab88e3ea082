//! What the watcher says of itself.

use std::time::Duration;

use jiff::Timestamp;

use super::{Watcher, supervisor};
use crate::barrier::{Barrier, Held};
use crate::breaker::state::State;
use crate::lock;
use crate::status::{AllowanceStatus, BarrierStatus, Daemon, Recovery, Status, TripStatus};
use crate::sys::clock;

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
        status.degraded.extend(self.trouble.values().cloned());
        status.degraded.extend(report.trouble().map(str::to_owned));
        status.armed = self.powers.armed() && self.trouble.is_empty();
        status.round = self.round;
        status.verdict = self.verdict;
        status.lease = *self.lines.lease.borrow();
        status.gateways = match self.sight.whole(&self.schedule) {
            Some(judgement) => {
                self.gateways =
                    judgement.gateways.iter().filter_map(|it| serde_json::to_value(it).ok()).collect();
                self.gateways.clone()
            }
            // The last ones that were seen: between two pictures nobody wants to see none.
            None => self.gateways.clone(),
        };
        status.allowances = self
            .config
            .settings
            .allowance
            .iter()
            .filter(|allowance| allowance.until > self.latest)
            .map(AllowanceStatus::from)
            .collect();
        if let State::HalfOpen(half) = &self.state {
            let left = self.rules.recovery.saturating_sub(clock::moment().since(half.began));
            status.half_open = Some(Recovery {
                safe: half.safe.min(self.rules.rounds),
                wanted: self.rules.rounds,
                until: later(self.latest, left),
            });
        }
        if let State::Closed(_) = &self.state {
            let wanted = self.enforcer.orders.borrow().wall.clone();
            status.seal = wanted.map(|wall| report.wall(&wall));
        }
        if let State::Open(open) = &self.state {
            status.level = Some(open.level);
        }
        status.trip = self.state.trip().map(|trip| {
            let mut told = TripStatus::from(trip);
            told.barriers = self.barriers(&report);
            told.detect_ms = self.times.detect.map(milliseconds);
            told.block_ms = self.times.block.map(milliseconds);
            told
        });
        status
    }

    fn barriers(&self, report: &crate::enforce::Report) -> Vec<BarrierStatus> {
        let State::Open(_) = &self.state else { return Vec::new() };
        let lock = if lock::is_locked(&self.paths) { Held::Yes } else { Held::No };
        std::iter::once((Barrier::Lock, lock))
            .chain(report.held(&self.enforcer.orders.borrow()))
            .map(|(barrier, held)| BarrierStatus { barrier, held })
            .collect()
    }
}

fn later(than: Timestamp, by: Duration) -> Timestamp {
    than.checked_add(jiff::SignedDuration::try_from(by).unwrap_or_default()).unwrap_or(than)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
