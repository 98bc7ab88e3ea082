//! A gateway runs as root.

use std::collections::BTreeMap;

use crate::catalog::Rule;
use crate::finding::Finding;
use crate::scene::{Part, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings: BTreeMap<String, Finding> = BTreeMap::new();
    for door in scene.doors.iter().filter(|door| door.part == Part::Gateway) {
        let process = door.holder.and_then(|pid| scene.process(pid));
        let holder = scene.holder_of(door);
        let finding = match process.and_then(|process| process.uid).or(door.listener.uid) {
            Some(0) => rule.yes(&holder, vec![format!("{holder} runs with user id 0")]),
            Some(_) => continue,
            None => rule.unknown(&holder, vec!["its user could not be told".to_owned()]),
        };
        findings.entry(holder).or_insert(finding);
    }
    findings.into_values().collect()
}
