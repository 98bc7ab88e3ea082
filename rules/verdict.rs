//! From facts to a verdict.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::CATALOG;
use crate::finding::{Answer, Finding, Severity};
use crate::policy::Policy;
use crate::scene::{Gateway, Scene};
use crate::snapshot::Snapshot;

/// The worst that the evidence allows, best first: `Safe < Blind < Exposed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything was seen, and nothing is exposed.
    Safe,
    /// Not everything that matters could be seen.
    Blind,
    /// A gateway is exposed.
    Exposed,
}

/// A judgement with all that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Judgement {
    /// The worst of the findings.
    pub verdict: Verdict,
    /// The gateways of this host.
    pub gateways: Vec<Gateway>,
    /// What the rules found: what moves the verdict first.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Safe, but something is worth mending.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Warning)
    }
}

/// Judges a snapshot by a policy.
pub fn judge(policy: &Policy, snapshot: &Snapshot) -> Judgement {
    let scene = Scene::new(policy, snapshot);
    let mut findings: Vec<Finding> = CATALOG.iter().flat_map(|rule| rule.judge(&scene)).collect();
    // Sockets that share an address and a holder say the same.
    let mut said = BTreeSet::new();
    findings.retain(|finding| said.insert(finding.clone()));
    findings.sort_by_key(|finding| std::cmp::Reverse((moves(finding), finding.severity)));
    let verdict = findings.iter().map(moves).max().unwrap_or(Verdict::Safe);
    Judgement { verdict, gateways: scene.gateways, findings }
}

/// How far a finding moves the verdict. Only critical ones do.
fn moves(finding: &Finding) -> Verdict {
    match (finding.severity, finding.answer) {
        (Severity::Critical, Answer::Yes) => Verdict::Exposed,
        (Severity::Critical, Answer::Unknown) => Verdict::Blind,
        (Severity::Warning | Severity::Info, _) => Verdict::Safe,
    }
}
