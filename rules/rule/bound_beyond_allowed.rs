//! A gateway's socket is bound beyond the allowed networks.

use crate::catalog::Rule;
use crate::finding::Finding;
use crate::rule::audiences;
use crate::scene::{Beyond, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for door in scene.doors.iter().filter(|door| door.part.is_gateways()) {
        let bound = door.listener.bound;
        let held = format!("{} listens on {bound}", scene.holder_of(door));
        match &door.beyond {
            Beyond::Addresses(addresses) if addresses.is_empty() => {}
            Beyond::Addresses(addresses) => {
                let mut evidence = vec![held];
                evidence.extend(audiences(addresses));
                findings.push(rule.yes(&bound, evidence));
            }
            Beyond::Unknown(why) => findings.push(rule.unknown(&bound, vec![held, why.clone()])),
        }
    }
    findings
}
