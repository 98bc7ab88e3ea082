//! The facts joined: which listener is a gateway's, which carries somebody else's, which is none.

mod beyond;
mod casting;
mod door;
mod elsewhere;
mod gateway;
mod kept_away;
mod silence;
mod vague;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub use beyond::Beyond;
pub use door::{Door, Part};
pub use elsewhere::guests;
pub use gateway::{AccessSummary, Gateway};

use crate::address::Scope;
use crate::blindness::Blindness;
use crate::fact::{
    Announcement, Engine, Flow, GatewayProcess, Guest, InterfaceAddress, Listener, Peer, Process,
    ReachAnswer, Redirects, Role, Route, Router, Tunnel,
};
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::way;

/// What a connection comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A gateway, or a door that carries one.
    Gateway,
    /// What may be one.
    Perhaps,
    /// None.
    Nothing,
}

/// A snapshot seen with the eyes of a policy. Made once a judgement; every rule reads it.
///
/// Whatever it hands out comes in an order of its own, so that a judgement does not depend on the
/// order in which facts came.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The owner's wishes.
    pub policy: &'a Policy,
    /// The facts as they came.
    pub snapshot: &'a Snapshot,
    /// Every listening socket with the part it plays.
    pub doors: Vec<Door<'a>>,
    /// The gateways of this host.
    pub gateways: Vec<Gateway>,
    processes: BTreeMap<u32, &'a Process>,
    /// Gateway processes by their ids.
    marked: BTreeMap<u32, &'a GatewayProcess>,
    /// Places in `doors` by port.
    by_port: BTreeMap<u16, Vec<usize>>,
    /// Places in `doors` by process.
    by_pid: BTreeMap<u32, Vec<usize>>,
    /// Ports by which one comes to a gateway: its own, those the policy names, and those of the
    /// doors that carry it.
    leading: BTreeSet<u16>,
    /// Ports of proxies of which it is not wholly known where they lead.
    vague: BTreeSet<u16>,
}

impl<'a> Scene<'a> {
    /// Joins the facts.
    #[must_use]
    pub fn new(policy: &'a Policy, snapshot: &'a Snapshot) -> Self {
        let processes: BTreeMap<u32, &Process> =
            snapshot.owner.known().into_iter().flatten().map(|process| (process.pid, process)).collect();
        let marked: BTreeMap<u32, &GatewayProcess> =
            snapshot.gateway.known().into_iter().flatten().map(|gateway| (gateway.pid, gateway)).collect();
        let mut doors = door::doors(policy, snapshot);
        let cast = casting::cast(policy, snapshot, &processes, &doors);
        let (mut by_port, mut by_pid) = (BTreeMap::new(), BTreeMap::new());
        for (place, (door, part)) in doors.iter_mut().zip(cast.parts).enumerate() {
            let pids = door.listener.owner.pids();
            door.holder = pids.iter().find(|pid| marked.contains_key(pid)).or(pids.first()).copied();
            door.part = part;
            by_port.entry(door.listener.bound.port()).or_insert_with(Vec::new).push(place);
            for pid in pids {
                by_pid.entry(*pid).or_insert_with(Vec::new).push(place);
            }
        }
        let gateways = gateway::gateways(&doors, &marked, &processes);
        Self {
            policy,
            snapshot,
            doors,
            gateways,
            processes,
            marked,
            by_port,
            by_pid,
            leading: cast.ports,
            vague: cast.vague,
        }
    }

    /// A process by its id, if the owner probe described it.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&'a Process> {
        self.processes.get(&pid).copied()
    }

    /// A process for a sentence: `nginx (pid 812, user www-data)`.
    #[must_use]
    pub fn name_of(&self, pid: u32) -> String {
        match self.process(pid) {
            None => format!("pid {pid}"),
            Some(process) => match &process.user {
                Some(user) => format!("{} (pid {pid}, user {user})", process.label()),
                None => format!("{} (pid {pid})", process.label()),
            },
        }
    }

    /// Who holds a door, for a sentence.
    #[must_use]
    pub fn holder_of(&self, door: &Door<'_>) -> String {
        match (door.holder, door.listener.owner.pids().len()) {
            (None, _) => match door.listener.uid {
                Some(uid) => format!("a process of user {uid} that cannot be named"),
                None => "a process that cannot be named".to_owned(),
            },
            (Some(pid), 0 | 1) => self.name_of(pid),
            (Some(pid), count) => format!("{} and {} more", self.name_of(pid), count - 1),
        }
    }

    /// The gateway processes, by their marks.
    pub fn gateway_processes(&self) -> impl Iterator<Item = &'a GatewayProcess> {
        self.marked.values().copied()
    }

    /// A gateway process by its id.
    #[must_use]
    pub fn gateway_process(&self, pid: u32) -> Option<&'a GatewayProcess> {
        self.marked.get(&pid).copied()
    }

    /// The addresses of this host.
    #[must_use]
    pub fn own_addresses(&self) -> Vec<&'a InterfaceAddress> {
        in_order(self.snapshot.interfaces.known())
    }

    /// The connections to gateways.
    #[must_use]
    pub fn peers(&self) -> Vec<&'a Peer> {
        in_order(self.snapshot.peers.known())
    }

    /// The connection attempts to gateway ports.
    #[must_use]
    pub fn reach(&self) -> Vec<&'a ReachAnswer> {
        in_order(self.snapshot.reach.known())
    }

    /// What tunnels and VPN daemons publish.
    #[must_use]
    pub fn tunnels(&self) -> Vec<&'a Tunnel> {
        in_order(self.snapshot.tunnels.known())
    }

    /// What tunnels publish is seen now, and not only remembered.
    #[must_use]
    pub fn sees_tunnels(&self) -> bool {
        self.snapshot.tunnels.seen().is_some()
    }

    /// What the packet filter does to arriving connections.
    #[must_use]
    pub fn redirects(&self) -> Option<&'a Redirects> {
        self.snapshot.redirects.known()
    }

    /// The container engines of this host.
    #[must_use]
    pub fn engines(&self) -> Vec<&'a Engine> {
        in_order(self.snapshot.containers.known())
    }

    /// The routers that carry ports to this host.
    #[must_use]
    pub fn routers(&self) -> Vec<&'a Router> {
        in_order(self.snapshot.router.known())
    }

    /// What this host announces of gateways.
    #[must_use]
    pub fn announcements(&self) -> Vec<&'a Announcement> {
        in_order(self.snapshot.announcements.known())
    }

    /// What a connection to this port of this host comes to.
    #[must_use]
    pub fn behind(&self, port: u16) -> Behind {
        if self.leading.contains(&port) {
            return Behind::Gateway;
        }
        let doubtful = self.on_port(port).any(|door| {
            matches!(door.part, Part::PerhapsGateway(_))
                || (matches!(door.part, Part::Doubtful(_)) && door.shows_a_panel())
        });
        if doubtful || self.vague.contains(&port) { Behind::Perhaps } else { Behind::Nothing }
    }

    /// The ports between two, both included, by which one comes to a gateway, or may.
    #[must_use]
    pub fn leading_within(&self, (first, last): (u16, u16)) -> Vec<(u16, Behind)> {
        if first > last {
            return Vec::new();
        }
        let held = self.by_port.range(first..=last).map(|(port, _)| port);
        let ports: BTreeSet<u16> = self.leading.range(first..=last).chain(held).copied().collect();
        ports
            .into_iter()
            .map(|port| (port, self.behind(port)))
            .filter(|(_, behind)| *behind != Behind::Nothing)
            .collect()
    }

    /// Some socket of this host is a gateway's, carries one, or may be one.
    #[must_use]
    pub fn may_have_a_gateway(&self) -> bool {
        self.doors.iter().any(|door| !matches!(door.part, Part::Unrelated | Part::Odd(_)))
            || !self.marked.is_empty()
    }

    /// Every socket on a port.
    pub fn on_port(&self, port: u16) -> impl Iterator<Item = &Door<'a>> {
        self.by_port.get(&port).into_iter().flatten().filter_map(|place| self.doors.get(*place))
    }

    /// Where a socket bound to this address would be open beyond the allowed networks.
    #[must_use]
    pub fn beyond_at(&self, bound: SocketAddr) -> Beyond {
        beyond::of_bound(self.policy, self.snapshot, bound)
    }

    /// The ports on which gateways take connections here, and those the policy names.
    #[must_use]
    pub fn gateway_ports(&self) -> BTreeSet<u16> {
        let mut ports: BTreeSet<u16> = self.policy.ports.iter().copied().collect();
        ports.extend(
            self.doors.iter().filter(|door| door.part.is_gateways()).map(|door| door.listener.bound.port()),
        );
        ports
    }

    /// Sockets of others through which one comes to a gateway.
    pub fn carriers(&self) -> impl Iterator<Item = &Door<'a>> {
        self.doors.iter().filter(|door| matches!(door.part, Part::Carries(_)))
    }

    /// Instructions that end at a gateway's port, or at a door that carries a gateway.
    pub fn routes_to_gateways(&self) -> impl Iterator<Item = &'a Route> {
        let routes = in_order(self.snapshot.routes.known().map(|told| &told.routes));
        routes.into_iter().filter(|route| self.leading.contains(&route.to_port))
    }

    /// Why the processes of other users, tunnels among them, cannot be seen, if they cannot.
    #[must_use]
    pub fn hidden_processes(&self) -> Option<&'a Blindness> {
        self.snapshot.routes.known().and_then(|told| told.hidden.as_ref())
    }

    /// Instructions that end at a guest of this host.
    pub fn routes_to_guests(&self) -> impl Iterator<Item = &'a (Route, Guest)> {
        in_order(self.snapshot.routes.known().map(|told| &told.to_guests)).into_iter()
    }

    /// Instructions that end at a door which looks like a gateway's panel, and may be one.
    pub fn routes_to_look_alikes(&self) -> impl Iterator<Item = &'a Route> {
        let doubtful = |door: &&Door<'a>| matches!(door.part, Part::Doubtful(_)) && door.shows_a_panel();
        let ports: BTreeSet<u16> =
            self.doors.iter().filter(doubtful).map(|door| door.listener.bound.port()).collect();
        let routes = in_order(self.snapshot.routes.known().map(|told| &told.routes));
        routes.into_iter().filter(move |route| ports.contains(&route.to_port))
    }

    /// Instructions that end at a proxy of which it is not wholly known where it leads.
    pub fn routes_to_vague_proxies(&self) -> impl Iterator<Item = &'a Route> {
        let routes = in_order(self.snapshot.routes.known().map(|told| &told.routes));
        routes.into_iter().filter(|route| self.vague.contains(&route.to_port))
    }

    /// The sockets that take a connection to an address: of several those bound most exactly to it.
    #[must_use]
    pub fn doors_at(&self, address: SocketAddr) -> Vec<&Door<'a>> {
        let places = self.by_port.get(&address.port()).map_or(&[][..], Vec::as_slice);
        let covering = || {
            places
                .iter()
                .filter_map(|place| self.doors.get(*place))
                .filter_map(|door| Some((exactness(&door.listener, address)?, door)))
        };
        let most = covering().map(|(exactness, _)| exactness).max();
        covering().filter(|(exactness, _)| Some(*exactness) == most).map(|(_, door)| door).collect()
    }

    /// The sockets that a process holds.
    pub fn doors_of(&self, pid: u32) -> impl Iterator<Item = &Door<'a>> {
        let places = self.by_pid.get(&pid).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.doors.get(*place))
    }

    /// The address is one of this host's in a VPN, and on no other interface.
    #[must_use]
    pub fn is_vpn(&self, own: IpAddr) -> bool {
        let addresses = || self.snapshot.interfaces.known().into_iter().flatten();
        let scopes = || addresses().filter(|it| it.address == own).map(InterfaceAddress::scope);
        scopes().any(|scope| scope == Scope::Vpn) && scopes().all(|scope| scope == Scope::Vpn)
    }

    /// Whether what is sent to an address of a gateway's arrives on this host, as far as is known.
    #[must_use]
    pub fn arrives_at(&self, gateway: SocketAddr) -> Option<bool> {
        if self.own_addresses().iter().any(|own| own.is_at(gateway)) {
            return Some(true);
        }
        match beyond::presence(self.snapshot, gateway) {
            beyond::Presence::Absent => Some(false),
            beyond::Presence::Perhaps => Some(true),
            beyond::Presence::Unknown => None,
        }
    }

    /// The policy lets this other host connect to a program of this host.
    #[must_use]
    pub fn admits(&self, flow: &Flow) -> bool {
        self.comes_by_vpn(flow.local.ip(), flow.remote.ip()) || self.policy.names(flow.remote.ip())
    }

    /// A connection between these came by a VPN. Linux takes any of its addresses on any card: a neighbour on the wire
    /// comes to the VPN's address too, if he sends there. So whoever is in a card's network rather than in a VPN's came
    /// by that card.
    #[must_use]
    pub fn comes_by_vpn(&self, own: IpAddr, remote: IpAddr) -> bool {
        let addresses = || self.snapshot.interfaces.known().into_iter().flatten();
        let nearest = |vpn: bool| {
            let networks = addresses().filter(|it| (it.scope() == Scope::Vpn) == vpn);
            let has = |it: &InterfaceAddress| {
                it.network_has(remote).or_else(|| it.members_have(remote).filter(|_| vpn))
            };
            networks.filter_map(has).max()
        };
        self.is_vpn(own) && nearest(false) <= nearest(true)
    }

    /// The owner has allowed this way of publishing.
    #[must_use]
    pub fn allows_path(&self, path: &str) -> bool {
        self.policy.paths.iter().any(|allowed| allowed.path == path)
    }

    /// The owner has allowed the way of publishing that this process is: by its program's name, or
    /// as a container engine.
    #[must_use]
    pub fn allows_process(&self, pid: u32) -> bool {
        self.process(pid).is_some_and(|process| {
            self.allows_path(process.program())
                || (process.role == Role::ContainerEngine && self.allows_path(way::CONTAINER))
        })
    }

    /// Some gateway of this host answers as one.
    #[must_use]
    pub fn a_gateway_answers(&self) -> bool {
        self.doors.iter().any(|door| door.part == Part::Gateway && door.speaks_gateway())
    }

    /// How far a gateway would be open that binds to every address.
    #[must_use]
    pub fn beyond_on_every_address(&self) -> Beyond {
        beyond::of_every_address(self.policy, self.snapshot)
    }
}

fn in_order<T: Ord>(facts: Option<&Vec<T>>) -> Vec<&T> {
    let mut facts: Vec<&T> = facts.into_iter().flatten().collect();
    facts.sort_unstable();
    facts
}

/// How exactly a socket is bound to an address, `None` if it does not take connections there.
fn exactness(listener: &Listener, address: SocketAddr) -> Option<u8> {
    if !listener.covers(address.ip()) {
        return None;
    }
    match (listener.bound, address) {
        (SocketAddr::V6(bound), SocketAddr::V6(address))
            if bound.scope_id() != 0 && address.scope_id() != 0 && bound.scope_id() != address.scope_id() =>
        {
            None
        }
        _ if !listener.is_wildcard() => Some(2),
        _ if listener.bound.is_ipv4() == address.is_ipv4() => Some(1),
        // An IPv6 socket takes the IPv4 that no IPv4 socket takes.
        _ => Some(0),
    }
}

/// The ports on which gateways take connections here, and those the policy names.
#[must_use]
pub fn gateway_ports(policy: &Policy, snapshot: &Snapshot) -> BTreeSet<u16> {
    Scene::new(policy, snapshot).gateway_ports()
}

/// The ports by which one may come to a gateway: those on which gateways take connections here, those the policy names,
/// and those of whoever carries one.
#[must_use]
pub fn ports_to_gateways(policy: &Policy, snapshot: &Snapshot) -> BTreeSet<u16> {
    let scene = Scene::new(policy, snapshot);
    let carried = scene.carriers().map(|door| door.listener.bound.port());
    scene.gateway_ports().into_iter().chain(carried).collect()
}
