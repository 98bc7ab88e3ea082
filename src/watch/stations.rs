//! The probes, each in a task of its own that waits until it is told to look.

use std::collections::BTreeMap;
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
use guardian_rules::observation::Observation;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use tokio::sync::mpsc;

/// Puts what a probe has brought back where it belongs; answers whether it is something else than
/// before.
type Keep = Box<dyn FnOnce(&mut Snapshot) -> bool + Send>;

/// A look that is over.
pub(crate) struct Looked {
    /// Who looked.
    pub(crate) probe: ProbeId,
    /// How long it took.
    pub(crate) took: Duration,
    /// What it brought back.
    pub(crate) keep: Keep,
}

/// The tasks of all probes.
pub(crate) struct Stations {
    ways: BTreeMap<ProbeId, mpsc::Sender<Ground>>,
}

impl Stations {
    /// Sets all probes up. What they see comes over the channel.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Looked>) {
        let (report, reports) = mpsc::channel(2 * ProbeId::ALL.len());
        let mut stations = Self { ways: BTreeMap::new() };
        stations.add(Listeners::default, |known| &mut known.listeners, &report);
        stations.add(Witness::default, |known| &mut known.witness, &report);
        stations.add(Interfaces::default, |known| &mut known.interfaces, &report);
        stations.add(Owner::default, |known| &mut known.owner, &report);
        stations.add(Gateway::default, |known| &mut known.gateway, &report);
        stations.add(Routes::default, |known| &mut known.routes, &report);
        stations.add(Reach::default, |known| &mut known.reach, &report);
        stations.add(Panel::default, |known| &mut known.panel, &report);
        stations.add(AccessProbe::default, |known| &mut known.access, &report);
        stations.add(Handshake::default, |known| &mut known.handshake, &report);
        stations.add(Peers::default, |known| &mut known.peers, &report);
        stations.add(Tunnels::default, |known| &mut known.tunnels, &report);
        stations.add(Redirects::default, |known| &mut known.redirects, &report);
        stations.add(Containers::default, |known| &mut known.containers, &report);
        stations.add(Router::default, |known| &mut known.router, &report);
        stations.add(Announcements::default, |known| &mut known.announcements, &report);
        (stations, reports)
    }

    /// Lets a probe look. It must not be looking already.
    pub(crate) fn look(&self, probe: ProbeId, ground: Ground) {
        if let Some(way) = self.ways.get(&probe) {
            // There is room for one, and the schedule starts no second look.
            let _ = way.try_send(ground);
        }
    }

    fn add<P: Probe>(
        &mut self,
        make: fn() -> P,
        place: fn(&mut Snapshot) -> &mut Observation<P::Facts>,
        report: &mpsc::Sender<Looked>,
    ) where
        P::Facts: PartialEq,
    {
        let (way, mut orders) = mpsc::channel(1);
        self.ways.insert(P::ID, way);
        let report = report.clone();
        tokio::spawn(async move {
            let mut probe = Isolated::new(make);
            while let Some(ground) = orders.recv().await {
                let began = Instant::now();
                let look = probe.look(ground).await;
                let keep = Box::new(move |known: &mut Snapshot| replace(place(known), look));
                let looked = Looked { probe: P::ID, took: began.elapsed(), keep };
                if report.send(looked).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The next observation. A probe that stays blind for the same kind of reason has not changed: its
/// sentence may carry a number that does.
fn replace<T: PartialEq>(place: &mut Observation<T>, look: Result<T, Blindness>) -> bool {
    let changed = match (&*place, &look) {
        (Observation::Seen(before), Ok(now)) => before != now,
        (Observation::Blind { why, .. }, Err(now)) => why.cause != now.cause,
        _ => true,
    };
    let before = std::mem::replace(place, Observation::never_ran());
    *place = before.followed_by(look);
    changed
}

/// How often a probe looks unless the policy says otherwise.
pub(crate) fn cadence(probe: ProbeId) -> Duration {
    match probe {
        ProbeId::Listeners => Listeners::CADENCE,
        ProbeId::Witness => Witness::CADENCE,
        ProbeId::Interfaces => Interfaces::CADENCE,
        ProbeId::Owner => Owner::CADENCE,
        ProbeId::Gateway => Gateway::CADENCE,
        ProbeId::Routes => Routes::CADENCE,
        ProbeId::Reach => Reach::CADENCE,
        ProbeId::Panel => Panel::CADENCE,
        ProbeId::Access => AccessProbe::CADENCE,
        ProbeId::Handshake => Handshake::CADENCE,
        ProbeId::Peers => Peers::CADENCE,
        ProbeId::Tunnels => Tunnels::CADENCE,
        ProbeId::Redirects => Redirects::CADENCE,
        ProbeId::Containers => Containers::CADENCE,
        ProbeId::Router => Router::CADENCE,
        ProbeId::Announcements => Announcements::CADENCE,
    }
}

/// How long a probe may take.
#[cfg(test)]
pub(crate) fn deadline(probe: ProbeId) -> Duration {
    match probe {
        ProbeId::Listeners => Listeners::DEADLINE,
        ProbeId::Witness => Witness::DEADLINE,
        ProbeId::Interfaces => Interfaces::DEADLINE,
        ProbeId::Owner => Owner::DEADLINE,
        ProbeId::Gateway => Gateway::DEADLINE,
        ProbeId::Routes => Routes::DEADLINE,
        ProbeId::Reach => Reach::DEADLINE,
        ProbeId::Panel => Panel::DEADLINE,
        ProbeId::Access => AccessProbe::DEADLINE,
        ProbeId::Handshake => Handshake::DEADLINE,
        ProbeId::Peers => Peers::DEADLINE,
        ProbeId::Tunnels => Tunnels::DEADLINE,
        ProbeId::Redirects => Redirects::DEADLINE,
        ProbeId::Containers => Containers::DEADLINE,
        ProbeId::Router => Router::DEADLINE,
        ProbeId::Announcements => Announcements::DEADLINE,
    }
}

#[cfg(test)]
mod tests {
    use guardian_rules::blindness::Cause;

    use super::*;

    #[test]
    fn an_observation_changes_with_its_facts_and_with_seeing_or_not() {
        let mut place = Observation::never_ran();
        assert!(replace(&mut place, Ok(7)));
        assert!(!replace(&mut place, Ok(7)));
        assert!(replace(&mut place, Ok(8)));
        assert!(replace(&mut place, Err(Blindness::timed_out("after 1 s"))));
        assert!(!replace(&mut place, Err(Blindness::timed_out("after 2 s"))));
        assert_eq!(place.known(), Some(&8));
        assert!(replace(&mut place, Err(Blindness::new(Cause::Denied, "no"))));
        assert!(replace(&mut place, Ok(8)));
    }

    #[tokio::test]
    async fn every_probe_has_a_station_and_a_cadence() {
        let (stations, _reports) = Stations::new();
        for probe in ProbeId::ALL {
            assert!(stations.ways.contains_key(&probe));
            assert!(cadence(probe) >= Duration::from_millis(200));
        }
    }
}
