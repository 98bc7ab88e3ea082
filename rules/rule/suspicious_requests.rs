//! Somebody tries the gate's lock.

use crate::catalog::Rule;
use crate::finding::{Finding, Severity};
use crate::scene::Scene;

/// A tenth of what moves the verdict is worth knowing.
const TOLD: u32 = 10;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let most = scene.policy.suspicious;
    let suspicions = scene.snapshot.suspicions.iter();
    suspicions
        .filter(|suspicion| most > 0 && suspicion.count >= (most / TOLD).max(1))
        .map(|suspicion| {
            let evidence = vec![
                format!("the gate has refused {} of them in the last five minutes", suspicion.count),
                format!("the last one came from {}", suspicion.last),
            ];
            let finding = rule.yes(&suspicion.intent, evidence);
            let severity = if suspicion.count >= most { rule.severity } else { Severity::Warning };
            Finding { severity, ..finding }
        })
        .collect()
}
