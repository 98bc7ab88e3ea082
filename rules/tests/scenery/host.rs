//! A host as the probes would report it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{
    AccessAnswer, Announcement, Attribution, Engine, HandshakeAnswer, Instructions, InterfaceAddress,
    Listener, Origin, PanelAnswer, Peer, ReachAnswer, Reached, Redirects, Router, Witness,
};
use guardian_rules::observation::Observation;
use guardian_rules::policy::{AllowedNetwork, AllowedPath, Policy};
use guardian_rules::scene::gateway_ports;
use guardian_rules::snapshot::Snapshot;
use guardian_rules::verdict::judge;

use super::{Conclusion, Manner, Program, at, ip};

/// A host, its programs and the owner's wishes.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) policy: Policy,
    interfaces: Vec<InterfaceAddress>,
    programs: Vec<Program>,
    strangers: Vec<Peer>,
    reach: Vec<ReachAnswer>,
    redirects: Redirects,
    engines: Vec<Engine>,
    routers: Vec<Router>,
    announcements: Vec<Announcement>,
    changes: Vec<fn(&mut Snapshot)>,
}

/// A laptop: loopback, a Wi-Fi with a private address, a VPN.
pub(crate) fn host() -> Host {
    bare_host().interface("wlan0", "192.168.1.5").interface("tailscale0", "100.100.1.2")
}

/// Loopback and nothing else.
pub(crate) fn bare_host() -> Host {
    let host = Host {
        policy: Policy::default(),
        interfaces: Vec::new(),
        programs: Vec::new(),
        strangers: Vec::new(),
        reach: Vec::new(),
        redirects: Redirects { rules: Ok(Vec::new()), reaches_loopback: Some(false), open_cards: Vec::new() },
        engines: Vec::new(),
        routers: Vec::new(),
        announcements: Vec::new(),
        changes: Vec::new(),
    };
    host.interface("lo", "127.0.0.1").interface("lo", "::1")
}

impl Host {
    pub(crate) fn interface(mut self, interface: &str, address: &str) -> Self {
        let index = match self.interfaces.iter().find(|known| known.interface == interface) {
            Some(known) => known.index,
            None => self
                .interfaces
                .iter()
                .filter_map(|known| known.index)
                .max()
                .map_or(Some(1), |last| Some(last + 1)),
        };
        let address = ip(address);
        let prefix = if address.is_ipv4() { 24 } else { 64 };
        self.interfaces.push(InterfaceAddress {
            interface: interface.to_owned(),
            index,
            address,
            prefix,
            tunnel: false,
        });
        self
    }

    pub(crate) fn runs(mut self, program: Program) -> Self {
        self.programs.push(program);
        self
    }

    /// Somebody on another host is connected to a gateway.
    pub(crate) fn visited_by(mut self, stranger: Peer) -> Self {
        self.strangers.push(stranger);
        self
    }

    /// A connection attempt ends otherwise than the sockets suggest.
    pub(crate) fn reaching(mut self, address: &str, reached: Reached) -> Self {
        self.reach.push(ReachAnswer { at: at(address), reached });
        self
    }

    /// The packet filter sends connections elsewhere.
    pub(crate) fn redirecting(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// A container engine runs.
    pub(crate) fn with_engine(mut self, engine: Engine) -> Self {
        self.engines.push(engine);
        self
    }

    /// A router of the local network answers.
    pub(crate) fn behind(mut self, router: Router) -> Self {
        self.routers.push(router);
        self
    }

    /// A gateway announces itself, or may.
    pub(crate) fn announcing(mut self, announcement: Announcement) -> Self {
        self.announcements.push(announcement);
        self
    }

    /// The owner allows a network.
    pub(crate) fn allowing_network(mut self, network: &str) -> Self {
        self.policy.networks.push(AllowedNetwork {
            network: network.parse().expect("a network"),
            reason: "kiosk in the hall".to_owned(),
        });
        self
    }

    /// The owner allows a path.
    pub(crate) fn allowing_path(mut self, path: &str) -> Self {
        self.policy.paths.push(AllowedPath { path: path.to_owned(), reason: "demonstration".to_owned() });
        self
    }

    /// So many suspicious requests move the verdict.
    pub(crate) fn suspecting(mut self, suspicious: u32) -> Self {
        self.policy.suspicious = suspicious;
        self
    }

    /// What the probes bring back is changed before it is judged.
    pub(crate) fn but(mut self, change: fn(&mut Snapshot)) -> Self {
        self.changes.push(change);
        self
    }

    pub(crate) fn judged(&self) -> Conclusion {
        Conclusion(judge(&self.policy, &self.snapshot()))
    }

    /// What the probes would bring back.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = snapshot_of(&self.policy, &self.interfaces, &self.programs, &self.strangers);
        if let Observation::Seen(answers) = &mut snapshot.reach {
            for special in &self.reach {
                answers.retain(|answer| answer.at != special.at);
                answers.push(special.clone());
            }
        }
        snapshot.redirects = Observation::Seen(self.redirects.clone());
        snapshot.containers = Observation::Seen(self.engines.clone());
        snapshot.router = Observation::Seen(self.routers.clone());
        snapshot.announcements = Observation::Seen(self.announcements.clone());
        for change in &self.changes {
            change(&mut snapshot);
        }
        snapshot
    }
}

/// The observations of a host on which these programs run, all seen and whole.
pub(crate) fn snapshot_of(
    policy: &Policy,
    interfaces: &[InterfaceAddress],
    programs: &[Program],
    strangers: &[Peer],
) -> Snapshot {
    let mut listeners = Vec::new();
    let (mut panel, mut access, mut handshake) = (Vec::new(), Vec::new(), Vec::new());
    let mut peers = strangers.to_vec();
    for program in programs {
        for (listener, manner) in &program.sockets {
            let mut listener = listener.clone();
            if let Some(why) = &program.unnamed {
                listener.owner = Attribution::Unnamed(why.clone());
            }
            let Manner { transport, reply, access: who, handshake: welcome } = manner.clone();
            let (at, bound) = (asked_at(&listener), listener.bound);
            panel.extend(reply.map(|reply| PanelAnswer { at, bound, reply }));
            access.extend(who.map(|access| AccessAnswer { at, bound, transport, access }));
            handshake.extend(welcome.map(|(challenge, access)| HandshakeAnswer {
                at,
                bound,
                transport,
                challenge,
                access,
            }));
            listeners.push(listener);
        }
        peers.extend(program.connected_to.iter().zip(40_000..).map(|(gateway, port)| Peer {
            gateway: at(gateway),
            remote: SocketAddr::new(at(gateway).ip(), port),
            origin: Origin::Here { owner: owner_of(program), flows: program.flows.clone() },
        }));
    }
    let mut snapshot = Snapshot {
        listeners: Observation::Seen(listeners.clone()),
        witness: Observation::Seen(Witness::default()),
        interfaces: Observation::Seen(interfaces.to_vec()),
        owner: Observation::Seen(
            programs.iter().filter(|it| !it.undescribed).map(|it| it.process.clone()).collect(),
        ),
        gateway: Observation::Seen(programs.iter().filter_map(|it| it.marks.clone()).collect()),
        routes: Observation::Seen(Instructions {
            routes: programs.iter().flat_map(|it| it.routes.clone()).collect(),
            to_guests: programs.iter().flat_map(|it| it.to_guests.clone()).collect(),
            hidden: None,
            vague: programs.iter().filter(|it| it.vague).map(|it| (it.process.pid, None)).collect(),
            accounted: programs.iter().filter(|it| !it.strays).flat_map(accounted).collect(),
            outspoken: programs.iter().filter(|it| it.outspoken).map(|it| it.process.pid).collect(),
        }),
        reach: Observation::Seen(Vec::new()),
        panel: Observation::Seen(panel),
        access: Observation::Seen(access),
        handshake: Observation::Seen(handshake),
        peers: Observation::Seen(peers),
        tunnels: Observation::Seen(programs.iter().filter_map(|it| it.tunnel.clone()).collect()),
        redirects: Observation::Seen(Redirects {
            rules: Ok(Vec::new()),
            reaches_loopback: Some(false),
            open_cards: Vec::new(),
        }),
        containers: Observation::Seen(Vec::new()),
        router: Observation::Seen(Vec::new()),
        announcements: Observation::Seen(Vec::new()),
        stopped: None,
        suspicions: Vec::new(),
        exposures: Vec::new(),
        seal: None,
    };
    let reach = gateway_ports(policy, &snapshot)
        .into_iter()
        .flat_map(|port| interfaces.iter().map(move |own| SocketAddr::new(own.address, port)))
        .map(|at| ReachAnswer { at, reached: reached(&listeners, at) })
        .collect();
    snapshot.reach = Observation::Seen(reach);
    snapshot
}

fn owner_of(program: &Program) -> Attribution {
    match &program.unnamed {
        Some(why) => Attribution::Unnamed(why.clone()),
        None => Attribution::Named(vec![program.process.pid]),
    }
}

/// Where a socket is asked: a wildcard on loopback.
fn asked_at(listener: &Listener) -> SocketAddr {
    let loopback: IpAddr = match listener.bound {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if listener.is_wildcard() { SocketAddr::new(loopback, listener.bound.port()) } else { listener.bound }
}

/// Connections from this host come in by loopback: a socket that is tied to another interface does
/// not see them.
fn reached(listeners: &[Listener], at: SocketAddr) -> Reached {
    let taken = listeners.iter().any(|listener| {
        listener.device.as_ref().is_none_or(|device| device == "lo")
            && listener.bound.port() == at.port()
            && listener.covers(at.ip())
    });
    if taken { Reached::Accepted } else { Reached::Refused }
}

/// An observation that failed, with nothing seen before.
pub(crate) fn unseen<T>(why: Blindness) -> Observation<T> {
    Observation::from(Err(why))
}

/// The ports at which a program is told to take connections.
fn accounted(program: &Program) -> impl Iterator<Item = (u32, u16)> {
    let listens = program.routes.iter().flat_map(|route| route.listens.clone());
    listens.map(|listens| (program.process.pid, listens.port()))
}
