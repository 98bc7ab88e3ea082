//! What proxies and tunnels run by, as their files say, and whether those are what they run by still.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::age::Age;
use super::argument::{self, Instruction};
use super::target::Target;
use super::{caddy, frp, haproxy, nginx, platform, rathole, ssh, torrc, v2ray};
use crate::file::{Links, View};
use crate::owner::role::Relay;
use crate::owner::table::Entry;

/// A configuration file in bytes.
const MAX_FILE: u64 = 1024 * 1024;

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
    pub(super) file: PathBuf,
    pub(crate) told: Understood,
    /// Where connections are taken that may lead to what is not among the instructions; none if anywhere.
    pub(super) astray: Option<BTreeSet<u16>>,
    /// Where connections are taken that may lead to a host and a port that are not known; none if anywhere.
    pub(super) vague: Option<BTreeSet<u16>>,
    /// It was changed after the process took it up, which may run by something else.
    pub(crate) is_outdated: bool,
    /// It is not whole, for a reason that speaks of no tunnel.
    pub(crate) is_seldom: bool,
}

impl Configured {
    /// The ports at which all that is taken is carried to ports of this host that are among the instructions.
    pub(super) fn accounted(&self, own: &BTreeSet<IpAddr>) -> BTreeSet<u16> {
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
pub(super) struct Workers(BTreeMap<u32, Vec<u64>>);

impl Workers {
    pub(super) fn of(entries: &[Entry], programs: &BTreeMap<u32, String>) -> Self {
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
    pub(super) fn since(&self, entry: &Entry, program: &str) -> u64 {
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
pub(super) fn working_folder(pid: u32) -> Option<PathBuf> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    let kind = ProcessRefreshKind::nothing().without_tasks().with_cwd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid)?.cwd().map(Path::to_owned)
}
