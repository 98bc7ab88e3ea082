//! What proxies, forwarders and tunnels on this host are told to carry.
//!
//! An idle `ssh -R` or tunnel holds no listening socket and has no connection to a gateway: only
//! its arguments give it away. So every process is looked at by its name, and those that may relay
//! by their arguments and configuration. What cannot be read is not known here, and the rest is
//! told: every listener is judged by its own answers besides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Guest, Instructions, InterfaceAddress, Role, Route, RouteSource};
use guardian_rules::snapshot::{ProbeId, Snapshot};
use ipnet::IpNet;

use crate::guests::{self, Guests};
use crate::owner::role::{Shown, may_relay, relay};
use crate::owner::table::{Entry, Table, hidden};
use crate::probe::{Ground, Probe, blocking};
use crate::routes::argument::{Instruction, instructions};
use crate::routes::target::Target;

mod age;
pub mod argument;
pub mod caddy;
mod configured;
pub mod frp;
mod glob;
pub mod haproxy;
mod modules;
pub mod nginx;
pub mod rathole;
pub mod reverse;
pub mod ssh;
pub mod target;
pub mod torrc;
pub mod v2ray;

pub(crate) use age::Age;
pub use configured::Understood;
use configured::Workers;
pub(crate) use configured::{Configured, configured};

/// Processes that may relay; more is blind.
pub(crate) const MAX_RELAYS: usize = 4096;

/// Routes in all; more is blind.
const MAX_ROUTES: usize = 16 * 1024;

/// Processes that are asked what they run by; of others only their files are known.
const MAX_ASKED: usize = 8;

/// Characters kept of an instruction.
const MAX_TEXT: usize = 160;

/// Reads the instructions of proxies, forwarders and tunnels.
#[derive(Debug, Default)]
pub struct Routes {
    table: Table,
}

impl Probe for Routes {
    type Facts = Instructions;
    const ID: ProbeId = ProbeId::Routes;
    const CADENCE: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let own = own_addresses(&ground.known);
        let met = relays_met(&ground.known);
        let mut table = std::mem::take(&mut self.table);
        let (table, seen, own) = blocking(move || {
            let seen = look(&mut table, &met, &own)?;
            Ok((table, seen, own))
        })
        .await?;
        self.table = table;
        let mut told = Instructions {
            routes: seen.routes,
            accounted: seen.accounted,
            hidden: hidden(),
            vague: seen.vague,
            ..Instructions::default()
        };
        let mut away = seen.away;
        let asked = seen.may_be_asked.into_iter().map(|pid| {
            let listeners = &ground.known.listeners;
            async move { (pid, caddy::running::ask(pid, listeners).await) }
        });
        for (pid, running) in join_all(asked).await {
            if let Some(running) = running {
                take_in(&mut told, &mut away, pid, running, &own, &ground.known);
            }
        }
        if told.routes.len() > MAX_ROUTES || away.len() > MAX_ROUTES {
            return Err(too_many());
        }
        told.to_guests = to_guests(away, &ground.known).await;
        Ok(told)
    }
}

/// Those that lead to guests of this host, with what answers there.
async fn to_guests(away: Vec<(Route, SocketAddr)>, known: &Snapshot) -> Vec<(Route, Guest)> {
    if away.is_empty() {
        return Vec::new();
    }
    let own = known.interfaces.known().cloned().unwrap_or_default();
    let guests = blocking(move || Ok(Guests::of_this_host(&own))).await.unwrap_or_default();
    let places = away.iter().map(|(_, at)| *at).collect();
    let answers = guests::answers(places, &guests).await;
    let guest = |at: SocketAddr| Some(Guest { at, access: answers.get(&at)?.clone() });
    away.into_iter().filter_map(|(route, at)| Some((route, guest(at)?))).collect()
}

/// Takes in what a process says itself that it runs by.
fn take_in(
    told: &mut Instructions,
    away: &mut Vec<(Route, SocketAddr)>,
    pid: u32,
    running: Understood,
    own: &BTreeSet<IpAddr>,
    known: &Snapshot,
) {
    if running.whole {
        told.vague.remove(&(pid, None));
    }
    if running.whole && !running.instructions.iter().any(|it| leads_on(&it.target, known)) {
        told.outspoken.insert(pid);
    }
    for instruction in running.instructions {
        sort_in(&mut told.routes, away, own, pid, "caddy", instruction, RouteSource::Itself);
    }
}

/// An instruction that leads to this host, or to an address that may be a guest's.
fn sort_in(
    here: &mut Vec<Route>,
    away: &mut Vec<(Route, SocketAddr)>,
    own: &BTreeSet<IpAddr>,
    pid: u32,
    program: &str,
    told: Instruction,
    source: RouteSource,
) {
    if told.target.is_here(own) {
        here.push(route(pid, program, told, source));
    } else if let Some(at) = told.target.address() {
        away.push((route(pid, program, told, source), at));
    }
}

/// Whether a target may be a guest of this host, which may be a gateway or lead back to one: something with
/// an address in one of the networks that this host is in. Where those are not known, anything is.
fn leads_on(target: &Target, known: &Snapshot) -> bool {
    let Some(own) = known.interfaces.seen() else { return true };
    let Ok(address) = target.host.parse::<IpAddr>() else { return false };
    let address = address.to_canonical();
    let is_own = address.is_loopback() || own.iter().any(|it| it.address.to_canonical() == address);
    let around = |it: &InterfaceAddress| {
        IpNet::new(it.address.to_canonical(), it.prefix).is_ok_and(|net| net.contains(&address))
    };
    !is_own && own.iter().any(around)
}

pub(crate) fn own_addresses(known: &Snapshot) -> BTreeSet<IpAddr> {
    let addresses = known.interfaces.known().into_iter().flatten();
    addresses.map(|own| own.address.to_canonical()).collect()
}

/// Relays that the owner probe has named: their short names need not tell.
pub(crate) fn relays_met(known: &Snapshot) -> BTreeSet<u32> {
    let processes = known.owner.known().into_iter().flatten();
    processes.filter(|process| process.role.relays()).map(|process| process.pid).collect()
}

/// What the system and its files show.
#[derive(Debug, Default)]
struct Seen {
    routes: Vec<Route>,
    /// Those that lead to other addresses, which may be guests of this host.
    away: Vec<(Route, SocketAddr)>,
    /// Processes that may say themselves what they run by.
    may_be_asked: Vec<u32>,
    /// Proxies, and ports, that may be told what is not known.
    vague: BTreeSet<(u32, Option<u16>)>,
    /// Processes and ports whose instructions are all among the routes.
    accounted: BTreeSet<(u32, u16)>,
}

fn too_many() -> Blindness {
    Blindness::new(Cause::TooMuch, format!("more than {MAX_ROUTES} instructions to carry connections"))
}

fn look(table: &mut Table, met: &BTreeSet<u32>, own: &BTreeSet<IpAddr>) -> Result<Seen, Blindness> {
    let mut pids = table.find(may_relay)?;
    pids.extend(met);
    if pids.len() > MAX_RELAYS {
        let many = format!("more than {MAX_RELAYS} processes may relay");
        return Err(Blindness::new(Cause::TooMuch, many));
    }
    let entries = table.read(&pids, &BTreeSet::new())?;
    let programs: BTreeMap<u32, String> =
        entries.iter().filter_map(|entry| Some((entry.process.pid, relay(&shown(entry))?.name))).collect();
    let workers = Workers::of(&entries, &programs);
    let Seen { mut routes, mut away, mut may_be_asked, mut vague, mut accounted } = Seen::default();
    for entry in &entries {
        let Some(relay) = relay(&shown(entry)) else { continue };
        let process = &entry.process;
        // Workers have the instructions of the process that started them.
        let parent = process.parent.and_then(|parent| programs.get(&parent));
        if parent.is_some_and(|parent| *parent == relay.name) || platform::in_another_network(process.pid) {
            continue;
        }
        if relay.name.starts_with("caddy") && may_be_asked.len() < MAX_ASKED {
            may_be_asked.push(process.pid);
        }
        let told = instructions(&relay.name, relay.arguments);
        let of_arguments = told.into_iter().map(|told| (told, RouteSource::Arguments));
        let configured = configured(entry, &relay, workers.since(entry, &relay.name));
        if relay.role == Role::Proxy {
            let ports = vague_ports(process.pid, &relay.name, configured.as_ref());
            vague.extend(ports.into_iter().map(|port| (process.pid, port)));
        }
        let ports = configured.as_ref().map(|found| found.accounted(own)).unwrap_or_default();
        accounted.extend(ports.into_iter().map(|port| (process.pid, port)));
        let of_file = configured.into_iter().flat_map(|found| {
            found.told.instructions.into_iter().map(move |told| (told, RouteSource::File(found.file.clone())))
        });
        for (told, source) in of_arguments.chain(of_file) {
            sort_in(&mut routes, &mut away, own, process.pid, &relay.name, told, source);
        }
        if routes.len() > MAX_ROUTES || away.len() > MAX_ROUTES {
            return Err(too_many());
        }
    }
    Ok(Seen { routes, away, may_be_asked, vague, accounted })
}

/// The ports at which a proxy may carry to where nobody knows; none in place of a port for any.
fn vague_ports(pid: u32, program: &str, configured: Option<&Configured>) -> BTreeSet<Option<u16>> {
    if platform::maps(pid).and_then(|maps| modules::relays(program, &maps)) == Some(false) {
        return BTreeSet::new();
    }
    match configured.filter(|it| !it.is_outdated) {
        Some(Configured { vague: Some(ports), .. }) => ports.iter().copied().map(Some).collect(),
        _ => BTreeSet::from([None]),
    }
}

pub(crate) fn shown(entry: &Entry) -> Shown<'_> {
    let process = &entry.process;
    Shown { name: &process.name, exe: process.exe.as_deref(), argv: &entry.argv, listens: false }
}

fn route(pid: u32, program: &str, told: Instruction, source: RouteSource) -> Route {
    let text = match told.text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", told.text.get(..end).unwrap_or_default()),
        None => told.text,
    };
    Route { pid, program: program.to_owned(), listens: told.listens, to_port: told.target.port, source, text }
}

#[cfg(target_os = "linux")]
pub(crate) mod platform {
    use crate::gateway::procfs;

    pub(crate) fn in_another_network(pid: u32) -> bool {
        procfs::same_network(pid) == Some(false)
    }

    /// In a container, a path names another file, and without permission it would be sought here.
    pub(super) fn has_hidden_files(pid: u32) -> bool {
        procfs::is_contained(pid) && std::fs::read_link(format!("/proc/{pid}/root")).is_err()
    }

    /// What a process has loaded; root and its own user are told.
    pub(super) fn maps(pid: u32) -> Option<String> {
        procfs::read(pid, "maps").map(|maps| String::from_utf8_lossy(&maps).into_owned())
    }

    /// In a container, a user may have another name and another home.
    pub(super) fn has_files_of_its_own(pid: u32) -> bool {
        procfs::is_contained(pid)
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) mod platform {
    pub(crate) fn in_another_network(_: u32) -> bool {
        false
    }

    pub(super) fn has_hidden_files(_: u32) -> bool {
        false
    }

    pub(super) fn has_files_of_its_own(_: u32) -> bool {
        false
    }

    pub(super) fn maps(_: u32) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests;
