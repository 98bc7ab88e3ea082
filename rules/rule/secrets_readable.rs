//! Other users can read or change what only the gateway's user should.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::catalog::Rule;
use crate::fact::PrivatePath;
use crate::finding::Finding;
use crate::scene::Scene;

/// Group and others: read, write or search.
const FOR_OTHERS: u32 = 0o077;
/// Group and others: search.
const SEARCH: u32 = 0o011;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let paths: BTreeMap<&PathBuf, &PrivatePath> = scene
        .gateway_processes()
        .flat_map(|gateway| &gateway.private_paths)
        .map(|it| (&it.path, it))
        .collect();
    let readable = paths
        .values()
        .filter(|private| private.mode & FOR_OTHERS != 0 && !is_sheltered(private, &paths))
        .map(|private| {
            let evidence =
                format!("its mode is {:03o}, its owner user {}", private.mode & 0o777, private.uid);
            rule.yes(&private.path.display(), vec![evidence])
        });
    readable.chain(unknown(rule, scene)).collect()
}

/// Gateways whose files nobody found.
fn unknown(rule: &Rule, scene: &Scene<'_>) -> impl Iterator<Item = Finding> {
    scene
        .gateways
        .iter()
        .filter_map(|gateway| scene.gateway_process(gateway.pid?))
        .filter(|process| process.private_paths.is_empty())
        .map(|process| {
            let lost = "where it keeps its state could not be found out".to_owned();
            rule.unknown(&scene.name_of(process.pid), vec![lost])
        })
}

/// A folder above it keeps the others out.
fn is_sheltered(private: &PrivatePath, paths: &BTreeMap<&PathBuf, &PrivatePath>) -> bool {
    paths.values().any(|above| {
        above.path != private.path && private.path.starts_with(&above.path) && above.mode & SEARCH == 0
    })
}
