//! The notes of what gateways that do not run would expose, made anew when something has changed that they rest on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use guardian_probes::gateway::at_rest::AtRest;
use guardian_rules::fact::InterfaceAddress;
use guardian_rules::finding::Finding;
use guardian_rules::observation::Observation;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::Snapshot;

use crate::at_rest;
use crate::trip::Evidence;

/// As many are told.
const TOLD: usize = 16;

/// What was noted last.
#[derive(Debug, Default)]
pub(super) struct Notes {
    basis: Option<Basis>,
    notes: Vec<Evidence>,
}

/// What it rests on, besides the configurations.
#[derive(Debug)]
struct Basis {
    policy: Arc<Policy>,
    interfaces: Observation<Vec<InterfaceAddress>>,
    running: BTreeSet<PathBuf>,
}

impl Notes {
    /// The configurations have changed.
    pub(super) fn doubt(&mut self) {
        self.basis = None;
    }

    pub(super) fn of<'a>(
        &mut self,
        policy: &Arc<Policy>,
        snapshot: &Snapshot,
        homes: impl IntoIterator<Item = &'a Vec<AtRest>>,
    ) -> &[Evidence] {
        let running = at_rest::running(snapshot);
        let holds = self.basis.as_ref().is_some_and(|it| {
            it.policy == *policy
                && it.interfaces == snapshot.interfaces
                && it.running.iter().eq(running.iter().copied())
        });
        if !holds {
            let homes = homes.into_iter().map(|found| at_rest::of(policy, snapshot, found));
            let notes = in_turn(homes.collect()).take(TOLD);
            self.notes = notes.map(at_rest::for_everybody).map(|note| Evidence::from(&note)).collect();
            self.basis = Some(Basis {
                policy: Arc::clone(policy),
                interfaces: snapshot.interfaces.clone(),
                running: running.into_iter().cloned().collect(),
            });
        }
        &self.notes
    }
}

/// The first note of each home, then the second of each: nobody crowds the others out.
fn in_turn(homes: Vec<Vec<Finding>>) -> impl Iterator<Item = Finding> {
    let mut placed: Vec<(usize, Finding)> =
        homes.into_iter().flat_map(|notes| notes.into_iter().enumerate()).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, note)| note)
}

#[cfg(test)]
mod tests {
    use guardian_rules::fact::{ConfigState, GatewayConfig};

    use super::*;

    fn without_a_password(path: &str) -> AtRest {
        let config = GatewayConfig { auth_mode: Some("none".to_owned()), ..GatewayConfig::default() };
        AtRest { path: path.into(), state: ConfigState::Read(config) }
    }

    #[test]
    fn a_home_full_of_them_crowds_no_other_out() {
        let mallory = (0..2 * TOLD).map(|n| without_a_password(&format!("/home/a/.openclaw/{n}.json")));
        let found = [mallory.collect(), vec![without_a_password("/home/b/.openclaw/openclaw.json")]];
        let mut notes = Notes::default();
        let told = notes.of(&Arc::default(), &Snapshot::default(), &found);
        assert_eq!(told.len(), TOLD);
        assert!(told.iter().any(|note| note.subject.starts_with("/home/b/")), "{told:#?}");
    }

    #[test]
    fn notes_are_made_anew_when_something_has_changed_that_they_rest_on() {
        let found = [vec![without_a_password("/home/ana/.openclaw/openclaw.json")]];
        let (mut notes, mut policy, mut snapshot) = (Notes::default(), Arc::default(), Snapshot::default());
        assert_eq!(notes.of(&policy, &snapshot, &found).len(), 1);
        // Nothing has: the configurations are not asked.
        assert_eq!(notes.of(&policy, &snapshot, &[]).len(), 1);
        notes.doubt();
        assert_eq!(notes.of(&policy, &snapshot, &[]).len(), 0);
        Arc::make_mut(&mut policy).ports.push(4000);
        assert_eq!(notes.of(&policy, &snapshot, &found).len(), 1);
        snapshot.interfaces = Observation::Seen(Vec::new());
        assert_eq!(notes.of(&policy, &snapshot, &[]).len(), 0);
    }
}
