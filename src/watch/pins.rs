//! When exactly processes were born: noted as they are first seen, and kept as long as they are.
//!
//! Process tables show whole seconds, and a number may be given to somebody else within one.

use std::collections::{BTreeMap, BTreeSet};

use crate::barrier::{Identity, process};

/// The births of processes that are seen, by number and second of their start.
#[derive(Debug, Default)]
pub(super) struct Pins(BTreeMap<(u32, u64), u64>);

impl Pins {
    /// The same process with its birth, as it was when it was seen first.
    pub(super) fn pin(&mut self, seen: Identity) -> Identity {
        let key = (seen.pid, seen.started);
        if let Some(birth) = self.0.get(&key) {
            return Identity { birth: Some(*birth), ..seen };
        }
        let pinned = process::pin(seen);
        self.0.extend(pinned.birth.map(|birth| (key, birth)));
        pinned
    }

    /// Forgets those who are not seen any more.
    pub(super) fn forget_all_but(&mut self, seen: &BTreeSet<Identity>) {
        let seen: BTreeSet<(u32, u64)> = seen.iter().map(|it| (it.pid, it.started)).collect();
        self.0.retain(|key, _| seen.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: u32, started: u64) -> Identity {
        Identity { pid, started, birth: None, uid: None, name: String::new() }
    }

    #[test]
    fn a_birth_stays_as_it_was_seen_first_until_the_process_is_not_seen_any_more() {
        let mut pins = Pins(BTreeMap::from([((7, 1000), 5)]));
        assert_eq!(pins.pin(seen(7, 1000)).birth, Some(5));
        pins.forget_all_but(&BTreeSet::from([seen(7, 1000)]));
        assert_eq!(pins.pin(seen(7, 1000)).birth, Some(5));
        pins.forget_all_but(&BTreeSet::from([seen(7, 1001)]));
        assert!(pins.0.is_empty());
        assert_eq!(pins.pin(seen(u32::MAX, 1000)).birth, None, "nobody there");
    }
}
