//! Gateways that are in none of this host's processes: in a container, a virtual machine, another network namespace, on
//! another machine. No wall before the gateway's own port holds them, and nobody can end them here; where one comes to
//! them is held instead, while the circuit is open.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use guardian_rules::fact::Listener;
use guardian_rules::policy::Policy;
use guardian_rules::scene::{Door, Scene, guests};
use guardian_rules::snapshot::{ProbeId, Snapshot};

use super::{Watcher, exposures};
use crate::barrier::Target;
use crate::breaker::state::State;
use crate::sys::clock::{Moment, Now};

impl Watcher {
    /// Keeps in mind where one comes to such a gateway: whoever is held answers no more, and would be let go for that.
    /// What was heard of a list of sockets that is another by now is left out: a gateway that has just been stopped is
    /// still heard behind its proxy.
    pub(super) fn keep_carried(&mut self, seen: &mut Target) {
        if !matches!(self.state, State::Open(_)) {
            return;
        }
        if self.schedule.is_settled(ProbeId::Access) {
            self.lasting.remember_carried(seen.carried.clone(), &self.tripped);
        } else {
            seen.carried.clear();
        }
    }

    /// Whoever carries a gateway was asked again, in a look that began then. While the gateways are cut off nobody may
    /// answer for one: whoever does leads somewhere else, and is held as well; and where that stands already, it does
    /// not hold.
    pub(super) fn judge_carriers(&mut self, probe: ProbeId, began: Moment, now: Now) {
        if !matches!(self.state, State::Open(_)) {
            return;
        }
        self.renew_isolation(now);
        if !self.isolation.stood_at(began) {
            return;
        }
        let Some(answering) = answering(&self.sight.policy, &self.sight.known, probe) else { return };
        let wall = self.enforcer.orders.borrow().wall.clone();
        let (through, free): (BTreeSet<SocketAddr>, _) =
            answering.into_iter().partition(|at| wall.as_ref().is_some_and(|wall| wall.holds(*at)));
        self.isolation.answered(!through.is_empty(), now.moment);
        if through.is_empty() && free.is_empty() {
            return;
        }
        // What was taken for blocked was not.
        self.times.block = None;
        exposures::begin(&mut self.past.exposures, self.cleared);
        self.sight.set_exposures(&self.past.exposures);
        if !free.is_empty() {
            self.lasting.remember_carried(free, &self.tripped);
            self.see_target();
            self.renew_isolation(now);
        }
    }
}

/// Where somebody else's socket gave a gateway's own answer to this probe; none if it saw nothing.
fn answering(policy: &Policy, known: &Snapshot, probe: ProbeId) -> Option<BTreeSet<SocketAddr>> {
    let speaks: fn(&Door<'_>) -> bool = match probe {
        ProbeId::Access if known.access.seen().is_some() => {
            |door| door.access.iter().any(|answer| answer.access.is_gateway())
        }
        ProbeId::Handshake if known.handshake.seen().is_some() => |door| {
            door.handshake.iter().any(|answer| answer.challenge.is_some() || answer.access.is_gateway())
        },
        _ => return None,
    };
    let scene = Scene::new(policy, known);
    Some(scene.carriers().filter(|door| speaks(door)).flat_map(|door| door.listener.as_bound()).collect())
}

/// The first of these places that is still there, as far as is seen.
pub(super) fn still_there(carried: &BTreeSet<SocketAddr>, known: &Snapshot) -> Option<SocketAddr> {
    let Some(listeners) = known.listeners.seen() else { return carried.first().copied() };
    if carried.is_empty() {
        return None;
    }
    let listening = listeners.iter().flat_map(Listener::as_bound);
    let there: BTreeSet<SocketAddr> = listening.chain(guests(known)).collect();
    carried.intersection(&there).next().copied()
}

#[cfg(test)]
mod tests {
    use guardian_rules::blindness::Blindness;
    use guardian_rules::fact::{Access, AccessAnswer, Attribution, Process, Role, Transport};
    use guardian_rules::observation::Observation;

    use super::*;

    const DOOR: &str = "0.0.0.0:8080";

    /// A forwarder that gives this answer.
    fn known(access: Access) -> Snapshot {
        let bound = DOOR.parse().unwrap();
        let listener = Listener {
            bound,
            dual_stack: false,
            device: None,
            uid: Some(1000),
            socket: 1,
            owner: Attribution::Named(vec![7]),
        };
        let forwarder = Process {
            pid: 7,
            parent: Some(1),
            started: 1,
            uid: Some(1000),
            user: None,
            name: "socat".to_owned(),
            exe: None,
            argv: Vec::new(),
            role: Role::Forwarder,
        };
        Snapshot {
            listeners: Observation::Seen(vec![listener]),
            owner: Observation::Seen(vec![forwarder]),
            access: Observation::Seen(vec![AccessAnswer {
                at: bound,
                bound,
                transport: Transport::Plain,
                access,
            }]),
            ..Snapshot::default()
        }
    }

    #[test]
    fn only_a_gateways_own_answer_that_was_heard_now_is_one() {
        let heard = |known: &Snapshot, probe| answering(&Policy::default(), known, probe);
        let door = BTreeSet::from([DOOR.parse().unwrap()]);
        assert_eq!(heard(&known(Access::Required), ProbeId::Access), Some(door));
        assert_eq!(heard(&known(Access::NoGateway), ProbeId::Access), Some(BTreeSet::new()));
        let unknown = Access::Unknown(Blindness::timed_out("after 1 s"));
        assert_eq!(heard(&known(unknown), ProbeId::Access), Some(BTreeSet::new()));
        let mut blind = known(Access::Required);
        let last = blind.access.known().cloned();
        blind.access = Observation::Blind { why: Blindness::timed_out("after 8 s"), last };
        assert_eq!(heard(&blind, ProbeId::Access), None, "what was heard before says nothing of now");
        assert_eq!(heard(&known(Access::Required), ProbeId::Handshake), None);
    }

    #[test]
    fn what_is_gone_is_not_said_to_run_on() {
        let carried = BTreeSet::from([DOOR.parse().unwrap()]);
        assert_eq!(still_there(&carried, &known(Access::NoGateway)), DOOR.parse().ok());
        let gone = Snapshot { listeners: Observation::Seen(Vec::new()), ..known(Access::NoGateway) };
        assert_eq!(still_there(&carried, &gone), None);
        assert_eq!(still_there(&carried, &Snapshot::default()), DOOR.parse().ok(), "nobody knows");
        assert_eq!(still_there(&BTreeSet::new(), &known(Access::Required)), None);
    }
}
