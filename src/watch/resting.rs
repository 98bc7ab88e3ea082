//! What gateways that do not run would start with: read beside the watch, and waited for by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use guardian_probes::gateway::at_rest::AtRest;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::Snapshot;

use crate::at_rest::{self, Look};
use crate::sys::clock::Moment;
use crate::trip::Evidence;

mod notes;

use self::notes::Notes;

/// Between two looks: whoever mends a configuration and asks again is not to read of the one before.
const EVERY: Duration = Duration::from_secs(5);

/// A home that takes longer does not answer: the others are looked into without it.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many homes that do not answer are named.
const NAMED: usize = 3;

/// The configurations in the homes of this machine.
#[derive(Debug, Default)]
pub(super) struct Resting {
    begun: Option<Moment>,
    /// The look under way.
    look: Option<Look>,
    /// The home that it is in, and since when.
    within: Option<(Option<PathBuf>, Moment)>,
    /// Looks that were left behind: each in a home of its own, into which none other goes.
    hanging: Vec<Look>,
    /// The homes that were looked into since the first one was.
    seen: BTreeSet<PathBuf>,
    /// What was found last in each.
    found: BTreeMap<PathBuf, Vec<AtRest>>,
    /// Why there can be no look.
    failed: Option<String>,
    notes: Notes,
}

impl Resting {
    /// Takes in what has come, and looks again when it is time: never into a home that a look hangs in.
    pub(super) fn turn(&mut self, now: Moment) {
        self.turn_with(now, at_rest::look);
    }

    fn turn_with(&mut self, now: Moment, look: impl FnOnce(BTreeSet<PathBuf>) -> io::Result<Look>) {
        self.take_in();
        if self.look.is_some() {
            if !self.leaves_behind(now) {
                return;
            }
            // The same look goes on, in the other homes.
        } else if self.begun.is_none_or(|begun| now.since(begun) >= EVERY) {
            self.begun = Some(now);
            self.seen.clear();
        } else {
            return;
        }
        self.within = None;
        let done = self.seen.iter().cloned().chain(self.hanging.iter().filter_map(Look::at)).collect();
        match look(done) {
            Ok(look) => (self.look, self.failed) = (Some(look), None),
            Err(failed) => (self.begun, self.failed) = (Some(now), Some(failed.to_string())),
        }
    }

    fn take_in(&mut self) {
        let mut looks = std::mem::take(&mut self.hanging);
        looks.retain(|look| self.takes(look));
        self.hanging = looks;
        if let Some(look) = self.look.take() {
            if self.takes(&look) {
                self.look = Some(look);
            } else {
                // Homes that are not there any more hold nothing.
                let hanging: BTreeSet<PathBuf> = self.hanging.iter().filter_map(Look::at).collect();
                self.found.retain(|home, _| self.seen.contains(home) || hanging.contains(home));
                self.notes.doubt();
            }
        }
    }

    /// Takes in what a look has told; answers whether more may come.
    fn takes(&mut self, look: &Look) -> bool {
        loop {
            match look.told.try_recv() {
                Ok((home, found)) => {
                    if self.found.get(&home) != Some(&found) {
                        self.notes.doubt();
                    }
                    self.seen.insert(home.clone());
                    self.found.insert(home, found);
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Leaves the look under way behind, if it hangs in a home.
    fn leaves_behind(&mut self, now: Moment) -> bool {
        let Some(look) = self.look.take() else { return false };
        let at = look.at();
        let since = match &self.within {
            Some((home, since)) if *home == at => *since,
            _ => now,
        };
        self.within = Some((at.clone(), since));
        let late = now.since(since) >= PATIENCE;
        if late && at.is_none() {
            self.failed = Some("they are not listed".to_owned());
        }
        let hangs = late && at.is_some_and(|home| look.ends_with(&home));
        if hangs {
            self.hanging.push(look);
        } else {
            self.look = Some(look);
        }
        hangs
    }

    /// What gateways that do not run would expose, as everybody is told.
    pub(super) fn notes(&mut self, policy: &Arc<Policy>, snapshot: &Snapshot) -> &[Evidence] {
        self.notes.of(policy, snapshot, self.found.values())
    }

    /// What is amiss with it, a sentence each. Nothing that is blocked depends on it.
    pub(super) fn trouble(&self) -> impl Iterator<Item = String> {
        const UNKNOWN: &str = "what a gateway would start with";
        let mut homes = self.hanging.iter().filter_map(Look::at).map(|home| home.display().to_string());
        let mut named = homes.by_ref().take(NAMED).collect::<Vec<_>>().join(", ");
        let more = homes.count();
        if more > 0 {
            named = format!("{named} and {more} more");
        }
        let hanging = (!named.is_empty()).then(|| {
            format!("{named}: no answer when looked into, so {UNKNOWN} there is not known any more")
        });
        let failed = self.failed.as_ref().map(|why| {
            format!("the homes cannot be looked into, so {UNKNOWN} there is not known any more: {why}")
        });
        hanging.into_iter().chain(failed)
    }
}

#[cfg(test)]
mod tests;
