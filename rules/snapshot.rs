//! All observations of one moment.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::blindness::Blindness;
use crate::fact::{
    AccessAnswer, Announcement, Engine, Exposure, GatewayProcess, HandshakeAnswer, Instructions,
    InterfaceAddress, Listener, PanelAnswer, Peer, Process, ReachAnswer, Redirects, Router, Seal, Stopped,
    Suspicion, Tunnel, Witness,
};
use crate::observation::Observation;

/// The probes, by their stable ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeId {
    /// Every listening TCP socket and its holder.
    Listeners,
    /// The same by code that is not ours, compared.
    Witness,
    /// The addresses of this host.
    Interfaces,
    /// The processes that matter.
    Owner,
    /// Which processes are gateways, and their files.
    Gateway,
    /// What proxies and forwarders are told to carry.
    Routes,
    /// Which addresses take connections for a gateway.
    Reach,
    /// Which listeners serve the panel.
    Panel,
    /// Who gets in without credentials.
    Access,
    /// What answers a WebSocket.
    Handshake,
    /// Who is connected to a gateway.
    Peers,
    /// What tunnels and VPN daemons publish.
    Tunnels,
    /// Where the packet filter sends connections.
    Redirects,
    /// What container engines publish.
    Containers,
    /// What a router carries to this host.
    Router,
    /// What this host announces of a gateway.
    Announcements,
}

impl ProbeId {
    /// Every probe, in the order in which reports list them.
    pub const ALL: [Self; 16] = [
        Self::Listeners,
        Self::Witness,
        Self::Interfaces,
        Self::Owner,
        Self::Gateway,
        Self::Routes,
        Self::Reach,
        Self::Panel,
        Self::Access,
        Self::Handshake,
        Self::Peers,
        Self::Tunnels,
        Self::Redirects,
        Self::Containers,
        Self::Router,
        Self::Announcements,
    ];

    /// The id as configuration, reports and logs spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Witness => "witness",
            Self::Interfaces => "interfaces",
            Self::Owner => "owner",
            Self::Gateway => "gateway",
            Self::Routes => "routes",
            Self::Reach => "reach",
            Self::Panel => "panel",
            Self::Access => "access",
            Self::Handshake => "handshake",
            Self::Peers => "peers",
            Self::Tunnels => "tunnels",
            Self::Redirects => "redirects",
            Self::Containers => "containers",
            Self::Router => "router",
            Self::Announcements => "announcements",
        }
    }
}

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What all probes brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Listening sockets.
    pub listeners: Observation<Vec<Listener>>,
    /// The second witness of the listening sockets.
    pub witness: Observation<Witness>,
    /// Addresses of this host.
    pub interfaces: Observation<Vec<InterfaceAddress>>,
    /// Processes that hold sockets, their peers and parents.
    pub owner: Observation<Vec<Process>>,
    /// Processes with the marks of a gateway.
    pub gateway: Observation<Vec<GatewayProcess>>,
    /// Instructions of proxies and forwarders.
    pub routes: Observation<Instructions>,
    /// Connection attempts to gateway ports.
    pub reach: Observation<Vec<ReachAnswer>>,
    /// Answers to `GET /`.
    pub panel: Observation<Vec<PanelAnswer>>,
    /// Answers to an empty `POST /tools/invoke`.
    pub access: Observation<Vec<AccessAnswer>>,
    /// Answers to a WebSocket upgrade.
    pub handshake: Observation<Vec<HandshakeAnswer>>,
    /// Connections to gateways.
    pub peers: Observation<Vec<Peer>>,
    /// What tunnels and VPN daemons publish.
    pub tunnels: Observation<Vec<Tunnel>>,
    /// Redirects of the packet filter.
    pub redirects: Observation<Redirects>,
    /// What container engines publish.
    pub containers: Observation<Vec<Engine>>,
    /// Routers that carry ports to this host.
    pub router: Observation<Vec<Router>>,
    /// What this host announces of gateways.
    pub announcements: Observation<Vec<Announcement>>,
    /// What the breaker has put down, while it holds it down. No probe sees this; the watcher adds
    /// it.
    pub stopped: Option<Stopped>,
    /// What the gate reports; likewise.
    pub suspicions: Vec<Suspicion>,
    /// When gateways were exposed, as far as the watcher remembers.
    pub exposures: Vec<Exposure>,
    /// What keeps others of this host from gateways, while it is found standing; the watcher adds it.
    pub seal: Option<Seal>,
}

impl Default for Snapshot {
    /// Nothing has been looked at yet.
    fn default() -> Self {
        Self {
            listeners: Observation::never_ran(),
            witness: Observation::never_ran(),
            interfaces: Observation::never_ran(),
            owner: Observation::never_ran(),
            gateway: Observation::never_ran(),
            routes: Observation::never_ran(),
            reach: Observation::never_ran(),
            panel: Observation::never_ran(),
            access: Observation::never_ran(),
            handshake: Observation::never_ran(),
            peers: Observation::never_ran(),
            tunnels: Observation::never_ran(),
            redirects: Observation::never_ran(),
            containers: Observation::never_ran(),
            router: Observation::never_ran(),
            announcements: Observation::never_ran(),
            stopped: None,
            suspicions: Vec::new(),
            exposures: Vec::new(),
            seal: None,
        }
    }
}

impl Snapshot {
    /// The probes that are blind, and why.
    pub fn blind(&self) -> impl Iterator<Item = (ProbeId, &Blindness)> {
        ProbeId::ALL.into_iter().filter_map(|probe| Some((probe, self.blindness_of(probe)?)))
    }

    /// Why a probe is blind, if it is.
    #[must_use]
    pub fn blindness_of(&self, probe: ProbeId) -> Option<&Blindness> {
        match probe {
            ProbeId::Listeners => self.listeners.blindness(),
            ProbeId::Witness => self.witness.blindness(),
            ProbeId::Interfaces => self.interfaces.blindness(),
            ProbeId::Owner => self.owner.blindness(),
            ProbeId::Gateway => self.gateway.blindness(),
            ProbeId::Routes => self.routes.blindness(),
            ProbeId::Reach => self.reach.blindness(),
            ProbeId::Panel => self.panel.blindness(),
            ProbeId::Access => self.access.blindness(),
            ProbeId::Handshake => self.handshake.blindness(),
            ProbeId::Peers => self.peers.blindness(),
            ProbeId::Tunnels => self.tunnels.blindness(),
            ProbeId::Redirects => self.redirects.blindness(),
            ProbeId::Containers => self.containers.blindness(),
            ProbeId::Router => self.router.blindness(),
            ProbeId::Announcements => self.announcements.blindness(),
        }
    }
}
