//! The system's process table, asked for given processes only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Process, Role};
use nix::unistd::{Uid, User};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use crate::owner::argument::shortened;
use crate::owner::role::{Shown, role, stands_without_executable};

/// So many processes are looked at, parents included; more is blind.
const MAX_PROCESSES: usize = 8192;

/// A process further from its ancestor than this has none that matter.
const MAX_ANCESTORS: usize = 16;

/// Processes read at a time: a process may have megabytes of arguments.
const BATCH: usize = 64;

/// Bytes kept of a process's arguments.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// A process with what a report must not carry: its arguments as they are.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The fact.
    pub process: Process,
    /// The arguments as they are, secrets included.
    pub argv: Vec<String>,
    /// There are more arguments than are kept: what is not among them may be among the rest.
    pub is_cut: bool,
    /// Since when it may have run at the earliest, in seconds since the epoch: where somebody has set the clock, its
    /// start is one time by the old one and another by the new one.
    pub since: u64,
}

/// Whether some process of this machine runs a program of this name, as [`Process::program`] tells it; none if it
/// cannot be told.
#[must_use]
pub fn runs(program: &str) -> Option<bool> {
    let mut system = System::new().ok()?;
    let wanted = ProcessRefreshKind::nothing().with_exe(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, false, wanted);
    Some(system.processes().values().any(|process| match process.exe().and_then(Path::file_name) {
        Some(name) => name == program,
        None => process.name() == program,
    }))
}

/// Why the processes of other users are hidden from this program, if they are: procfs can be mounted so (`hidepid` of
/// proc(5)). The first process is always there, and readable for everybody unless something hides it.
pub(crate) fn hidden() -> Option<Blindness> {
    let is_hidden = cfg!(target_os = "linux") && std::fs::read("/proc/1/stat").is_err();
    is_hidden.then(|| Blindness::denied("/proc hides the processes of other users (hidepid)"))
}

/// Reads the process table.
///
/// Nothing of a process is kept between looks: a process that executes another program, or gives
/// itself another title, keeps its pid and its start time. Only user names are remembered.
#[derive(Debug, Default)]
pub struct Table {
    users: HashMap<u32, Option<String>>,
    boot: Option<u64>,
}

impl Table {
    /// The given processes and their ancestors, lowest pid first. Those that have vanished are left
    /// out. `listening` are those that hold a listening socket.
    pub fn read(&mut self, pids: &BTreeSet<u32>, listening: &BTreeSet<u32>) -> Result<Vec<Entry>, Blindness> {
        let own = own_executable();
        let mut entries: BTreeMap<u32, Entry> = BTreeMap::new();
        let mut wanted: Vec<u32> = pids.iter().copied().collect();
        for _ in 0..=MAX_ANCESTORS {
            if entries.len() + wanted.len() > MAX_PROCESSES {
                let many = format!("more than {MAX_PROCESSES} processes hold sockets");
                return Err(Blindness::new(Cause::TooMuch, many));
            }
            let mut found = Vec::new();
            for batch in wanted.chunks(BATCH) {
                self.batch(batch, listening, own.as_ref(), &mut found)?;
            }
            let parents: BTreeSet<u32> = found.iter().filter_map(|entry| entry.process.parent).collect();
            entries.extend(found.into_iter().map(|entry| (entry.process.pid, entry)));
            wanted = parents.into_iter().filter(|parent| !entries.contains_key(parent)).collect();
            if wanted.is_empty() {
                break;
            }
        }
        let mut entries: Vec<Entry> = entries.into_values().collect();
        judge_unproven(&mut entries);
        Ok(entries)
    }

    fn batch(
        &mut self,
        pids: &[u32],
        listening: &BTreeSet<u32>,
        own: Option<&FileId>,
        found: &mut Vec<Entry>,
    ) -> Result<(), Blindness> {
        let (mut system, drift) = self.system()?;
        let kind = ProcessRefreshKind::nothing()
            .without_tasks()
            .with_exe(UpdateKind::Always)
            .with_cmd(UpdateKind::Always)
            .with_user(UpdateKind::Always);
        let pids: Vec<Pid> = pids.iter().copied().map(Pid::from_u32).collect();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
        for process in system.processes().values() {
            found.push(self.entry(process, drift, own, listening));
        }
        Ok(())
    }

    /// The processes whose short name `fits`, in no order and without ancestors. One that has ended,
    /// and whose parent has not taken notice yet, is none.
    pub fn find(&mut self, fits: impl Fn(&str) -> bool) -> Result<BTreeSet<u32>, Blindness> {
        let (mut system, _) = self.system()?;
        let kind = ProcessRefreshKind::nothing().without_tasks();
        if system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind) == 0 {
            return Err(Blindness::denied("the process table is empty"));
        }
        Ok(system
            .processes()
            .values()
            .filter(|process| process.status() != ProcessStatus::Zombie)
            .filter(|process| fits(&process.name().to_string_lossy()))
            .map(|process| process.pid().as_u32())
            .collect())
    }

    /// A fresh view of the system, and by how many seconds its boot time differs from the first
    /// one's: setting the clock moves it, and with it every start time that is reckoned from it.
    fn system(&mut self) -> Result<(System, i64), Blindness> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Blindness::new(Cause::ToolMissing, format!("the process table cannot be read: {error}"))
        };
        let boot = System::boot_time().map_err(|error| unreadable(&error))?;
        let system = System::new().map_err(|error| unreadable(&error))?;
        let first = *self.boot.get_or_insert(boot);
        Ok((system, boot.cast_signed().wrapping_sub(first.cast_signed())))
    }

    fn entry(
        &mut self,
        process: &sysinfo::Process,
        drift: i64,
        own: Option<&FileId>,
        listening: &BTreeSet<u32>,
    ) -> Entry {
        let pid = process.pid().as_u32();
        let seen = platform::Seen::of(process);
        let argv = bounded(process.cmd());
        let is_cut = argv.len() < process.cmd().len();
        let listens = listening.contains(&pid);
        let shown = Shown { name: &seen.name, exe: seen.exe.as_deref(), argv: &argv, listens };
        let role = if own.is_some() && executable_id(pid, seen.exe.as_deref()).as_ref() == own {
            Role::Guardian
        } else {
            role(&shown)
        };
        let started = process.start_time().wrapping_add_signed(drift.wrapping_neg());
        Entry {
            since: started.min(process.start_time()),
            process: Process {
                pid,
                parent: seen.parent,
                started,
                uid: seen.uid,
                user: seen.uid.map(|uid| self.user(uid)),
                name: seen.name,
                exe: seen.exe,
                argv: shortened(&argv),
                role,
            },
            argv,
            is_cut,
        }
    }

    /// The user's name, or the number where it has none.
    fn user(&mut self, uid: u32) -> String {
        self.users
            .entry(uid)
            .or_insert_with(|| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name))
            .clone()
            .unwrap_or_else(|| uid.to_string())
    }
}

/// Takes back roles that only a name told, where anyone could have chosen the name. The part of a
/// session that runs as its user cannot be read by that user; it stands if its parent does.
fn judge_unproven(entries: &mut [Entry]) {
    let proven: BTreeSet<u32> = entries
        .iter()
        .map(|entry| &entry.process)
        .filter(|process| {
            process.role == Role::Session
                && (process.exe.is_some() || stands_without_executable(process.role, process.uid))
        })
        .map(|process| process.pid)
        .collect();
    for Entry { process, .. } in entries {
        let vouched =
            process.role == Role::Session && process.parent.is_some_and(|parent| proven.contains(&parent));
        if process.exe.is_none() && !vouched && !stands_without_executable(process.role, process.uid) {
            process.role = Role::Unknown;
        }
    }
}

/// The first arguments, as far as they go into `MAX_ARGUMENTS`.
fn bounded(arguments: &[OsString]) -> Vec<String> {
    let mut left = MAX_ARGUMENTS;
    arguments
        .iter()
        .map_while(|argument| {
            left = left.checked_sub(argument.len() + 1)?;
            Some(lossy(argument))
        })
        .collect()
}

/// A file, whatever its name and wherever it is mounted.
type FileId = (u64, u64);

/// This program's own file.
fn own_executable() -> Option<FileId> {
    executable_id(std::process::id(), std::env::current_exe().ok().as_deref())
}

/// The file that a process runs. By its number, not by its name: a container's files have names of
/// their own.
fn executable_id(pid: u32, exe: Option<&std::path::Path>) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let exe = exe?;
    let link = if cfg!(target_os = "linux") { PathBuf::from(format!("/proc/{pid}/exe")) } else { exe.into() };
    let file = std::fs::metadata(link).ok()?;
    Some((file.dev(), file.ino()))
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(target_os = "linux")]
mod platform {
    use super::{PathBuf, lossy};

    /// What the system itself knows of a process.
    pub(super) struct Seen {
        pub(super) name: String,
        pub(super) exe: Option<PathBuf>,
        pub(super) parent: Option<u32>,
        pub(super) uid: Option<u32>,
    }

    impl Seen {
        pub(super) fn of(process: &sysinfo::Process) -> Self {
            Self {
                name: lossy(process.name()),
                exe: process.exe().map(Into::into),
                parent: process.parent().map(sysinfo::Pid::as_u32),
                uid: process.effective_user_id().or_else(|| process.user_id()).map(|uid| **uid),
            }
        }
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use super::{PathBuf, lossy};
    use crate::owner::macos;

    /// What the system itself knows of a process.
    pub(super) struct Seen {
        pub(super) name: String,
        pub(super) exe: Option<PathBuf>,
        pub(super) parent: Option<u32>,
        pub(super) uid: Option<u32>,
    }

    impl Seen {
        /// sysinfo takes the executable from the process's own memory, which the process can
        /// write, and knows neither user nor parent of other users' processes. The kernel answers
        /// both to anyone.
        pub(super) fn of(process: &sysinfo::Process) -> Self {
            let pid = process.pid().as_u32();
            let short = macos::short_info(pid);
            Self {
                name: short.as_ref().map_or_else(|| lossy(process.name()), |short| short.name.clone()),
                exe: macos::executable(pid),
                parent: short
                    .as_ref()
                    .map(|short| short.parent)
                    .or_else(|| process.parent().map(sysinfo::Pid::as_u32))
                    .filter(|parent| *parent != 0),
                uid: short.map(|short| short.uid),
            }
        }
    }
}

#[cfg(test)]
mod tests;
