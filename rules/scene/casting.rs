//! Gives every door its part.
//!
//! A gateway is told by what it answers and by its process's marks, never by a name alone. What
//! is neither a gateway's nor answers as one is told by its likeness to a gateway, by what it is
//! instructed to carry, and by who holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::door::{Door, Part};
use super::silence::silence;
use super::vague;
use crate::fact::{Access, Attribution, Origin, Process, Reply, Role, Route};
use crate::policy::Policy;
use crate::snapshot::Snapshot;

const LOOKS_LIKE_A_PANEL: &str = "its page looks like a gateway's panel";

/// The parts of the doors, in their order, and the ports by which one comes to a gateway.
pub(super) struct Cast {
    pub(super) parts: Vec<Part>,
    pub(super) ports: BTreeSet<u16>,
    /// Ports of proxies of which it is not wholly known where they lead.
    pub(super) vague: BTreeSet<u16>,
}

/// Gives every door its part.
pub(super) fn cast<'a>(
    policy: &Policy,
    snapshot: &'a Snapshot,
    processes: &BTreeMap<u32, &'a Process>,
    doors: &[Door<'a>],
) -> Cast {
    Casting::new(policy, snapshot, processes, doors).cast()
}

/// A socket that takes connections, and refuses one from here: a packet filter stands before it, as Guardian's own
/// does before whoever it does not admit. Whose it is, is not seen either.
fn refuses_and_hides(door: &Door<'_>) -> Option<String> {
    let Attribution::Unnamed(why) = &door.listener.owner else { return None };
    let refusing = door.panel.iter().find(|answer| answer.reply == Reply::Refused)?;
    Some(format!("{} refuses whoever asks from here, and its process cannot be named ({why})", refusing.at))
}

/// What is looked up for many doors.
struct Casting<'c, 'a> {
    policy: &'c Policy,
    snapshot: &'a Snapshot,
    processes: &'c BTreeMap<u32, &'a Process>,
    doors: &'c [Door<'a>],
    /// Processes with the marks of a gateway.
    marked: BTreeSet<u32>,
    /// Processes with a socket that speaks as a gateway, with its port.
    speaking: BTreeSet<(u32, u16)>,
    /// Ports on which a marked process speaks as a gateway.
    sure_ports: BTreeSet<u16>,
    /// Addresses that several programs share (`SO_REUSEPORT`).
    shared: BTreeSet<SocketAddr>,
    /// Processes of this host that are connected to a gateway.
    connected: BTreeSet<u32>,
    /// Instructions by the port they listen on.
    routes: BTreeMap<u16, BTreeSet<&'a Route>>,
}

impl<'c, 'a> Casting<'c, 'a> {
    fn new(
        policy: &'c Policy,
        snapshot: &'a Snapshot,
        processes: &'c BTreeMap<u32, &'a Process>,
        doors: &'c [Door<'a>],
    ) -> Self {
        let marked: BTreeSet<u32> =
            snapshot.gateway.known().into_iter().flatten().map(|gateway| gateway.pid).collect();
        let mut casting = Self {
            policy,
            snapshot,
            processes,
            doors,
            marked,
            speaking: BTreeSet::new(),
            sure_ports: BTreeSet::new(),
            shared: BTreeSet::new(),
            connected: connected(snapshot),
            routes: BTreeMap::new(),
        };
        let mut first_at: BTreeMap<SocketAddr, &[u32]> = BTreeMap::new();
        for door in doors {
            let (bound, port) = (door.listener.bound, door.listener.bound.port());
            let first = *first_at.entry(bound).or_insert(pids(door));
            if first != pids(door) && !first.iter().any(|pid| pids(door).contains(pid)) {
                casting.shared.insert(bound);
            }
            if door.speaks_gateway() {
                casting.speaking.extend(pids(door).iter().map(|pid| (*pid, port)));
                if casting.is_marked(door) {
                    casting.sure_ports.insert(port);
                }
            }
        }
        for route in snapshot.routes.known().into_iter().flat_map(|told| &told.routes) {
            for listens in &route.listens {
                casting.routes.entry(listens.port()).or_default().insert(route);
            }
        }
        casting
    }

    fn cast(&self) -> Cast {
        let told: Vec<Option<Part>> =
            self.doors.iter().map(|door| self.by_process_and_answer(door)).collect();
        let gateways: Vec<&Door<'a>> = self
            .doors
            .iter()
            .zip(&told)
            .filter(|(_, part)| matches!(part, Some(Part::Gateway)))
            .map(|(door, _)| door)
            .collect();
        let likeness = Likeness::of(&gateways);
        let expected: BTreeSet<u16> =
            gateways.iter().map(|door| port(door)).chain(self.policy.ports.iter().copied()).collect();
        let mut parts: Vec<Part> = self
            .doors
            .iter()
            .zip(told)
            .map(|(door, part)| part.unwrap_or_else(|| self.by_likeness(door, &likeness, &expected)))
            .collect();
        let ports = self.follow_routes(&mut parts, expected);
        self.believe_outspoken(&mut parts);
        let vague = vague::doubt(self.snapshot, self.processes, self.doors, &mut parts, &ports);
        Cast { parts, ports, vague }
    }

    /// The part as far as the process and a gateway's own answer settle it.
    fn by_process_and_answer(&self, door: &Door<'a>) -> Option<Part> {
        if self.is_marked(door) {
            return Some(self.of_marked_process(door));
        }
        if !door.speaks_gateway() {
            return None;
        }
        let named = !pids(door).is_empty();
        if named && self.roles(door).all(|role| role.relays() || role == Role::Session) {
            return Some(Part::Carries("a gateway's own answer comes from here".to_owned()));
        }
        // A socket that cannot be named may be another of the sure gateway's own.
        let sure_elsewhere = self.sure_ports.iter().any(|sure| named || *sure != port(door))
            && (named || !door.beyond.is_none());
        // Whose answers these are cannot be told where two programs share the address.
        let shared = named && self.shared.contains(&door.listener.bound);
        Some(if sure_elsewhere && !shared {
            Part::Carries(
                "a gateway's own answer comes from here, and its process bears no mark of one".to_owned(),
            )
        } else {
            Part::Gateway
        })
    }

    fn of_marked_process(&self, door: &Door<'a>) -> Part {
        // Two sockets of one process on one port are two faces of one gateway.
        let speaks_on =
            |ports: RangeInclusive<u16>| pids(door).iter().any(|pid| self.speaks(*pid, ports.clone()));
        if door.speaks_gateway() || speaks_on(port(door)..=port(door)) {
            return Part::Gateway;
        }
        let speaks_elsewhere = speaks_on(0..=u16::MAX);
        if speaks_elsewhere || door.side_door().is_some() {
            let matters = !speaks_elsewhere || self.policy.ports.contains(&port(door));
            let leaves_open = matters && silence(self.snapshot, door, false).is_some();
            return if leaves_open { Part::Gateway } else { Part::BesideGateway };
        }
        // A helper of the product that serves something else (a sign-in callback) answers, and
        // not as a gateway. One that does not answer may be a gateway that hangs, or one behind a packet
        // filter that lets nobody ask it from here: Guardian's own does while the circuit is open.
        let all_otherwise = door.access.iter().all(|answer| answer.access == Access::NoGateway)
            && door.handshake.iter().all(|answer| answer.access == Access::NoGateway);
        let replies = || door.panel.iter().map(|answer| &answer.reply);
        let another_protocol = replies().all(|reply| *reply == Reply::OtherProtocol);
        let pages_tell = replies().all(|reply| matches!(reply, Reply::Http(_) | Reply::OtherProtocol));
        let answers_otherwise = !door.panel.is_empty()
            && pages_tell
            && all_otherwise
            && (!door.access.is_empty() || another_protocol)
            && !door.shows_a_panel();
        if answers_otherwise { Part::Unrelated } else { Part::Gateway }
    }

    /// The part of a door that did not answer as a gateway and is not a gateway's.
    fn by_likeness(&self, door: &Door<'a>, likeness: &Likeness, expected: &BTreeSet<u16>) -> Part {
        if let Some(page) = door.pages().find(|page| likeness.has(page)) {
            let product =
                page.structure.or(page.title).map_or_else(String::new, |product| format!("{product} "));
            return Part::Carries(format!(
                "the page here is the very {product}panel that the gateway serves"
            ));
        }
        let relays = self.roles(door).find(|role| role.relays());
        let Some(silence) = silence(self.snapshot, door, likeness.is_mute) else {
            if likeness.is_unseen && door.shows_a_panel() {
                let alone = "the gateway's own could not be had to compare";
                return Part::Doubtful(format!("{LOOKS_LIKE_A_PANEL}, and {alone}"));
            }
            if let (true, None, Some(why)) = (expected.contains(&port(door)), relays, refuses_and_hides(door))
            {
                return Part::PerhapsGateway(why);
            }
            return self.behind_a_password(door, relays);
        };
        if expected.contains(&port(door)) && relays.is_none() {
            return Part::PerhapsGateway(silence);
        }
        let why_a_door = match &door.listener.owner {
            Attribution::Unnamed(why) => Some(format!("its process cannot be named ({why})")),
            Attribution::Named(pids) => {
                let vanished = || pids.iter().find(|pid| !self.processes.contains_key(pid));
                if let Some(role) = relays.filter(|_| !self.publishes_what_is_known(door)) {
                    Some(format!("its program is {}", role.as_a()))
                } else if self.is_connected(door) {
                    Some("its process is connected to a gateway".to_owned())
                } else if let Some(pid) = vanished() {
                    Some(format!("its process, pid {pid}, could not be described"))
                } else if door.shows_a_panel() {
                    Some(LOOKS_LIKE_A_PANEL.to_owned())
                } else {
                    None
                }
            }
        };
        match why_a_door {
            Some(why) => Part::Doubtful(format!("{silence}, and {why}")),
            None => Part::Odd(silence),
        }
    }

    /// A program that asks for a password of its own does not tell what is behind it.
    fn behind_a_password(&self, door: &Door<'a>, relays: Option<Role>) -> Part {
        if !door.access.iter().any(|answer| answer.access == Access::Fronted) {
            return Part::Unrelated;
        }
        let asks = "it asks for credentials of its own";
        if self.is_connected(door) {
            return Part::Doubtful(format!("{asks}, and its process is connected to a gateway"));
        }
        let on_every_page = door.pages().any(|page| matches!(page.status, 401 | 403 | 407));
        let may_carry = relays.is_some() || pids(door).is_empty();
        if on_every_page && may_carry {
            Part::Odd(format!("{asks} before it shows anything"))
        } else {
            Part::Unrelated
        }
    }

    /// Doors that are told to carry a gateway, or to carry a door that does; and all ports by
    /// which one comes to a gateway.
    fn follow_routes(&self, parts: &mut [Part], expected: BTreeSet<u16>) -> BTreeSet<u16> {
        let mut ports = expected;
        // A program that is no gateway, and says so, holds a port that only the policy names.
        let (anothers, leading): (Vec<_>, Vec<_>) =
            self.doors.iter().zip(&*parts).partition(|(_, part)| **part == Part::Unrelated);
        let leading: BTreeMap<u16, bool> =
            leading.into_iter().fold(BTreeMap::new(), |mut ports, (door, part)| {
                *ports.entry(port(door)).or_default() |= matches!(part, Part::Carries(_));
                ports
            });
        for (door, _) in anothers {
            if !leading.contains_key(&port(door)) {
                ports.remove(&port(door));
            }
        }
        ports.extend(leading.into_iter().filter(|(_, carries)| *carries).map(|(port, _)| port));
        for (door, part) in self.doors.iter().zip(&mut *parts) {
            if let Some(route) = self.route_to_guest(door).filter(|_| !part.is_gateways()) {
                *part = Part::Carries(format!(
                    "{} is told to carry a gateway that is a guest of this host: {}",
                    route.program, route.text
                ));
                ports.insert(port(door));
            }
        }
        loop {
            let before = ports.len();
            for (door, part) in self.doors.iter().zip(&mut *parts) {
                // What may be a gateway stays so, unless it is worse what it is told to carry.
                let stays = match part {
                    Part::PerhapsGateway(_) => door.beyond.is_none(),
                    _ => part.is_gateways() || matches!(part, Part::Carries(_)),
                };
                if stays {
                    continue;
                }
                if let Some(route) = self.route(door, &ports) {
                    *part = Part::Carries(format!("{} is told to carry it: {}", route.program, route.text));
                    ports.insert(port(door));
                }
            }
            if ports.len() == before {
                return ports;
            }
        }
    }

    /// A proxy that tells nobody what is behind it, but says itself all that it runs by: it leads to what
    /// its routes lead to. One that is connected to a gateway, or looks like one, is not believed.
    fn believe_outspoken(&self, parts: &mut [Part]) {
        let Some(told) = self.snapshot.routes.seen() else { return };
        // What is there may be a gateway's, or lead to one: only an answer shows that it does not.
        let answers = |door: &Door<'_>| {
            let tells = |reply: &Reply| matches!(reply, Reply::Http(_) | Reply::OtherProtocol);
            !door.panel.is_empty() && door.panel.iter().all(|answer| tells(&answer.reply))
        };
        let doubtful: BTreeSet<u16> = self
            .doors
            .iter()
            .zip(&*parts)
            .filter(|(door, part)| **part != Part::Unrelated || !answers(door))
            .map(|(door, _)| port(door))
            .collect();
        for (door, part) in self.doors.iter().zip(parts) {
            let outspoken =
                !pids(door).is_empty() && pids(door).iter().all(|pid| told.outspoken.contains(pid));
            let leads_to_doubt = told
                .routes
                .iter()
                .any(|route| pids(door).contains(&route.pid) && doubtful.contains(&route.to_port));
            if matches!(part, Part::Doubtful(_))
                && outspoken
                && !leads_to_doubt
                && !self.is_connected(door)
                && !door.shows_a_panel()
            {
                *part = Part::Unrelated;
            }
        }
    }

    /// Root's own container engine says what is behind a port that it publishes, and that is no gateway by what it
    /// answers, nor by its name. A user's engine is that user's, and may say anything.
    fn publishes_what_is_known(&self, door: &Door<'a>) -> bool {
        let is_roots_engine = |pid: &u32| {
            let process = self.processes.get(pid);
            process.is_some_and(|it| it.role == Role::ContainerEngine && it.uid == Some(0))
        };
        if pids(door).is_empty() || !pids(door).iter().all(is_roots_engine) {
            return false;
        }
        let engines = self.snapshot.containers.seen().into_iter().flatten().filter(|engine| engine.is_roots);
        let ports = engines.filter_map(|engine| engine.ports.as_ref().ok()).flatten();
        let mut here = ports.filter(|port| door.listener.as_bound().contains(&port.on)).peekable();
        here.peek().is_some() && here.all(|port| !port.is_named_like_a_gateway && !port.access.is_gateway())
    }

    fn speaks(&self, pid: u32, ports: RangeInclusive<u16>) -> bool {
        self.speaking.range((pid, *ports.start())..=(pid, *ports.end())).next().is_some()
    }

    fn route(&self, door: &Door<'a>, ports: &BTreeSet<u16>) -> Option<&'a Route> {
        let mut routes = self.routes.get(&door.listener.bound.port())?.iter().copied();
        routes.find(|route| ports.contains(&route.to_port) && is_at(route, door))
    }

    /// What leads from here to a guest of this host that is a gateway.
    fn route_to_guest(&self, door: &Door<'a>) -> Option<&'a Route> {
        let told = self.snapshot.routes.known()?;
        let mut gateways =
            told.to_guests.iter().filter(|(_, guest)| guest.is_gateway()).map(|(route, _)| route);
        gateways.find(|route| is_at(route, door))
    }

    fn is_marked(&self, door: &Door<'a>) -> bool {
        pids(door).iter().any(|pid| self.marked.contains(pid))
    }

    fn is_connected(&self, door: &Door<'a>) -> bool {
        pids(door).iter().any(|pid| self.connected.contains(pid))
    }

    fn roles(&self, door: &Door<'a>) -> impl Iterator<Item = Role> {
        pids(door).iter().map(|pid| self.processes.get(pid).map_or(Role::Unknown, |process| process.role))
    }
}

/// The pages that the gateways themselves serve.
struct Likeness {
    digests: BTreeSet<[u8; 32]>,
    builds: BTreeSet<String>,
    /// Some gateway's own page could not be had, at one of its addresses at least.
    is_unseen: bool,
    /// There are gateways, and none of them answers.
    is_mute: bool,
}

impl Likeness {
    fn of(gateways: &[&Door<'_>]) -> Self {
        let pages = || gateways.iter().flat_map(|gateway| gateway.pages());
        Self {
            digests: pages().filter_map(|page| page.digest).collect(),
            builds: pages().filter_map(|page| page.build.clone()).collect(),
            is_unseen: gateways.iter().any(|gateway| {
                let lost = |reply: &Reply| matches!(reply, Reply::Silent | Reply::Unknown(_));
                gateway.pages().next().is_none() || gateway.panel.iter().any(|answer| lost(&answer.reply))
            }),
            is_mute: !gateways.is_empty() && !gateways.iter().any(|gateway| gateway.speaks_gateway()),
        }
    }

    fn has(&self, page: &crate::fact::Page) -> bool {
        page.digest.is_some_and(|digest| self.digests.contains(&digest))
            || page.build.as_ref().is_some_and(|build| self.builds.contains(build))
    }
}

/// Whether an instruction takes connections at a door.
fn is_at(route: &Route, door: &Door<'_>) -> bool {
    let bound = door.listener.bound;
    route.listens.iter().any(|listens| {
        listens.port() == bound.port()
            && (listens.ip() == bound.ip()
                || listens.ip().is_unspecified()
                || door.listener.covers(listens.ip()))
    })
}

fn connected(snapshot: &Snapshot) -> BTreeSet<u32> {
    let peers = snapshot.peers.known().into_iter().flatten();
    peers
        .flat_map(|peer| match &peer.origin {
            Origin::Here { owner, .. } => owner.pids(),
            Origin::Elsewhere => &[],
        })
        .copied()
        .collect()
}

fn pids<'d>(door: &'d Door<'_>) -> &'d [u32] {
    door.listener.owner.pids()
}

fn port(door: &Door<'_>) -> u16 {
    door.listener.bound.port()
}
