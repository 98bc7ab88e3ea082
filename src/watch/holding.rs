//! What the barriers report, and whether a gateway that is cut off is cut off indeed.

use guardian_rules::fact::Seal;
use guardian_rules::snapshot::ProbeId;

use super::{Watcher, exposures, standing_orders};
use crate::barrier::Held;
use crate::barrier::firewall::wall::Wall;
use crate::breaker::event::Event;
use crate::breaker::state::{Level, State};
use crate::enforce::Report;
use crate::sys::clock::{self, Moment, Now};

impl Watcher {
    pub(super) fn reported(&mut self, report: &Report) {
        self.renew_seal();
        // Another policy may want a wall again before this one has gone.
        let is_over = report.has_no_wall() || self.enforcer.orders.borrow().wall.is_some();
        if self.falling && is_over {
            // Whoever was asked meanwhile may have been asked behind it.
            self.falling = false;
            self.doubt_all();
        }
        let blocked =
            report.blocked_at(&self.enforcer.orders.borrow()).filter(|_| !self.isolation.is_pierced());
        if let (State::Open(_), Some(began), None, Some(at)) =
            (&self.state, self.times.began, self.times.block, blocked)
        {
            self.times.block = Some(at.since(began));
            exposures::end(&mut self.past.exposures, self.latest.max(clock::now().wall));
            self.sight.set_exposures(&self.past.exposures);
        }
        if self.isolation.wall(self.wall_stands(report), clock::moment()) {
            match self.state {
                State::Closed(_) => {}
                // Whether it holds indeed is shown by a connection that fails.
                State::Open(_) => self.schedule.hurry(ProbeId::Reach),
                // What was blocked until now answers otherwise from now on.
                State::HalfOpen(_) => self.doubt_all(),
            }
        }
        self.tell_status();
    }

    /// Notes what the wall keeps from gateways, while it is found standing and others might get there: an allowed proxy
    /// that fails for it is no doubt for so long. When the wall goes, or is another, or was put up anew, nobody knows any
    /// more how such a proxy answers: the lease goes at once, and everybody is asked anew before there is another one.
    /// Answers whether it came to that.
    pub(super) fn renew_seal(&mut self) -> bool {
        let wall = self.enforcer.orders.borrow().wall.clone();
        let found = wall.as_ref().map(|wall| self.enforcer.report.borrow().wall_at(wall, clock::moment()));
        let stands = matches!(found, Some((Held::Yes, _)));
        let seals = standing_orders::seals(&self.config);
        let seal = wall.as_ref().filter(|_| stands).and_then(|wall| sealing(&self.state, wall, seals));
        let raised = found.map_or(self.raised, |(_, raised)| raised);
        let anew = std::mem::replace(&mut self.raised, raised) != raised;
        let news = self.sight.set_seal(seal) || anew;
        let lost = news && std::mem::take(&mut self.leans_on_the_seal);
        if lost {
            self.lines.lease.send_replace(None);
            self.doubt_all();
        } else if news {
            // What listens may answer otherwise from now on, and the patience may be over before the next look.
            for probe in [ProbeId::Panel, ProbeId::Access, ProbeId::Handshake] {
                self.schedule.hurry(probe);
            }
        }
        lost
    }

    /// The gateways' places were tried, in a look that began then.
    pub(super) fn judge_isolation(&mut self, began: Moment, now: Now) {
        let State::Open(_) = self.state else { return };
        self.renew_isolation(now);
        let wall = self.enforcer.orders.borrow().wall.clone();
        let held = |at| wall.as_ref().is_some_and(|wall| wall.holds(at));
        let answers = self.sight.known.reach.seen().into_iter().flatten();
        let reached = answers.filter(|answer| held(answer.at)).map(|answer| &answer.reached);
        if self.isolation.reached(reached, began, now.moment) {
            self.step(Event::Isolation { proven: true }, now);
        }
    }

    /// A gateway that is cut off and is not proven to be for too long is stopped.
    pub(super) fn doubt_isolation(&mut self, now: Now) {
        self.renew_isolation(now);
        let isolated = matches!(&self.state, State::Open(open) if open.level == Level::Isolated);
        if isolated && self.isolation.is_lost(now.moment) {
            self.step(Event::Isolation { proven: false }, now);
        }
    }

    /// A wall that is to be another one does not stand yet.
    pub(super) fn renew_isolation(&mut self, now: Now) {
        if !self.wall_stands(&self.enforcer.report.borrow()) {
            self.isolation.wall(false, now.moment);
        }
    }

    /// The wall that is to be there now was found standing.
    fn wall_stands(&self, report: &Report) -> bool {
        let wanted = &self.enforcer.orders.borrow().wall;
        wanted.as_ref().is_some_and(|wall| report.wall(wall) == Held::Yes)
    }
}

/// What a wall keeps from gateways, if it tells users apart, and if there is to be one in a closed circuit too: closing
/// would take away what the safe rounds of a recovery had rested on.
fn sealing(state: &State, wall: &Wall, seals: bool) -> Option<Seal> {
    match state {
        State::Closed(_) | State::HalfOpen(_) if seals => {
            let admitted = wall.local_users.clone()?;
            Some(Seal { ports: wall.ports.clone(), admitted })
        }
        State::Closed(_) | State::HalfOpen(_) | State::Open(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::barrier::firewall::wall::Stance;
    use crate::breaker::state::{Closed, HalfOpen, Open};
    use crate::trip::{Cause, Trip};

    #[test]
    fn nothing_leans_on_a_wall_that_closing_takes_away_or_that_admits_nobody() {
        let (since, began, level) = (Timestamp::UNIX_EPOCH, Moment::default(), Level::Isolated);
        let trip = Trip::new(since, Cause::Exposed, "because", &[]);
        let half = State::from(HalfOpen { since, began, trip: trip.clone(), level, safe: 0 });
        let open = State::from(Open { since, began, trip, level });
        let closed = State::from(Closed::since(since));
        let users = BTreeSet::from([0]);
        let wall = Wall { local_users: Some(users.clone()), ..Wall::empty(Stance::Loopback) };
        let stands = Some(Seal { ports: wall.ports.clone(), admitted: users });
        for (state, seals, seal) in [
            (&half, true, &stands),
            (&half, false, &None),
            (&closed, true, &stands),
            (&closed, false, &None),
            (&open, true, &None),
        ] {
            assert_eq!(&sealing(state, &wall, seals), seal, "{state:?}, {seals}");
        }
        assert_eq!(sealing(&closed, &Wall { local_users: None, ..wall }, true), None);
    }
}
