//! Who is connected to a gateway: other hosts, and the processes of this one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Listener, Peer};
use guardian_rules::scene::gateway_ports;
use guardian_rules::snapshot::ProbeId;

use self::admission::Admission;
use crate::interfaces;
use crate::probe::{Ground, Probe, blocking};

pub mod admission;
mod crowd;
pub mod flows;
pub mod pairing;
pub mod port_filter;
mod watch;

pub use watch::Watch;

/// The probe.
#[derive(Default)]
pub struct Peers {
    watch: Option<Watch>,
}

/// What to look for.
#[derive(Debug, Default)]
pub struct Question {
    /// The gateways' ports.
    pub ports: BTreeSet<u16>,
    /// The addresses of this host.
    pub own: BTreeSet<IpAddr>,
    /// The listeners known: they tell a gateway's processes, and what a process accepted from what
    /// it asked for.
    pub listeners: Vec<Listener>,
    /// Who is no stranger.
    pub admission: Admission,
}

impl Question {
    /// The processes that hold a listener on one of the ports.
    fn gateways(&self) -> BTreeSet<u32> {
        self.listeners
            .iter()
            .filter(|listener| self.ports.contains(&listener.bound.port()))
            .flat_map(|listener| listener.owner.pids())
            .copied()
            .collect()
    }
}

impl Probe for Peers {
    type Facts = Vec<Peer>;
    const ID: ProbeId = ProbeId::Peers;
    // The kernel walks its whole table of connections twice for it: 3 ms where there is much memory.
    const CADENCE: Duration = Duration::from_secs(2);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, ground: Ground) -> Result<Vec<Peer>, Blindness> {
        let mut watch = self.watch.take().unwrap_or_default();
        let (watch, peers) = blocking(move || {
            let peers = look(&mut watch, &ground);
            Ok((watch, peers))
        })
        .await?;
        self.watch = Some(watch);
        peers
    }
}

fn look(watch: &mut Watch, ground: &Ground) -> Result<Vec<Peer>, Blindness> {
    let ports = gateway_ports(&ground.policy, &ground.known);
    if ports.is_empty() {
        return Ok(Vec::new());
    }
    let interfaces = interfaces::read()?;
    let question = Question {
        ports,
        own: interfaces.iter().map(|own| own.address).collect(),
        listeners: ground.known.listeners.known().cloned().unwrap_or_default(),
        admission: Admission::new(Arc::clone(&ground.policy), &interfaces),
    };
    crowd::within_limit(watch.look(&question)?, &question.admission)
}

/// Why a peer with an address of this host has no process here.
fn no_other_end() -> Blindness {
    Blindness::denied(
        "no process of this host holds the other end: it may lie in a container, or behind a translation of \
         addresses",
    )
}

#[cfg(test)]
mod tests;
