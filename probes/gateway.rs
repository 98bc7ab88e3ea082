//! Which processes are gateways, and what their files say.
//!
//! What a process shows is a hint; the sockets and their answers decide. Here the hints are
//! gathered: marks ([`marks`]), configuration ([`config`]) and the permissions of files
//! (`private`). Secrets are looked for, never kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{ConfigFile, ConfigState, GatewayProcess, Manager, Process, Role, Service};
use guardian_rules::snapshot::{ProbeId, Snapshot};
use nix::unistd::{Uid, User};

use crate::file::{Links, View};
use crate::gateway::configs::{Configs, Origin};
use crate::gateway::devices::Devices;
use crate::gateway::environment::Environment;
use crate::gateway::lock::{Lock, Writer, locks};
use crate::gateway::marks::{Judged, Marks, gateways};
use crate::gateway::place::{Known, Places};
use crate::gateway::secrets::Reached;
use crate::owner::role::{Shown, is_runtime, may_wrap, product_of_service, script, title};
use crate::owner::table::{Entry, Table};
use crate::probe::{Ground, Probe, blocking};

pub mod at_rest;
pub mod config;
mod configs;
pub mod devices;
pub mod environment;
pub mod lock;
pub mod marks;
pub mod place;
mod private;
pub mod procfs;
pub mod secrets;

/// Processes with marks; more is blind.
const MAX_CANDIDATES: usize = 128;

/// So many programs may be between a supervisor and its gateway: `sh`, `npm`, `sh` again.
const MAX_WRAPPERS: usize = 8;

/// Names looked at in a home.
const MAX_SIBLINGS: usize = 4096;

/// Finds gateways by their marks and reads their configuration.
#[derive(Debug, Default)]
pub struct Gateway {
    table: Table,
    configs: Configs,
    homes: HashMap<u32, Option<PathBuf>>,
    reached: Reached,
    devices: Devices,
    /// Only then is it asked who is paired.
    was_exposed: bool,
}

impl Probe for Gateway {
    type Facts = Vec<GatewayProcess>;
    const ID: ProbeId = ProbeId::Gateway;
    const CADENCE: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let listening = listening_ports(&ground.known)?;
        let mut probe = std::mem::take(self);
        probe.was_exposed = !ground.known.exposures.is_empty();
        let (probe, found) = blocking(move || {
            let found = probe.look(&listening)?;
            Ok((probe, found))
        })
        .await?;
        *self = probe;
        Ok(found)
    }
}

/// Reads a gateway's configuration while no gateway runs by it: variables of its environment are
/// not known.
#[must_use]
pub fn configuration(path: &Path) -> ConfigState {
    match View::own() {
        Ok(view) => configs::read_alone(&view, path),
        Err(failed) => ConfigState::Unreadable(Blindness::denied(failed.to_string())),
    }
}

/// The ports that each process listens on.
fn listening_ports(known: &Snapshot) -> Result<BTreeMap<u32, BTreeSet<u16>>, Blindness> {
    let mut ports: BTreeMap<u32, BTreeSet<u16>> =
        crate::owner::listening(known)?.into_iter().map(|pid| (pid, BTreeSet::new())).collect();
    for listener in known.listeners.known().into_iter().flatten() {
        for pid in listener.owner.pids() {
            ports.entry(*pid).or_default().insert(listener.bound.port());
        }
    }
    Ok(ports)
}

/// Names of processes, and their parents.
type Family = BTreeMap<u32, (String, Option<u32>)>;

/// All that is known of one process.
struct Candidate {
    marks: Marks,
    process: Process,
    view: View,
    environment: Result<Environment, Blindness>,
    lock: Option<Lock>,
    places: Places,
    service: Option<Service>,
    network: Option<&'static str>,
}

impl Gateway {
    fn look(&mut self, listening: &BTreeMap<u32, BTreeSet<u16>>) -> Result<Vec<GatewayProcess>, Blindness> {
        let holders: BTreeSet<u32> = listening.keys().copied().collect();
        let starting = self.named_by_own_locks();
        let pids = holders.union(&starting).copied().collect();
        let entries = self.table.read(&pids, &holders)?;
        let family: Family = entries
            .iter()
            .map(|entry| (entry.process.pid, (entry.process.name.clone(), entry.process.parent)))
            .collect();
        let mut candidates = Vec::new();
        let mut marks = Vec::new();
        for entry in entries {
            let ports = listening.get(&entry.process.pid).cloned().unwrap_or_default();
            let (pid, above) = (entry.process.pid, entry.process.parent);
            // Every process counts as an ancestor, whether it shows anything or not.
            let unmarked = Marks { pid, parent: above, ..Marks::default() };
            let candidate = self.candidate(entry, ports, &family);
            marks.push(candidate.as_ref().map_or(unmarked, |candidate| candidate.marks.clone()));
            candidates.extend(candidate);
            if candidates.len() > MAX_CANDIDATES {
                let many = format!("more than {MAX_CANDIDATES} processes bear marks of a gateway");
                return Err(Blindness::new(Cause::TooMuch, many));
            }
        }
        let judged = gateways(&marks);
        self.configs.forget_all_but(judged.iter().map(|judged| judged.pid));
        Ok(judged
            .into_iter()
            .filter_map(|judged| {
                let candidate = candidates.iter().find(|candidate| candidate.marks.pid == judged.pid)?;
                Some(self.gateway(candidate, judged))
            })
            .collect())
    }

    /// Gateways of this user that may not listen yet.
    fn named_by_own_locks(&mut self) -> BTreeSet<u32> {
        let uid = Uid::effective().as_raw();
        let home = self.home(uid);
        let Ok(view) = View::own() else { return BTreeSet::new() };
        let known = Known { home: home.as_deref(), ..Known::default() };
        known
            .lock_folders(uid, &siblings(&view, &known))
            .iter()
            .flat_map(|folder| locks(&view, folder, uid))
            .map(|lock| lock.payload.pid)
            .collect()
    }

    /// A process that may be a gateway or wrap one; none for all others.
    fn candidate(&mut self, entry: Entry, listens: BTreeSet<u16>, family: &Family) -> Option<Candidate> {
        let Entry { process, argv, .. } = entry;
        let pid = process.pid;
        let may_be_gateway =
            matches!(process.role, Role::Gateway | Role::Client | Role::Runtime | Role::Unknown);
        if !may_be_gateway {
            return None;
        }
        let network = match platform::same_network(pid) {
            // It holds a socket of this network all the same.
            Some(false) if !listens.is_empty() => Some("it lives in another network and listens in this one"),
            Some(false) => return None,
            None if !listens.is_empty() => Some("which network it lives in cannot be told"),
            Some(true) | None => None,
        };
        let shown = Shown {
            name: &process.name,
            exe: process.exe.as_deref(),
            argv: &argv,
            listens: !listens.is_empty(),
        };
        let view = View::of(pid).ok()?;
        let environment = Environment::read(pid);
        if environment.as_ref().is_err_and(|why| why.cause == Cause::Interrupted) {
            return None;
        }
        let readable = environment.as_ref().ok();
        let home = process.uid.and_then(|uid| self.home(uid));
        let sign = title(&shown);
        let script = script(&shown);
        let cgroup_service = platform::service(pid);
        let unit =
            cgroup_service.as_ref().and_then(|it| Some((product_of_service(&it.name)?, it.name.clone())));
        let telling = readable.and_then(Environment::telling);
        let product = sign
            .or(script)
            .map(|sign| sign.product)
            .or(telling.as_ref().map(|telling| telling.0))
            .or(unit.as_ref().map(|unit| unit.0));
        let known = Known { product, lock: None, environment: readable, home: home.as_deref() };
        let is_runtime = is_runtime(&shown);
        let marked = sign.is_some() || script.is_some() || telling.is_some() || unit.is_some();
        let lock = if marked || is_runtime { lock_of(&view, &known, &process) } else { None };
        if !marked && lock.is_none() {
            return None;
        }
        let product = product.or(lock.as_ref().and_then(|lock| lock.product));
        let known = Known { product, lock: lock.as_ref().map(|lock| &lock.payload), ..known };
        let places = known.places(&|path| view.metadata(path).is_ok());
        let mut told_ports: BTreeSet<u16> = lock.iter().filter_map(|lock| lock.payload.port).collect();
        told_ports.extend(
            readable.and_then(|environment| environment.of_product("GATEWAY_PORT")?.parse::<u16>().ok()),
        );
        if let ConfigState::Read(settings) =
            self.configs.read(&Origin::of(&process, &view, &places, readable)).state
        {
            told_ports.extend(settings.port);
        }
        let above = above(pid, family);
        let of_unit = unit.is_some() || is_supervised(&above, || platform::has_terminal(pid));
        let service =
            service(cgroup_service.filter(|_| of_unit), readable, process.uid, above.first().copied());
        let marks = Marks {
            pid,
            parent: process.parent,
            may_be_gateway,
            is_runtime,
            title: sign.map(|sign| (sign, shown_title(&shown))),
            script,
            listens,
            lock: lock.as_ref().map(|lock| (lock.product, lock.path.display().to_string())),
            environment: telling,
            disowned: readable.is_some_and(|environment| environment.is_agents() || environment.is_nodes()),
            unit,
            told_ports,
        };
        Some(Candidate { marks, process, view, environment, lock, places, service, network })
    }

    fn gateway(&mut self, candidate: &Candidate, judged: Judged) -> GatewayProcess {
        let Candidate { process, view, environment, places, .. } = candidate;
        let told = self.configs.read(&Origin::of(process, view, places, environment.as_ref().ok()));
        let (path, state) = match environment {
            // A default that the gateway may have been told to leave says nothing.
            Err(why) if !places.told => (None, ConfigState::Unreadable(why.clone())),
            _ if places.config.is_none() => (
                None,
                ConfigState::Unreadable(Blindness::malformed(format!(
                    "where process {} keeps its configuration cannot be told",
                    process.pid
                ))),
            ),
            _ => (places.config.clone(), told.state),
        };
        let private_paths = if judged.wrapper {
            Vec::new()
        } else {
            let others: Vec<PathBuf> = path.iter().cloned().chain(told.included).chain(told.log).collect();
            private::paths(view, places.state.as_deref(), &others)
        };
        let devices = match &places.state {
            _ if !self.was_exposed => Ok(Vec::new()),
            // The wrapper's child tells.
            _ if judged.wrapper => Ok(Vec::new()),
            Some(state) => self.devices.paired(view, state),
            None => Err(Blindness::malformed("where it keeps its state cannot be told")),
        };
        let mut marks = judged.marks;
        marks.extend(candidate.network.map(str::to_owned));
        let within_reach = match process.uid {
            _ if judged.wrapper => Ok(Vec::new()),
            Some(uid) => {
                let home = self.home(uid);
                self.reached.by(process, uid, home, view)
            }
            None => Err(Blindness::denied("its user cannot be told")),
        };
        GatewayProcess {
            pid: judged.pid,
            product: judged.product.or(candidate.lock.as_ref().and_then(|lock| lock.product)),
            marks,
            service: candidate.service.clone(),
            config: ConfigFile { path, state },
            private_paths,
            state: places.state.clone(),
            within_reach,
            devices,
        }
    }

    /// A user's home by the user database.
    fn home(&mut self, uid: u32) -> Option<PathBuf> {
        self.homes
            .entry(uid)
            .or_insert_with(|| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.dir))
            .clone()
    }
}

/// The title that bears the product's name, as a person would read it.
fn shown_title(shown: &Shown<'_>) -> String {
    let first = shown.argv.first().map(|first| first.trim());
    let named =
        first.filter(|first| title(&Shown { name: first, exe: None, argv: &[], listens: false }).is_some());
    named.unwrap_or(shown.name).to_owned()
}

/// The lock that this very process wrote.
fn lock_of(view: &View, known: &Known<'_>, process: &Process) -> Option<Lock> {
    let uid = process.uid?;
    let (pid, ticks) = platform::own_identity(process.pid);
    let writer = Writer { pid, ticks, started: process.started };
    known
        .lock_folders(uid, &siblings(view, known))
        .iter()
        .flat_map(|folder| locks(view, folder, uid))
        .find(|lock| writer.wrote(lock))
}

fn siblings(view: &View, known: &Known<'_>) -> Vec<std::ffi::OsString> {
    known.home().and_then(|home| view.names(&home, MAX_SIBLINGS, Links::Follow).ok()).unwrap_or_default()
}

/// The names of a process's ancestors, the parent first.
fn above(pid: u32, family: &Family) -> Vec<&str> {
    let mut above = Vec::new();
    let mut next = family.get(&pid).and_then(|(_, parent)| *parent);
    while let Some((name, parent)) = next.and_then(|pid| family.get(&pid))
        && above.len() < MAX_WRAPPERS
    {
        above.push(name.as_str());
        next = *parent;
    }
    above
}

/// Whether the service in which a process runs was made for it: a supervisor started it, or started
/// what did nothing else. A gateway that somebody typed in a terminal of a service is not that
/// service.
fn is_supervised(above: &[&str], has_terminal: impl Fn() -> bool) -> bool {
    let wrappers = above.iter().take_while(|name| may_wrap(name)).count();
    matches!(above.get(wrappers), Some(&("systemd" | "init"))) && (wrappers == 0 || !has_terminal())
}

/// The supervisor's label or unit: the unit that the kernel knows, else what the service has put
/// into the environment. Both are claims: a process chooses its environment, and anything may be
/// started within a unit.
fn service(
    of_kernel: Option<Service>,
    environment: Option<&Environment>,
    uid: Option<u32>,
    parent_name: Option<&str>,
) -> Option<Service> {
    let told = if cfg!(target_os = "macos") { "LAUNCHD_LABEL" } else { "SYSTEMD_UNIT" };
    let by_launchd = |environment: &Environment| {
        let label = environment.get("XPC_SERVICE_NAME")?;
        let job = parent_name == Some("launchd") && label != "0" && !label.starts_with("application.");
        job.then(|| label.to_owned())
    };
    of_kernel.or_else(|| {
        let environment = environment?;
        let name = environment.of_product(told).map(str::to_owned).or_else(|| by_launchd(environment))?;
        // The product installs itself as a service of its user.
        Some(Service { name, manager: uid.map_or(Manager::System, Manager::User) })
    })
}

#[cfg(target_os = "linux")]
mod platform {
    use guardian_rules::fact::Service;

    use crate::gateway::procfs;

    pub(super) fn same_network(pid: u32) -> Option<bool> {
        procfs::same_network(pid)
    }

    pub(super) fn service(pid: u32) -> Option<Service> {
        procfs::service(&procfs::read(pid, "cgroup")?)
    }

    pub(super) fn has_terminal(pid: u32) -> bool {
        procfs::read(pid, "stat").is_some_and(|stat| procfs::has_terminal(&stat))
    }

    /// The number by which a process knows itself, and its start in clock ticks.
    pub(super) fn own_identity(pid: u32) -> (u32, Option<u64>) {
        let own = procfs::read(pid, "status").and_then(|status| procfs::numbers(&status).pop());
        let ticks = procfs::read(pid, "stat").and_then(|stat| procfs::start_ticks(&stat));
        (own.unwrap_or(pid), ticks)
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use guardian_rules::fact::Service;

    #[expect(clippy::unnecessary_wraps, reason = "on Linux it may not be told")]
    pub(super) fn same_network(_: u32) -> Option<bool> {
        Some(true)
    }

    pub(super) fn service(_: u32) -> Option<Service> {
        None
    }

    pub(super) fn has_terminal(_: u32) -> bool {
        false
    }

    pub(super) fn own_identity(pid: u32) -> (u32, Option<u64>) {
        (pid, None)
    }
}

#[cfg(test)]
mod tests;
