//! The processes that matter: who holds a listening socket, who is connected to a gateway, and
//! their parents.

use std::collections::BTreeSet;
use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Origin, Process};
use guardian_rules::snapshot::{ProbeId, Snapshot};

use crate::owner::table::Table;
use crate::probe::{Ground, Probe, blocking};

pub mod argument;
#[cfg(target_os = "macos")]
mod macos;
pub mod names;
pub mod role;
pub mod table;

/// Names the processes that the other probes have met.
#[derive(Debug, Default)]
pub struct Owner {
    table: Table,
}

impl Probe for Owner {
    type Facts = Vec<Process>;
    const ID: ProbeId = ProbeId::Owner;
    const CADENCE: Duration = Duration::from_secs(2);
    const DEADLINE: Duration = Duration::from_secs(5);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let listening = listening(&ground.known)?;
        let pids: BTreeSet<u32> = listening.iter().copied().chain(met(&ground.known)).collect();
        let mut table = std::mem::take(&mut self.table);
        let (table, entries) = blocking(move || {
            let entries = table.read(&pids, &listening)?;
            Ok((table, entries))
        })
        .await?;
        self.table = table;
        Ok(entries.into_iter().map(|entry| entry.process).collect())
    }
}

/// The processes that hold a listening socket. Without any list of sockets nobody knows which
/// processes matter, and the blindness is passed on.
pub(crate) fn listening(known: &Snapshot) -> Result<BTreeSet<u32>, Blindness> {
    match (known.listeners.known(), known.listeners.blindness()) {
        (Some(listeners), _) => {
            Ok(listeners.iter().flat_map(|listener| listener.owner.pids()).copied().collect())
        }
        (None, Some(why)) => {
            Err(Blindness::new(why.cause, "there is no list of listening sockets to start from"))
        }
        (None, None) => Ok(BTreeSet::new()),
    }
}

/// The processes that other probes have met.
fn met(known: &Snapshot) -> BTreeSet<u32> {
    let peers = known.peers.known().into_iter().flatten().flat_map(|peer| match &peer.origin {
        Origin::Here { owner, .. } => owner.pids(),
        Origin::Elsewhere => &[],
    });
    let gateways = known.gateway.known().into_iter().flatten().map(|gateway| gateway.pid);
    let routes = known
        .routes
        .known()
        .into_iter()
        .flat_map(|told| told.routes.iter().chain(told.to_guests.iter().map(|(route, _)| route)));
    let routes = routes.map(|route| route.pid);
    let tunnels = known.tunnels.known().into_iter().flatten().map(|tunnel| tunnel.pid);
    peers.copied().chain(gateways).chain(routes).chain(tunnels).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use guardian_rules::blindness::Cause;
    use guardian_rules::fact::{Attribution, Listener, Role};
    use guardian_rules::observation::Observation;

    use super::*;

    fn ground(known: Snapshot) -> Ground {
        Ground { policy: Arc::default(), known: Arc::new(known) }
    }

    fn held_by(pids: &[u32]) -> Snapshot {
        let listener = Listener {
            bound: "127.0.0.1:18789".parse().unwrap(),
            dual_stack: false,
            device: None,
            uid: None,
            socket: 1,
            owner: Attribution::Named(pids.to_vec()),
        };
        Snapshot { listeners: Observation::Seen(vec![listener]), ..Snapshot::default() }
    }

    #[tokio::test]
    async fn holders_of_sockets_are_named_with_their_ancestors() {
        let own = std::process::id();
        let seen = Owner::default().observe(ground(held_by(&[own]))).await.unwrap();
        let me = seen.iter().find(|process| process.pid == own).unwrap();
        assert_eq!(me.role, Role::Guardian, "this test runs the same file as the probe");
        assert_eq!(me.exe, std::env::current_exe().ok());
        assert_eq!(me.uid, Some(nix::unistd::geteuid().as_raw()));
        assert!(seen.iter().any(|process| Some(process.pid) == me.parent));
        assert!(seen.is_sorted_by_key(|process| process.pid));
    }

    #[tokio::test]
    async fn a_process_that_has_vanished_is_left_out() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let seen = Owner::default().observe(ground(held_by(&[pid]))).await.unwrap();
        assert_eq!(seen, []);
    }

    #[tokio::test]
    async fn without_a_list_of_sockets_the_probe_is_blind() {
        let why = Owner::default().observe(ground(Snapshot::default())).await.unwrap_err();
        assert_eq!(why.cause, Cause::NeverRan);
    }
}
