//! One whole round: every probe once, those that build on others after them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guardian_probes::access::AccessProbe;
use guardian_probes::announcements::Announcements;
use guardian_probes::containers::Containers;
use guardian_probes::gateway::Gateway;
use guardian_probes::handshake::Handshake;
use guardian_probes::interfaces::Interfaces;
use guardian_probes::listeners::Listeners;
use guardian_probes::listeners::witness::Witness;
use guardian_probes::owner::Owner;
use guardian_probes::panel::Panel;
use guardian_probes::peers::Peers;
use guardian_probes::probe::{Ground, Isolated, Probe};
use guardian_probes::reach::Reach;
use guardian_probes::redirects::Redirects;
use guardian_probes::router::Router;
use guardian_probes::routes::Routes;
use guardian_probes::tunnels::Tunnels;
use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Origin, Peer};
use guardian_rules::observation::Observation;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use serde::{Deserialize, Serialize};

/// What a round brought back.
#[derive(Debug)]
pub(crate) struct Round {
    /// All observations.
    pub(crate) snapshot: Snapshot,
    /// How each probe fared, in the order of [`ProbeId::ALL`].
    pub(crate) probes: Vec<ProbeReport>,
    /// How long the round took.
    pub(crate) took: Duration,
}

/// How a probe fared.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProbeReport {
    pub(crate) probe: ProbeId,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    /// Milliseconds, to a hundredth.
    pub(crate) took_ms: f64,
}

/// Whether a probe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Seen,
    Blind,
}

/// Runs every probe once.
pub(crate) async fn whole(policy: Arc<Policy>) -> Round {
    let began = Instant::now();
    let mut known = Arc::new(Snapshot::default());
    let mut owner = Isolated::new(Owner::default);
    let mut clocks = Vec::new();
    let ground = |known: &Arc<Snapshot>| Ground { policy: policy.clone(), known: known.clone() };

    let (listeners, interfaces) =
        tokio::join!(once(Listeners::default, ground(&known)), once(Interfaces::default, ground(&known)));
    {
        let known = Arc::make_mut(&mut known);
        known.listeners = listeners.keep(&mut clocks);
        known.interfaces = interfaces.keep(&mut clocks);
    }

    let (witness, holders) = tokio::join!(
        once(Witness::default, ground(&known)),
        timed(owner.look(ground(&known)), ProbeId::Owner)
    );
    {
        let known = Arc::make_mut(&mut known);
        known.witness = witness.keep(&mut clocks);
        known.owner = holders.keep(&mut clocks);
    }

    let (gateway, routes) =
        tokio::join!(once(Gateway::default, ground(&known)), once(Routes::default, ground(&known)));
    {
        let known = Arc::make_mut(&mut known);
        known.gateway = gateway.keep(&mut clocks);
        known.routes = routes.keep(&mut clocks);
    }

    let panel = once(Panel::default, ground(&known)).await;
    Arc::make_mut(&mut known).panel = panel.keep(&mut clocks);

    let access = once(AccessProbe::default, ground(&known)).await;
    Arc::make_mut(&mut known).access = access.keep(&mut clocks);

    let (handshake, reach, peers, tunnels, redirects, containers, router, announcements) = tokio::join!(
        once(Handshake::default, ground(&known)),
        once(Reach::default, ground(&known)),
        once(Peers::default, ground(&known)),
        once(Tunnels::default, ground(&known)),
        once(Redirects::default, ground(&known)),
        once(Containers::default, ground(&known)),
        once(Router::default, ground(&known)),
        once(Announcements::default, ground(&known)),
    );
    {
        let known = Arc::make_mut(&mut known);
        known.handshake = handshake.keep(&mut clocks);
        known.reach = reach.keep(&mut clocks);
        known.peers = peers.keep(&mut clocks);
        known.tunnels = tunnels.keep(&mut clocks);
        known.redirects = redirects.keep(&mut clocks);
        known.containers = containers.keep(&mut clocks);
        known.router = router.keep(&mut clocks);
        known.announcements = announcements.keep(&mut clocks);
    }

    // The peers' processes are known only now.
    describe(&mut known, &mut owner, &mut clocks, &policy).await;
    if has_nameless_peers(&known) {
        // A forwarder's child may end with its connection while it is looked at. Who is still there
        // the next time has no such excuse.
        let again = once(Peers::default, ground(&known)).await;
        clocks.push((ProbeId::Peers, again.took));
        if let Ok(again) = again.look {
            look_again(Arc::make_mut(&mut known), again);
            describe(&mut known, &mut owner, &mut clocks, &policy).await;
        }
    }

    let snapshot = Arc::unwrap_or_clone(known);
    let probes = ProbeId::ALL.into_iter().map(|probe| report(probe, &snapshot, &clocks)).collect();
    Round { snapshot, probes, took: began.elapsed() }
}

/// Describes the processes of all that is known so far.
async fn describe(
    known: &mut Arc<Snapshot>,
    owner: &mut Isolated<Owner>,
    clocks: &mut Vec<(ProbeId, Duration)>,
    policy: &Arc<Policy>,
) {
    let ground = Ground { policy: policy.clone(), known: known.clone() };
    let everybody = timed(owner.look(ground), ProbeId::Owner).await;
    clocks.push((ProbeId::Owner, everybody.took));
    let known = Arc::make_mut(known);
    let before = std::mem::replace(&mut known.owner, Observation::never_ran());
    known.owner = before.followed_by(everybody.look);
}

/// A process is connected to a gateway that is not among those described.
pub(crate) fn has_nameless_peers(known: &Snapshot) -> bool {
    known.peers.seen().into_iter().flatten().any(|peer| is_nameless(known, peer))
}

/// Named, and not among the processes described, if any were.
fn is_nameless(known: &Snapshot, peer: &Peer) -> bool {
    let Origin::Here { owner, .. } = &peer.origin else { return false };
    let described = |pid: &u32| known.owner.seen().is_none_or(|all| all.iter().any(|it| it.pid == *pid));
    !owner.pids().iter().all(described)
}

/// Of the first look nothing is left out but whom nobody could describe; the second adds to it.
fn look_again(known: &mut Snapshot, again: Vec<Peer>) {
    let first = std::mem::replace(&mut known.peers, Observation::never_ran());
    let mut peers: Vec<Peer> =
        first.seen().into_iter().flatten().filter(|peer| !is_nameless(known, peer)).cloned().collect();
    peers.extend(again);
    peers.sort_unstable();
    peers.dedup();
    known.peers = Observation::from(Ok(peers));
}

/// A look and how long it took.
struct Timed<T> {
    probe: ProbeId,
    look: Result<T, Blindness>,
    took: Duration,
}

impl<T> Timed<T> {
    /// Notes the time and gives the observation.
    fn keep(self, clocks: &mut Vec<(ProbeId, Duration)>) -> Observation<T> {
        if let Err(why) = &self.look {
            tracing::debug!(probe = %self.probe, %why, "blind");
        }
        clocks.push((self.probe, self.took));
        self.look.into()
    }
}

async fn timed<T>(look: impl Future<Output = Result<T, Blindness>>, probe: ProbeId) -> Timed<T> {
    let began = Instant::now();
    let look = look.await;
    Timed { probe, look, took: began.elapsed() }
}

async fn once<P: Probe>(make: fn() -> P, ground: Ground) -> Timed<P::Facts> {
    timed(Isolated::new(make).look(ground), P::ID).await
}

fn report(probe: ProbeId, snapshot: &Snapshot, clocks: &[(ProbeId, Duration)]) -> ProbeReport {
    let took: Duration = clocks.iter().filter(|(of, _)| *of == probe).map(|(_, took)| *took).sum();
    let blindness = snapshot.blindness_of(probe);
    ProbeReport {
        probe,
        outcome: if blindness.is_some() { Outcome::Blind } else { Outcome::Seen },
        reason: blindness.map(ToString::to_string),
        took_ms: (took.as_secs_f64() * 100_000.0).round() / 100.0,
    }
}

#[cfg(test)]
mod tests {
    use guardian_rules::fact::{Attribution, Process, Role};

    use super::*;

    fn peer(owner: Attribution) -> Peer {
        Peer {
            gateway: "127.0.0.1:18789".parse().unwrap(),
            remote: "127.0.0.1:40000".parse().unwrap(),
            origin: Origin::Here { owner, flows: Vec::new() },
        }
    }

    fn process(pid: u32) -> Process {
        Process {
            pid,
            parent: None,
            started: 0,
            uid: None,
            user: None,
            name: String::new(),
            exe: None,
            argv: Vec::new(),
            role: Role::Unknown,
        }
    }

    #[test]
    fn a_peer_that_was_named_and_not_described_is_looked_for_again() {
        let named = || peer(Attribution::Named(vec![7]));
        let unnamed = || peer(Attribution::Unnamed(Blindness::denied("hidden")));
        let elsewhere = || Peer { origin: Origin::Elsewhere, ..named() };
        for (peers, described, again) in [
            (vec![named()], vec![process(8)], true),
            (vec![elsewhere(), named()], vec![], true),
            (vec![named()], vec![process(7)], false),
            (vec![unnamed(), elsewhere()], vec![], false),
            (vec![], vec![], false),
        ] {
            let known = Snapshot {
                peers: Observation::from(Ok(peers)),
                owner: Observation::from(Ok(described)),
                ..Snapshot::default()
            };
            assert_eq!(has_nameless_peers(&known), again, "{known:#?}");
        }
        let blind = Snapshot { peers: Observation::from(Ok(vec![named()])), ..Snapshot::default() };
        assert!(!has_nameless_peers(&blind), "nobody was described: nothing is known of the one either");
    }

    #[test]
    fn a_second_look_takes_nobody_back_who_was_seen_and_described() {
        let stranger = Peer { origin: Origin::Elsewhere, ..peer(Attribution::Named(vec![])) };
        let described = peer(Attribution::Named(vec![7]));
        let nameless = peer(Attribution::Named(vec![8]));
        let hidden = peer(Attribution::Unnamed(Blindness::denied("hidden")));
        let first = vec![stranger.clone(), described.clone(), nameless, hidden.clone()];
        let mut known = Snapshot {
            peers: Observation::from(Ok(first)),
            owner: Observation::from(Ok(vec![process(7)])),
            ..Snapshot::default()
        };
        let late = peer(Attribution::Named(vec![9]));
        look_again(&mut known, vec![late.clone(), described.clone()]);
        let mut all = vec![stranger, described, hidden, late];
        all.sort_unstable();
        assert_eq!(known.peers.seen(), Some(&all));
    }
}
