//! A living process and what it descends from.

use super::{Look, platform};
use crate::barrier::Identity;

/// As many generations are gone up.
const GENERATIONS: usize = 64;

/// A process in a line of descent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kin {
    /// Its number.
    pub(crate) pid: u32,
    /// Its real user, if that can be told.
    pub(crate) uid: Option<u32>,
}

/// The process, if it still is the one that was written down, then its parent, and so on up to the
/// first process of the system, which is left out. Empty if it has ended.
pub(crate) fn line(of: &Identity) -> Vec<Kin> {
    let mut line = Vec::new();
    let mut next = of.pid;
    let mut youngest = u64::MAX;
    while next > 1 && line.len() < GENERATIONS {
        let Look::There(entry) = platform::look(next) else { break };
        // A parent that is younger than its child has come to another's number.
        if !entry.alive || entry.birth > youngest || (line.is_empty() && !entry.is(of)) {
            break;
        }
        line.push(Kin { pid: next, uid: entry.uid.or_else(|| platform::real_user(next)) });
        (next, youngest) = (entry.parent, entry.birth);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_comes_first_then_its_parent_and_the_systems_first_process_never() {
        let line = line(&super::super::this_one());
        assert_eq!(line[0], Kin { pid: std::process::id(), uid: Some(nix::unistd::getuid().as_raw()) });
        let parent = std::os::unix::process::parent_id();
        assert!(parent == 1 || line[1].pid == parent, "{line:?}");
        assert!(line.iter().all(|kin| kin.pid > 1));
    }

    #[test]
    fn another_process_with_the_number_has_no_line() {
        let before = Identity { started: 1, birth: None, ..super::super::this_one() };
        assert!(line(&before).is_empty());
    }
}
