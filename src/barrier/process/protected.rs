//! Processes that are never signalled, whoever names them.

use std::collections::BTreeSet;

use super::table::Entry;
use super::{Look, platform};

/// As many generations are gone up.
const GENERATIONS: usize = 1024;

/// Guardian and what it runs within, up to the first process.
pub(super) fn chain() -> BTreeSet<u32> {
    let mut chain = BTreeSet::from([std::process::id()]);
    let mut next = std::os::unix::process::parent_id();
    while next > 1 && chain.len() < GENERATIONS && chain.insert(next) {
        let Look::There(entry) = platform::look(next) else { break };
        next = entry.parent;
    }
    chain
}

/// Why a process must be left alone, if it must.
pub(super) fn why_not(entry: &Entry, chain: &BTreeSet<u32>) -> Option<&'static str> {
    match entry.pid {
        0 | 1 => Some("it is the system's first process"),
        pid if pid == std::process::id() => Some("it is guardian itself"),
        pid if chain.contains(&pid) => Some("guardian itself runs within it"),
        _ if entry.kernel => Some("it belongs to the kernel"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, kernel: bool) -> Entry {
        Entry { pid, kernel, alive: true, ..Entry::default() }
    }

    #[test]
    fn guardian_and_all_that_it_runs_within_are_left_alone() {
        let chain = chain();
        assert!(chain.contains(&std::process::id()) && chain.contains(&std::os::unix::process::parent_id()));
        for pid in chain.iter().copied().chain([0, 1]) {
            assert!(why_not(&entry(pid, false), &chain).is_some(), "{pid}");
        }
    }

    #[test]
    fn the_kernels_own_are_left_alone_and_others_are_not() {
        assert!(why_not(&entry(400_000_000, true), &BTreeSet::new()).is_some());
        assert!(why_not(&entry(400_000_000, false), &BTreeSet::new()).is_none());
    }
}
