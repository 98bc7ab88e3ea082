//! What is done to a world before it is judged again.

use std::net::SocketAddr;

use guardian_rules::fact::{
    Access, AccessAnswer, Audience, ContainerPort, Destination, Engine, HandshakeAnswer, InterfaceAddress,
    PanelAnswer, Peer, ReachAnswer, Reached, Redirect, Redirects, Reply, Role, SideDoor,
};
use guardian_rules::observation::Observation;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use proptest::sample::Index;

use super::world::World;
use crate::scenery::{
    Program, asking_for_credentials, at, gateway, ip, open_to_anyone, program, router_to, side_door,
    snapshot_of, socat, stranger, timed_out, unknown_program,
};

/// One probe's next look fails.
pub(super) fn blinded(mut snapshot: Snapshot, probe: ProbeId) -> Snapshot {
    fn blind<T>(observation: &mut Observation<T>) {
        let before = std::mem::replace(observation, Observation::never_ran());
        *observation = before.followed_by(Err(timed_out()));
    }
    match probe {
        ProbeId::Listeners => blind(&mut snapshot.listeners),
        ProbeId::Witness => blind(&mut snapshot.witness),
        ProbeId::Interfaces => blind(&mut snapshot.interfaces),
        ProbeId::Owner => blind(&mut snapshot.owner),
        ProbeId::Gateway => blind(&mut snapshot.gateway),
        ProbeId::Routes => blind(&mut snapshot.routes),
        ProbeId::Reach => blind(&mut snapshot.reach),
        ProbeId::Panel => blind(&mut snapshot.panel),
        ProbeId::Access => blind(&mut snapshot.access),
        ProbeId::Handshake => blind(&mut snapshot.handshake),
        ProbeId::Peers => blind(&mut snapshot.peers),
        ProbeId::Tunnels => blind(&mut snapshot.tunnels),
        ProbeId::Redirects => blind(&mut snapshot.redirects),
        ProbeId::Containers => blind(&mut snapshot.containers),
        ProbeId::Router => blind(&mut snapshot.router),
        ProbeId::Announcements => blind(&mut snapshot.announcements),
    }
    snapshot
}

/// One probe has never looked.
pub(super) fn removed(mut snapshot: Snapshot, probe: ProbeId) -> Snapshot {
    match probe {
        ProbeId::Listeners => snapshot.listeners = Observation::never_ran(),
        ProbeId::Witness => snapshot.witness = Observation::never_ran(),
        ProbeId::Interfaces => snapshot.interfaces = Observation::never_ran(),
        ProbeId::Owner => snapshot.owner = Observation::never_ran(),
        ProbeId::Gateway => snapshot.gateway = Observation::never_ran(),
        ProbeId::Routes => snapshot.routes = Observation::never_ran(),
        ProbeId::Reach => snapshot.reach = Observation::never_ran(),
        ProbeId::Panel => snapshot.panel = Observation::never_ran(),
        ProbeId::Access => snapshot.access = Observation::never_ran(),
        ProbeId::Handshake => snapshot.handshake = Observation::never_ran(),
        ProbeId::Peers => snapshot.peers = Observation::never_ran(),
        ProbeId::Tunnels => snapshot.tunnels = Observation::never_ran(),
        ProbeId::Redirects => snapshot.redirects = Observation::never_ran(),
        ProbeId::Containers => snapshot.containers = Observation::never_ran(),
        ProbeId::Router => snapshot.router = Observation::never_ran(),
        ProbeId::Announcements => snapshot.announcements = Observation::never_ran(),
    }
    snapshot
}

/// Adds facts to an observation without changing whether it sees; where nothing was ever seen,
/// nothing is added.
fn add<T>(observation: &mut Observation<Vec<T>>, more: impl IntoIterator<Item = T>) {
    match observation {
        Observation::Seen(facts) | Observation::Blind { last: Some(facts), .. } => facts.extend(more),
        Observation::Blind { last: None, .. } => {}
    }
}

/// Every probe has looked once and has seen nothing, if it has not seen anything else.
fn looked_once(snapshot: &mut Snapshot) {
    fn once<T: Default>(observation: &mut Observation<T>) {
        if let Observation::Blind { last, .. } = observation {
            last.get_or_insert_default();
        }
    }
    once(&mut snapshot.listeners);
    once(&mut snapshot.witness);
    once(&mut snapshot.interfaces);
    once(&mut snapshot.owner);
    once(&mut snapshot.gateway);
    once(&mut snapshot.routes);
    once(&mut snapshot.reach);
    once(&mut snapshot.panel);
    once(&mut snapshot.access);
    once(&mut snapshot.handshake);
    once(&mut snapshot.peers);
    once(&mut snapshot.tunnels);
    if let Observation::Blind { last, .. } = &mut snapshot.redirects {
        last.get_or_insert_with(|| Redirects {
            rules: Ok(Vec::new()),
            reaches_loopback: Some(false),
            open_cards: Vec::new(),
        });
    }
    once(&mut snapshot.containers);
    once(&mut snapshot.router);
    once(&mut snapshot.announcements);
}

/// One more program runs.
pub(super) fn also_running(mut snapshot: Snapshot, program: &Program) -> Snapshot {
    let alone = snapshot_of(&Policy::default(), &[], std::slice::from_ref(program), &[]);
    add(&mut snapshot.listeners, alone.listeners.known().cloned().unwrap_or_default());
    add(&mut snapshot.owner, alone.owner.known().cloned().unwrap_or_default());
    add(&mut snapshot.gateway, alone.gateway.known().cloned().unwrap_or_default());
    let told = alone.routes.known().cloned().unwrap_or_default();
    if let Observation::Seen(routes) | Observation::Blind { last: Some(routes), .. } = &mut snapshot.routes {
        routes.routes.extend(told.routes);
        routes.outspoken.extend(told.outspoken);
        routes.vague.extend(told.vague);
    }
    add(&mut snapshot.panel, alone.panel.known().cloned().unwrap_or_default());
    add(&mut snapshot.access, alone.access.known().cloned().unwrap_or_default());
    add(&mut snapshot.handshake, alone.handshake.known().cloned().unwrap_or_default());
    add(&mut snapshot.peers, alone.peers.known().cloned().unwrap_or_default());
    add(&mut snapshot.tunnels, alone.tunnels.known().cloned().unwrap_or_default());
    snapshot
}

/// A fact that exposes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exposing {
    BoundBeyond,
    UnnamedBeyond,
    Reached,
    OpenOnLoopback,
    Republished,
    Stranger,
    StrangerAtLoopback,
    ForwarderConnected,
    RenamedForwarder,
    ReverseTunnel,
    ListensOnEveryAddressSoon,
    NoAuthentication,
    SideDoorBeyond,
    TunnelPublished,
    RouterMapped,
    Redirected,
    ContainerPublished,
}

impl Exposing {
    pub(super) const ALL: [Self; 17] = [
        Self::BoundBeyond,
        Self::UnnamedBeyond,
        Self::Reached,
        Self::OpenOnLoopback,
        Self::Republished,
        Self::Stranger,
        Self::StrangerAtLoopback,
        Self::ForwarderConnected,
        Self::RenamedForwarder,
        Self::ReverseTunnel,
        Self::ListensOnEveryAddressSoon,
        Self::NoAuthentication,
        Self::SideDoorBeyond,
        Self::TunnelPublished,
        Self::RouterMapped,
        Self::Redirected,
        Self::ContainerPublished,
    ];
}

/// Adds an exposing fact, on ports and with processes that no world has; if wanted, every probe has
/// looked once before, so that the fact is known.
pub(super) fn expose(world: &World, fact: Exposing, after_a_look: bool) -> World {
    // No world has this address, and no allowance of a world names it.
    const CARD: &str = "203.0.113.200";
    let pid = 5_000_000;
    let mut policy = world.policy.clone();
    let sound = || gateway(pid).on("127.0.0.1:50001", asking_for_credentials());
    let mut snapshot = world.snapshot.clone();
    if after_a_look {
        looked_once(&mut snapshot);
    }
    let card = InterfaceAddress {
        interface: "eth9".to_owned(),
        index: Some(99),
        address: ip(CARD),
        prefix: 24,
        tunnel: false,
    };
    add(&mut snapshot.interfaces, [card]);
    let there = format!("{CARD}:50001");
    let also = |snapshot, program: Program| also_running(snapshot, &program);
    match fact {
        Exposing::BoundBeyond => {
            snapshot = also(snapshot, gateway(pid).on(&there, asking_for_credentials()));
        }
        Exposing::UnnamedBeyond => {
            snapshot = also(snapshot, gateway(pid).on(&there, asking_for_credentials()).unnamed());
        }
        Exposing::Reached => {
            snapshot = also(snapshot, gateway(pid).on("0.0.0.0:50001", asking_for_credentials()));
            add(&mut snapshot.reach, [ReachAnswer { at: at(&there), reached: Reached::Accepted }]);
        }
        Exposing::OpenOnLoopback => {
            snapshot = also(snapshot, unknown_program(pid).on("127.0.0.1:50001", open_to_anyone()));
        }
        Exposing::Republished => {
            snapshot = also(snapshot, sound());
            snapshot = also(snapshot, socat(pid + 1).on(&format!("{CARD}:50002"), asking_for_credentials()));
        }
        Exposing::Stranger => {
            add(&mut snapshot.peers, [stranger("198.51.100.77:50111", &there)]);
        }
        Exposing::StrangerAtLoopback => {
            add(&mut snapshot.peers, [stranger("198.51.100.77:50111", "127.0.0.1:50001")]);
        }
        Exposing::ForwarderConnected => {
            snapshot = also(snapshot, sound());
            snapshot = also(snapshot, socat(pid + 1).connected_to("127.0.0.1:50001"));
        }
        Exposing::RenamedForwarder => {
            let renamed = unknown_program(pid + 1)
                .connected_to("127.0.0.1:50001")
                .with_flow(crate::scenery::serves("198.51.100.77:50111", "203.0.113.200:50003"));
            snapshot = also(snapshot, renamed);
        }
        Exposing::ReverseTunnel => {
            snapshot = also(snapshot, sound());
            snapshot = also(snapshot, program("ssh", pid + 1, Role::Forwarder).told_to_carry(&[], 50001));
        }
        Exposing::ListensOnEveryAddressSoon => {
            snapshot = also(snapshot, sound().configured(|it| it.bind = Some("lan".to_owned())));
        }
        Exposing::NoAuthentication => {
            snapshot = also(snapshot, sound().configured(|it| it.auth_mode = Some("none".to_owned())));
        }
        Exposing::SideDoorBeyond => {
            snapshot = also(snapshot, unknown_program(pid).on(&there, side_door(SideDoor::BrowserControl)));
        }
        Exposing::TunnelPublished => {
            snapshot = also(snapshot, sound());
            // No allowance of a world names this path.
            let tunnel = program("frpc", pid + 1, Role::Tunnel).publishing("frpc", Audience::Internet, 50001);
            snapshot = also(snapshot, tunnel);
        }
        Exposing::RouterMapped => {
            snapshot = also(snapshot, gateway(pid).on(&there, asking_for_credentials()));
            add(&mut snapshot.router, [router_to(&there)]);
        }
        Exposing::Redirected => {
            snapshot = also(snapshot, sound());
            redirect(&mut snapshot.redirects, "127.0.0.1", 50001);
        }
        Exposing::ContainerPublished => {
            // Else it may be as the owner wishes.
            policy.paths.retain(|allowed| allowed.path != "container");
            add(&mut snapshot.containers, [publishing(&format!("{CARD}:50004"))]);
        }
    }
    World { policy, snapshot }
}

/// The packet filter sends strangers there too, where its rules were ever seen.
fn redirect(observation: &mut Observation<Redirects>, to: &str, port: u16) {
    let (Observation::Seen(redirects) | Observation::Blind { last: Some(redirects), .. }) = observation
    else {
        return;
    };
    let redirect = Redirect {
        to: Some(Destination { ip: ip(to), ports: (port, port) }),
        arriving_at: Vec::new(),
        arriving_on: Vec::new(),
        from: Vec::new(),
        guest: None,
        text: "ip nat prerouting: tcp dport 50009 dnat".to_owned(),
    };
    redirects.reaches_loopback = Some(true);
    match &mut redirects.rules {
        Ok(rules) => rules.push(redirect),
        Err(_) => redirects.rules = Ok(vec![redirect]),
    }
}

/// An engine that publishes a container with a gateway in it.
fn publishing(on: &str) -> Engine {
    let port = ContainerPort {
        container: "box".to_owned(),
        image: "image".to_owned(),
        is_named_like_a_gateway: false,
        on: at(on),
        to: None,
        access: Access::Required,
    };
    Engine {
        name: "podman".to_owned(),
        socket: "/run/podman/podman.sock".into(),
        is_roots: true,
        ports: Ok(vec![port]),
    }
}

/// The answer that could not be had.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) bound: SocketAddr,
    /// A WebSocket was welcomed where HTTP asks for credentials.
    pub(super) is_a_contradiction: bool,
}

/// The same, but one answer could not be had.
pub(super) fn one_unknown(snapshot: &Snapshot, pick: Index) -> Option<(Asked, Snapshot)> {
    fn known<T>(observation: &mut Observation<Vec<T>>) -> Option<&mut Vec<T>> {
        match observation {
            Observation::Seen(facts) => Some(facts),
            Observation::Blind { last, .. } => last.as_mut(),
        }
    }
    let mut snapshot = snapshot.clone();
    let http = snapshot.access.known().cloned().unwrap_or_default();
    let mut panel: Vec<&mut PanelAnswer> = known(&mut snapshot.panel).into_iter().flatten().collect();
    let mut access: Vec<&mut AccessAnswer> = known(&mut snapshot.access).into_iter().flatten().collect();
    let mut handshake: Vec<&mut HandshakeAnswer> =
        known(&mut snapshot.handshake).into_iter().flatten().collect();
    let count = panel.len() + access.len() + handshake.len();
    if count == 0 {
        return None;
    }
    let place = pick.index(count);
    let unknown = || Access::Unknown(timed_out());
    let asked = if let Some(answer) = panel.get_mut(place) {
        answer.reply = Reply::Unknown(timed_out());
        Asked { bound: answer.bound, is_a_contradiction: false }
    } else if let Some(answer) = access.get_mut(place - panel.len()) {
        answer.access = unknown();
        Asked { bound: answer.bound, is_a_contradiction: false }
    } else {
        let answer = &mut *handshake[place - panel.len() - access.len()];
        let asks = |access: &Access| access.is_gateway() || *access == Access::Fronted;
        let contradicts = answer.access == Access::Open
            && http.iter().any(|it| it.bound == answer.bound && it.at == answer.at && asks(&it.access));
        answer.access = unknown();
        answer.challenge = None;
        Asked { bound: answer.bound, is_a_contradiction: contradicts }
    };
    Some((asked, snapshot))
}

/// The processes of this host at the other end of a connection.
pub(super) fn pids_of(peer: &Peer) -> Vec<u32> {
    match &peer.origin {
        guardian_rules::fact::Origin::Here { owner, .. } => owner.pids().to_vec(),
        guardian_rules::fact::Origin::Elsewhere => Vec::new(),
    }
}

/// The same facts in another order.
pub(super) fn shuffled(mut snapshot: Snapshot, mut seed: u64) -> Snapshot {
    fn shuffle<T>(facts: &mut [T], seed: &mut u64) {
        for last in (1..facts.len()).rev() {
            // SplitMix64.
            *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let place = usize::try_from((mixed ^ (mixed >> 27)) % (last as u64 + 1)).unwrap_or(0);
            facts.swap(last, place);
        }
    }
    fn observed<T>(observation: &mut Observation<Vec<T>>, seed: &mut u64) {
        match observation {
            Observation::Seen(facts) => shuffle(facts, seed),
            Observation::Blind { last, .. } => shuffle(last.as_deref_mut().unwrap_or(&mut []), seed),
        }
    }
    let seed = &mut seed;
    observed(&mut snapshot.listeners, seed);
    observed(&mut snapshot.interfaces, seed);
    observed(&mut snapshot.owner, seed);
    observed(&mut snapshot.gateway, seed);
    if let Observation::Seen(told) | Observation::Blind { last: Some(told), .. } = &mut snapshot.routes {
        shuffle(&mut told.routes, seed);
    }
    observed(&mut snapshot.reach, seed);
    observed(&mut snapshot.panel, seed);
    observed(&mut snapshot.access, seed);
    observed(&mut snapshot.handshake, seed);
    observed(&mut snapshot.peers, seed);
    observed(&mut snapshot.tunnels, seed);
    observed(&mut snapshot.containers, seed);
    observed(&mut snapshot.router, seed);
    observed(&mut snapshot.announcements, seed);
    if let Observation::Seen(Redirects { rules: Ok(rules), .. })
    | Observation::Blind { last: Some(Redirects { rules: Ok(rules), .. }), .. } = &mut snapshot.redirects
    {
        shuffle(rules, seed);
    }
    if let Observation::Seen(engines) = &mut snapshot.containers {
        for engine in engines {
            shuffle(engine.ports.as_deref_mut().unwrap_or_default(), seed);
        }
    }
    if let Observation::Seen(witness) = &mut snapshot.witness {
        shuffle(&mut witness.only_first, seed);
        shuffle(&mut witness.only_second, seed);
    }
    snapshot
}
