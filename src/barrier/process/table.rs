//! The processes of the system at one time, and who descends from whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::barrier::Identity;

/// By so many seconds a start time may differ: boot time is rounded each time it is read.
const ROUNDING: u64 = 1;

/// A process as the system shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Its start in the system's own, finest unit.
    pub(super) birth: u64,
    /// Its start in seconds since the epoch.
    pub(super) started: u64,
    /// The same by the time of boot that was seen first.
    pub(super) started_at_first: u64,
    /// Its owner, if that is asked for along the way.
    pub(super) uid: Option<u32>,
    /// Not a zombie.
    pub(super) alive: bool,
    /// A thread of the kernel.
    pub(super) kernel: bool,
    /// Short name.
    pub(super) name: String,
}

impl Entry {
    /// It is the process that was written down, and not another with its number.
    pub(super) fn is(&self, target: &Identity) -> bool {
        let started_then = || {
            [self.started, self.started_at_first]
                .iter()
                .any(|started| started.abs_diff(target.started) <= ROUNDING)
        };
        self.pid == target.pid && target.birth.map_or_else(started_then, |birth| birth == self.birth)
    }
}

/// All processes that could be seen.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
}

impl FromIterator<Entry> for Table {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl Table {
    /// What lives and descends from processes with these numbers and births, nearest first, without
    /// them; at most so many.
    pub(super) fn descendants(&self, roots: &[(u32, u64)], most: usize) -> Vec<&Entry> {
        let mut children: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            children.entry(entry.parent).or_default().push(entry);
        }
        let mut seen: BTreeSet<u32> = roots.iter().map(|(pid, _)| *pid).collect();
        let mut next: VecDeque<(u32, u64)> = roots.iter().copied().collect();
        let mut found = Vec::new();
        while let Some((parent, birth)) = next.pop_front() {
            for child in children.get(&parent).into_iter().flatten() {
                if found.len() == most {
                    return found;
                }
                // One that is older has come to another process of this number.
                if child.alive && child.birth >= birth && seen.insert(child.pid) {
                    next.push_back((child.pid, child.birth));
                    found.push(*child);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, parent: u32, birth: u64) -> Entry {
        Entry { pid, parent, birth, alive: true, ..Entry::default() }
    }

    fn found(table: &Table, roots: &[(u32, u64)], most: usize) -> Vec<u32> {
        table.descendants(roots, most).iter().map(|entry| entry.pid).collect()
    }

    #[test]
    fn children_come_before_grandchildren_and_others_do_not_come() {
        let table: Table = [entry(4, 3, 9), entry(3, 2, 8), entry(2, 1, 7), entry(9, 1, 7), entry(5, 2, 9)]
            .into_iter()
            .collect();
        assert_eq!(found(&table, &[(2, 7)], 100), [3, 5, 4]);
        assert_eq!(found(&table, &[(2, 7), (3, 8)], 100), [5, 4]);
    }

    #[test]
    fn a_child_that_is_older_than_its_parent_is_not_its_child() {
        let table: Table = [entry(2, 1, 7), entry(3, 2, 6)].into_iter().collect();
        assert!(found(&table, &[(2, 7)], 100).is_empty());
    }

    #[test]
    fn a_circle_ends() {
        let table: Table = [entry(2, 3, 7), entry(3, 2, 7)].into_iter().collect();
        assert_eq!(found(&table, &[(2, 7)], 100), [3]);
    }

    #[test]
    fn a_host_with_very_many_processes_costs_a_bounded_time() {
        let deep = (2..100_000).map(|pid| entry(pid, pid - 1, u64::from(pid)));
        let wide = (100_000..200_000).map(|pid| entry(pid, 2, u64::from(pid)));
        let table: Table = deep.chain(wide).collect();
        let began = std::time::Instant::now();
        assert_eq!(found(&table, &[(2, 2)], 4096).len(), 4096);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[test]
    fn a_start_time_may_differ_by_a_second_and_the_clock_may_have_been_set() {
        let target = Identity { pid: 7, started: 1000, birth: None, uid: None, name: String::new() };
        let seen = |started, started_at_first| Entry { started, started_at_first, ..entry(7, 1, 5) };
        assert!(seen(999, 0).is(&target) && seen(1001, 0).is(&target) && seen(0, 1000).is(&target));
        assert!(!seen(998, 998).is(&target) && !seen(1002, 1002).is(&target));
        assert!(!Entry { pid: 8, ..seen(1000, 1000) }.is(&target));
    }

    #[test]
    fn one_of_the_same_number_and_second_is_another_once_the_birth_is_known() {
        let target = Identity { pid: 7, started: 1000, birth: Some(5), uid: None, name: String::new() };
        let seen = |birth| Entry { started: 1000, started_at_first: 1000, ..entry(7, 1, birth) };
        assert!(seen(5).is(&target) && !seen(6).is(&target) && !seen(4).is(&target));
        assert!(Entry { started: 9, ..seen(5) }.is(&target), "the clock may be set as it likes");
    }
}
