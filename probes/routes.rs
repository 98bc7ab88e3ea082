//! What proxies, forwarders and tunnels on this host are told to carry.
//!
//! An idle `ssh -R` or tunnel holds no listening socket and has no connection to a gateway: only
//! its arguments give it away. So every process is looked at by its name, and those that may relay
//! by their arguments and configuration. What cannot be read is not known here, and the rest is
//! told: every listener is judged by its own answers besides.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Guest, Instructions, InterfaceAddress, Role, Route, RouteSource};
use guardian_rules::snapshot::{ProbeId, Snapshot};
use ipnet::IpNet;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use crate::file::{Links, View};
use crate::guests::{self, Guests};
use crate::owner::role::{Relay, Shown, may_relay, relay};
use crate::owner::table::{Entry, Table, hidden};
use crate::probe::{Ground, Probe, blocking};
use crate::routes::argument::{Instruction, instructions};
use crate::routes::target::Target;

mod age;
pub mod argument;
pub mod caddy;
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

/// Processes that may relay; more is blind.
pub(crate) const MAX_RELAYS: usize = 4096;

/// Routes in all; more is blind.
const MAX_ROUTES: usize = 16 * 1024;

/// Processes that are asked what they run by; of others only their files are known.
const MAX_ASKED: usize = 8;

/// Characters kept of an instruction.
const MAX_TEXT: usize = 160;

/// A configuration file in bytes.
const MAX_FILE: u64 = 1024 * 1024;

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

/// What a configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Understood {
    /// The instructions in it.
    pub instructions: Vec<Instruction>,
    /// There are no others: nothing was left out, and it names no other file.
    pub whole: bool,
}

impl Understood {
    /// A line that carries to an address; one that is no address leaves something out.
    pub(crate) fn carry(&mut self, keyword: &str, address: &str) {
        match Target::parse(address) {
            Some(target) => {
                let text = format!("{keyword}{}:{}", target.host, target.port);
                self.instructions.push(Instruction { listens: Vec::new(), target, text });
            }
            None => self.whole = false,
        }
    }
}

/// What a program's configuration says, and the file in which it begins.
#[derive(Debug)]
pub(crate) struct Configured {
    file: PathBuf,
    pub(crate) told: Understood,
    /// Where connections are taken that may lead to what is not among the instructions; none if anywhere.
    astray: Option<BTreeSet<u16>>,
    /// Where connections are taken that may lead to a host and a port that are not known; none if anywhere.
    vague: Option<BTreeSet<u16>>,
    /// It was changed after the process took it up, which may run by something else.
    pub(crate) is_outdated: bool,
    /// It is not whole, for a reason that speaks of no tunnel.
    pub(crate) is_seldom: bool,
}

impl Configured {
    /// The ports at which all that is taken is carried to ports of this host that are among the instructions.
    fn accounted(&self, own: &BTreeSet<IpAddr>) -> BTreeSet<u16> {
        let Some(astray) = self.astray.as_ref().filter(|_| !self.is_outdated) else { return BTreeSet::new() };
        let ports = |it: &Instruction| it.listens.iter().map(SocketAddr::port).collect::<Vec<_>>();
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            self.told.instructions.iter().partition(|it| it.target.is_here(own));
        let elsewhere: BTreeSet<u16> = elsewhere.into_iter().flat_map(ports).collect();
        let here = here.into_iter().flat_map(ports);
        here.filter(|port| !astray.contains(port) && !elsewhere.contains(port)).collect()
    }
}

/// Where a program's configuration is, and who understands it.
struct Format {
    /// Options that name it.
    options: &'static [&'static str],
    /// Otherwise the first argument that is no option names it.
    positional: bool,
    /// Otherwise it is the first of these that there is.
    usual: &'static [&'static str],
    interpret: fn(&str) -> Understood,
}

impl Format {
    fn of(program: &str) -> Option<Self> {
        // Caddy says itself what it runs by; without that, what this leaves out is not known.
        fn caddy(text: &str) -> Understood {
            Understood { instructions: caddy::interpret(text), whole: false }
        }
        let format = |options, positional, usual, interpret| Self { options, positional, usual, interpret };
        Some(match program {
            "caddy" => format(&["--config", "-c"], false, &caddy::USUAL, caddy),
            "haproxy" => format(&["-f"], false, &haproxy::USUAL, haproxy::interpret),
            "frpc" => format(&["--config", "-c"], false, &frp::USUAL, frp::interpret),
            "rathole" => format(&["--client", "-c"], true, &[], rathole::interpret),
            "tor" => format(&["-f"], false, &torrc::USUAL, torrc::interpret),
            "v2ray" | "xray" => format(&V2RAY, false, &v2ray::USUAL, v2ray::interpret),
            _ => return None,
        })
    }

    /// The file, as the program would name it.
    fn file(&self, arguments: &[String], exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let told = argument::values(arguments, self.options).next();
        let first = || arguments.iter().map(String::as_str).find(|argument| !argument.starts_with('-'));
        let named = told.or_else(|| self.positional.then(first).flatten()).map(PathBuf::from);
        named.or_else(|| self.usual.iter().map(PathBuf::from).find(|usual| exists(usual)))
    }
}

/// Options that name a configuration of `V2Ray`'s or Xray's.
const V2RAY: [&str; 3] = ["-config", "--config", "-c"];

/// What a proxy's or tunnel's configuration says; none if there is none that could be read. `since`: when the process took
/// it up, in seconds since the epoch.
pub(crate) fn configured(entry: &Entry, relay: &Relay<'_>, since: u64) -> Option<Configured> {
    let pid = entry.process.pid;
    if platform::has_hidden_files(pid) {
        tracing::info!(pid, program = relay.name, "lives in a container that cannot be looked into");
        return None;
    }
    let view = View::of(pid).ok()?;
    let mut age = Age::default();
    let mut configured = if nginx::PROGRAMS.contains(&relay.name.as_str()) {
        let (file, nginx::Told { instructions, astray, vague }) =
            nginx::instructions(&view, &entry.argv, &mut age)?;
        let told = Understood { instructions, whole: false };
        Configured { file, told, astray, vague, is_outdated: false, is_seldom: false }
    } else if ssh::READERS.contains(&relay.name.as_str()) {
        ssh::configured(entry, relay, &view, &mut age)?
    } else {
        in_one_file(pid, relay, &view, &mut age)?
    };
    configured.is_outdated |= age.is_after(since);
    if entry.is_cut {
        // Another file, and anything else, may be named by the arguments that are missing.
        (configured.told.whole, configured.astray, configured.vague) = (false, None, None);
        configured.is_seldom = false;
    }
    Some(configured)
}

/// What the one file of a program says.
fn in_one_file(pid: u32, relay: &Relay<'_>, view: &View, age: &mut Age) -> Option<Configured> {
    let format = Format::of(&relay.name)?;
    let folder = LazyCell::new(|| working_folder(pid));
    let absolute = |file: &Path| match &*folder {
        Some(folder) if file.is_relative() => folder.join(file),
        _ => file.to_owned(),
    };
    let file = absolute(&format.file(relay.arguments, |usual| view.stamp(&absolute(usual)).is_some())?);
    let content = view
        .read(&file, MAX_FILE, Links::Follow)
        .inspect_err(|why| tracing::info!(path = %file.display(), %why, "not read"))
        .ok()?;
    age.note(&content.stamp);
    let mut told = (format.interpret)(&String::from_utf8_lossy(&content.bytes));
    // One file is read, and there may be others.
    told.whole &= argument::values(relay.arguments, format.options).count() < 2
        && !relay.arguments.iter().any(|it| it.trim_start_matches('-').starts_with("confdir"));
    // What these readers leave out is not known.
    let vague = told.whole.then(BTreeSet::new);
    Some(Configured { file, told, astray: None, vague, is_outdated: false, is_seldom: false })
}

/// Since when processes run by their files. Some take them up anew with new workers.
struct Workers(BTreeMap<u32, Vec<u64>>);

impl Workers {
    fn of(entries: &[Entry], programs: &BTreeMap<u32, String>) -> Self {
        let mut workers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for entry in entries {
            let Some(program) = programs.get(&entry.process.pid) else { continue };
            let Some(parent) = entry.process.parent.filter(|parent| programs.get(parent) == Some(program))
            else {
                continue;
            };
            // One of nginx's that is on its way out runs by what was there before.
            if !entry.argv.first().is_some_and(|title| title.ends_with("is shutting down")) {
                workers.entry(parent).or_default().push(entry.since);
            }
        }
        Self(workers)
    }

    /// nginx replaces one worker that has died without a look at its files: so the oldest counts. haproxy's older ones
    /// finish what they have begun, and show nothing of it: so the youngest counts.
    fn since(&self, entry: &Entry, program: &str) -> u64 {
        let workers = self.0.get(&entry.process.pid).map(Vec::as_slice).unwrap_or_default().iter().copied();
        let since = match program {
            program if nginx::PROGRAMS.contains(&program) => workers.min(),
            "haproxy" => workers.max(),
            _ => None,
        };
        since.unwrap_or(entry.since)
    }
}

/// The folder in which a process works; the system tells its own user and root.
fn working_folder(pid: u32) -> Option<PathBuf> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    let kind = ProcessRefreshKind::nothing().without_tasks().with_cwd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid)?.cwd().map(Path::to_owned)
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
