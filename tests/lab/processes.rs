//! The processes of a host, each known for good: by its number and when it was born.

use std::collections::BTreeSet;
use std::fs;

use crate::host::Host;

/// A process as the host numbers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    /// In the kernel's ticks.
    pub(crate) birth: u64,
    alive: bool,
}

impl Process {
    /// Whoever has this number on the host; a zombie has it too.
    fn read(host: &Host, pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(host.path(&format!("/proc/{pid}/stat"))).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        Some(Self {
            pid,
            parent: fields[1].parse().unwrap(),
            name: before.split_once('(')?.1.to_owned(),
            birth: fields[19].parse().unwrap(),
            alive: !matches!(fields[0], "Z" | "X"),
        })
    }

    /// The one that has this number now.
    #[track_caller]
    pub(crate) fn of(host: &Host, pid: u32) -> Self {
        Self::read(host, pid)
            .filter(|it| it.alive)
            .unwrap_or_else(|| panic!("no process has the number {pid}"))
    }

    /// This very process runs on.
    pub(crate) fn lives(&self, host: &Host) -> bool {
        Self::read(host, self.pid).is_some_and(|now| now.alive && now.birth == self.birth)
    }
}

/// All that run on a host.
pub(crate) fn all(host: &Host) -> Vec<Process> {
    fs::read_dir(host.path("/proc"))
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Process::read(host, pid))
        .filter(|it| it.alive)
        .collect()
}

/// These and all that descends from them.
pub(crate) fn with_descendants(host: &Host, roots: &[u32]) -> Vec<Process> {
    let all = all(host);
    let mut family: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|it| family.contains(&it.parent) && !family.contains(&it.pid))
            .map(|it| it.pid)
            .collect();
        if more.is_empty() {
            return all.into_iter().filter(|it| family.contains(&it.pid)).collect();
        }
        family.extend(more);
    }
}
