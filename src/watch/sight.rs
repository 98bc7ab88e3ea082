//! What is seen now, and what follows from it.

use std::net::IpAddr;
use std::sync::Arc;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Access, Exposure, InterfaceAddress, Listener, Reply, Seal, Stopped, Suspicion};
use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::observation::Observation;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use guardian_rules::verdict::{Judgement, Verdict, judge};

use super::schedule::Schedule;
use super::stations::Looked;
use super::target::target;
use crate::barrier::Target;
use crate::breaker::event::Round;
use crate::round::has_nameless_peers;
use crate::trip::Evidence;

/// The rule of what was found open, beyond which nothing is left to lose.
const OPEN: &str = "open-without-credentials";

/// The present picture.
pub(crate) struct Sight {
    /// The owner's wishes, as of now.
    pub(crate) policy: Arc<Policy>,
    /// What was seen last.
    pub(crate) known: Arc<Snapshot>,
    /// The judgement of the whole picture, until something changes.
    judged: Option<Judgement>,
    /// What belongs to gateways in it, until something changes.
    target: Option<Target>,
    /// The parts that are settled were judged as they are.
    accused: bool,
    /// What is newer, for the next picture.
    ahead: Ahead,
}

/// What comes and goes faster than a picture is made, as it was seen last.
#[derive(Default)]
struct Ahead {
    listeners: Option<Observation<Vec<Listener>>>,
    interfaces: Option<Observation<Vec<InterfaceAddress>>>,
}

/// Whether a probe's facts may wait for the next picture: what others answer builds on them, and
/// takes longer than they may last.
pub(crate) fn may_wait(probe: ProbeId) -> bool {
    matches!(probe, ProbeId::Listeners | ProbeId::Interfaces)
}

impl Sight {
    /// Nothing seen yet.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy: Arc::new(policy),
            known: Arc::default(),
            judged: None,
            target: None,
            accused: false,
            ahead: Ahead::default(),
        }
    }

    /// This host's addresses, before any probe has looked: the first wall is to refuse nothing that the next one
    /// lets in, for what it refuses may be the end of a connection, which is then never heard of.
    pub(crate) fn begin_with(&mut self, interfaces: Vec<InterfaceAddress>) {
        Arc::make_mut(&mut self.known).interfaces = Observation::Seen(interfaces);
        self.doubt();
    }

    /// Takes in what a probe has brought back; answers whether it is news.
    pub(crate) fn take(&mut self, looked: Looked) -> bool {
        let changed = (looked.keep)(Arc::make_mut(&mut self.known));
        if changed {
            self.doubt();
        }
        // More of the picture may be settled now.
        self.accused = false;
        changed
    }

    /// Keeps newer listeners or addresses for the next picture. Answers what they prove by themselves.
    pub(crate) fn look_ahead(&mut self, looked: Looked, schedule: &Schedule) -> Option<Round> {
        let probe = looked.probe;
        let mut next = Snapshot::clone(&self.known);
        if let Some(ahead) = self.ahead.listeners.take() {
            next.listeners = ahead;
        }
        if let Some(ahead) = self.ahead.interfaces.take() {
            next.interfaces = ahead;
        }
        (looked.keep)(&mut next);
        // Answers of others are about what was there before.
        let rest = settled(&next, schedule);
        let alone = Snapshot {
            listeners: next.listeners.clone(),
            interfaces: if probe == ProbeId::Interfaces { next.interfaces.clone() } else { rest.interfaces },
            owner: rest.owner,
            gateway: rest.gateway,
            stopped: rest.stopped,
            suspicions: rest.suspicions,
            ..Snapshot::default()
        };
        self.ahead.listeners = Some(next.listeners).filter(|it| *it != self.known.listeners);
        self.ahead.interfaces = Some(next.interfaces).filter(|it| *it != self.known.interfaces);
        accuse(&self.policy, &alone)
    }

    /// A probe has finished its look: who looks again for what it brought, and when.
    pub(crate) fn settle(&self, schedule: &mut Schedule, probe: ProbeId, changed: bool) {
        schedule.finished(probe, changed);
        schedule.left_open(probe, self.leaves_open(probe));
        if probe == ProbeId::Owner {
            // A client may end with its connection while it is looked at. Who is still there the next time has
            // no such excuse, and what proves something already is not looked at anew.
            let gone = has_nameless_peers(&self.known) && accuse(&self.policy, &self.known).is_none();
            schedule.came_to_nothing(ProbeId::Peers, gone);
        }
        if self.awaits_addresses(schedule) {
            schedule.hurry(ProbeId::Interfaces);
        }
    }

    /// Connections end at an address that this host did not have when it was asked for its addresses last, and others
    /// have looked since. A VPN that comes up is met by its members at once: what they are connected to may be an
    /// address of the VPN's, or of the network's. Once the addresses are newer than all that was seen there, it is told.
    fn awaits_addresses(&self, schedule: &Schedule) -> bool {
        let asked = schedule.looked(ProbeId::Interfaces);
        let later = [ProbeId::Peers, ProbeId::Reach].into_iter().any(|probe| schedule.looked(probe) >= asked);
        let known = self.known.interfaces.seen().map(Vec::as_slice);
        known.is_some_and(|known| later && self.missing(known).next().is_some())
    }

    /// Whether addresses that were kept for the next picture are those that this one lacks.
    pub(crate) fn brings_an_address(&self) -> bool {
        let next = self.ahead.interfaces.as_ref().and_then(Observation::seen);
        let (Some(next), Some(known)) = (next, self.known.interfaces.seen()) else { return false };
        self.missing(known).any(|missing| next.iter().any(|it| it.address == missing))
    }

    /// Addresses at which somebody is connected to a gateway, and which are not among these.
    fn missing(&self, addresses: &[InterfaceAddress]) -> impl Iterator<Item = IpAddr> {
        let ends = self.known.peers.seen().into_iter().flatten().map(|peer| peer.gateway.ip().to_canonical());
        ends.filter(|end| !end.is_loopback() && !addresses.iter().any(|it| it.address == *end))
    }

    /// Whether what a probe has seen leaves something open that another look may tell: it saw nothing,
    /// or somebody did not answer.
    pub(crate) fn leaves_open(&self, probe: ProbeId) -> bool {
        let known = &self.known;
        let is_open = |access: &Access| matches!(access, Access::Unknown(_));
        let unanswered = match probe {
            ProbeId::Panel => known
                .panel
                .seen()
                .into_iter()
                .flatten()
                // Guardian's own wall may have been there before it knew this host's addresses.
                .any(|answer| matches!(answer.reply, Reply::Silent | Reply::Refused | Reply::Unknown(_))),
            ProbeId::Access => known.access.seen().into_iter().flatten().any(|it| is_open(&it.access)),
            ProbeId::Handshake => known.handshake.seen().into_iter().flatten().any(|it| is_open(&it.access)),
            _ => false,
        };
        unanswered || known.blindness_of(probe).is_some()
    }

    /// Something newer waits for the next picture.
    pub(crate) fn looks_ahead(&self) -> bool {
        self.ahead.listeners.is_some() || self.ahead.interfaces.is_some()
    }

    /// The listening sockets as they were seen last, be it for the next picture; none if that look was blind.
    pub(crate) fn newest_listeners(&self) -> Option<&[Listener]> {
        self.ahead.listeners.as_ref().unwrap_or(&self.known.listeners).seen().map(Vec::as_slice)
    }

    /// Goes on to what is newest; answers whose facts are others now.
    pub(crate) fn catch_up(&mut self) -> Vec<ProbeId> {
        let Ahead { listeners, interfaces } = std::mem::take(&mut self.ahead);
        let mut changed = Vec::new();
        if let Some(listeners) = listeners {
            Arc::make_mut(&mut self.known).listeners = listeners;
            changed.push(ProbeId::Listeners);
        }
        if let Some(interfaces) = interfaces {
            Arc::make_mut(&mut self.known).interfaces = interfaces;
            changed.push(ProbeId::Interfaces);
        }
        if !changed.is_empty() {
            self.doubt();
        }
        changed
    }

    /// The owner's wishes have changed.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        if *self.policy != policy {
            self.policy = Arc::new(policy);
            self.doubt();
        }
    }

    /// What the breaker has put down has changed.
    pub(crate) fn set_stopped(&mut self, stopped: Option<Stopped>) {
        if self.known.stopped != stopped {
            Arc::make_mut(&mut self.known).stopped = stopped;
            self.doubt();
        }
    }

    /// The gate reports something else.
    pub(crate) fn set_suspicions(&mut self, suspicions: Vec<Suspicion>) {
        if self.known.suspicions != suspicions {
            Arc::make_mut(&mut self.known).suspicions = suspicions;
            self.doubt();
        }
    }

    /// Gateways were exposed, or are blocked now.
    pub(crate) fn set_exposures(&mut self, exposures: &[Exposure]) {
        if self.known.exposures != exposures {
            Arc::make_mut(&mut self.known).exposures = exposures.to_vec();
            self.doubt();
        }
    }

    /// What keeps others of this host from gateways was found standing, or not any more; answers whether it is news.
    pub(crate) fn set_seal(&mut self, seal: Option<Seal>) -> bool {
        let changed = self.known.seal != seal;
        if changed {
            Arc::make_mut(&mut self.known).seal = seal;
            self.doubt();
        }
        changed
    }

    /// What was concluded does not hold any more.
    pub(crate) fn doubt(&mut self) {
        (self.judged, self.target, self.accused) = (None, None, false);
    }

    /// What belongs to gateways.
    pub(crate) fn target(&mut self) -> &Target {
        self.target.get_or_insert_with(|| target(&self.policy, &self.known))
    }

    /// The judgement of the whole picture, if it is whole.
    pub(crate) fn whole(&mut self, schedule: &Schedule) -> Option<&Judgement> {
        if !schedule.is_whole() || self.awaits_addresses(schedule) {
            return None;
        }
        if self.judged.is_none() {
            self.judged = Some(judge(&self.policy, &self.known));
        }
        self.judged.as_ref()
    }

    /// What the settled part of the picture proves already; nothing if it was asked before and
    /// nothing has changed.
    pub(crate) fn accusation(&mut self, schedule: &Schedule) -> Option<Round> {
        let awaits = self.awaits_addresses(schedule);
        if self.accused || (schedule.is_whole() && !awaits) {
            return None;
        }
        self.accused = true;
        let mut part = settled(&self.known, schedule);
        if awaits {
            part.peers = Observation::never_ran();
        }
        accuse(&self.policy, &part)
    }
}

/// What a part of a picture proves.
fn accuse(policy: &Policy, part: &Snapshot) -> Option<Round> {
    let judgement = judge(policy, part);
    if judgement.verdict != Verdict::Exposed {
        return None;
    }
    let mut round = round(&judgement);
    // That the rest is not settled yet is no finding.
    round.findings.retain(Evidence::is_proof);
    Some(round)
}

/// The part of a picture that fits together. What does not is left out, for it could accuse
/// wrongly: an answer of a listener that has gone, and its place taken by another.
fn settled(known: &Snapshot, schedule: &Schedule) -> Snapshot {
    fn keep<T: Clone>(observation: &Observation<T>, settled: bool) -> Observation<T> {
        if settled { observation.clone() } else { Observation::never_ran() }
    }
    let is = |probe| schedule.is_settled(probe);
    // Without the list nobody knows whose an answer is, and whether the owner has allowed it.
    let listed = is(ProbeId::Listeners);
    Snapshot {
        listeners: keep(&known.listeners, listed),
        witness: keep(&known.witness, is(ProbeId::Witness)),
        interfaces: keep(&known.interfaces, is(ProbeId::Interfaces)),
        // What a process is called does not change with what it listens on.
        owner: Observation::Blind { why: Blindness::never_ran(), last: known.owner.known().cloned() },
        gateway: keep(&known.gateway, is(ProbeId::Gateway)),
        routes: keep(&known.routes, is(ProbeId::Routes)),
        reach: keep(&known.reach, is(ProbeId::Reach)),
        panel: keep(&known.panel, listed && is(ProbeId::Panel)),
        access: keep(&known.access, listed && is(ProbeId::Access)),
        handshake: keep(&known.handshake, listed && is(ProbeId::Handshake)),
        peers: keep(&known.peers, is(ProbeId::Peers)),
        tunnels: keep(&known.tunnels, is(ProbeId::Tunnels)),
        redirects: keep(&known.redirects, is(ProbeId::Redirects)),
        containers: keep(&known.containers, is(ProbeId::Containers)),
        router: keep(&known.router, is(ProbeId::Router)),
        announcements: keep(&known.announcements, is(ProbeId::Announcements)),
        stopped: known.stopped.clone(),
        suspicions: known.suspicions.clone(),
        exposures: known.exposures.clone(),
        seal: known.seal.clone(),
    }
}

/// A judgement as the breaker hears of it.
pub(crate) fn round(judgement: &Judgement) -> Round {
    let findings: Vec<Evidence> = judgement
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Critical)
        .map(Evidence::from)
        .collect();
    let proven = |rule: &str| findings.iter().any(|finding| finding.rule == rule && finding.is_proof());
    let reachable =
        ["bound-beyond-allowed", "reachable-beyond-allowed", "panel-republished", "forwarder-attached"];
    let open_beyond = proven(OPEN) && reachable.into_iter().any(proven);
    Round { verdict: judgement.verdict, findings, open_beyond }
}

/// Whether something is no doubt for no other reason than that the seal stands.
pub(crate) fn leans_on_the_seal(judgement: &Judgement) -> bool {
    let excused =
        |it: &Finding| it.rule == OPEN && it.answer == Answer::Unknown && it.severity < Severity::Critical;
    judgement.findings.iter().any(excused)
}

#[cfg(test)]
mod tests;
