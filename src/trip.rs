//! A trip: why the circuit was opened, when, and on what evidence. It is written into the lock file,
//! the breaker's state and the journal, and shown by `guardian status`.

use guardian_rules::finding::{Answer, Finding, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// As many findings are kept of one trip, and of one doubt.
pub(crate) const FINDINGS: usize = 32;

/// Why the circuit is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trip {
    /// Tells it from every other trip.
    pub(crate) id: String,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What kind of reason it has.
    pub(crate) cause: Cause,
    /// A sentence for a person.
    pub(crate) why: String,
    /// What was found, gravest first.
    pub(crate) findings: Vec<Evidence>,
    /// The boot in which it happened, if the system tells.
    pub(crate) boot: Option<String>,
}

/// The kinds of reasons to open the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// A gateway is exposed.
    Exposed,
    /// Not everything could be seen for longer than the policy's patience.
    Blind,
    /// Somebody asked for it.
    Asked,
    /// The state of the breaker is missing or damaged.
    Damaged,
    /// Recovery took longer than it may.
    Expired,
}

/// A finding as it is written down: rules may have gone by the time it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the JSON contract names them")]
pub(crate) struct Evidence {
    pub(crate) rule: String,
    pub(crate) severity: Severity,
    pub(crate) answer: Answer,
    pub(crate) subject: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) remedy: String,
}

impl From<&Finding> for Evidence {
    fn from(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.to_owned(),
            severity: finding.severity,
            answer: finding.answer,
            subject: finding.subject.clone(),
            evidence: finding.evidence.clone(),
            remedy: finding.remedy.clone(),
        }
    }
}

impl Evidence {
    /// It alone is reason enough to open the circuit.
    pub(crate) fn is_proof(&self) -> bool {
        self.severity == Severity::Critical && self.answer == Answer::Yes
    }

    /// What tells a new alarm from one that is known.
    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.rule, &self.subject)
    }
}

impl Trip {
    /// A trip now.
    pub(crate) fn new(at: Timestamp, cause: Cause, why: impl Into<String>, findings: &[Evidence]) -> Self {
        let id = at.strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
        let findings = findings.iter().take(FINDINGS).cloned().collect();
        Self { id, at, cause, why: why.into(), findings, boot: None }
    }

    /// Takes in what was found since. Answers whether anything is new.
    pub(crate) fn learn(&mut self, findings: &[Evidence]) -> bool {
        let before = self.findings.len();
        for finding in findings.iter().filter(|finding| finding.is_proof()) {
            let known = self.findings.iter().any(|known| known.key() == finding.key());
            if !known && self.findings.len() < FINDINGS {
                self.findings.push(finding.clone());
            }
        }
        self.findings.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: &str, subject: &str) -> Evidence {
        Evidence {
            rule: rule.to_owned(),
            severity: Severity::Critical,
            answer: Answer::Yes,
            subject: subject.to_owned(),
            evidence: Vec::new(),
            remedy: String::new(),
        }
    }

    #[test]
    fn what_is_known_already_is_no_news_and_there_is_an_end_to_news() {
        let at = Timestamp::UNIX_EPOCH;
        let mut trip = Trip::new(at, Cause::Exposed, "because", &[found("a", "1")]);
        assert!(!trip.learn(&[found("a", "1")]));
        assert!(trip.learn(&[found("a", "2"), found("b", "1")]));
        assert_eq!(trip.findings.len(), 3);
        for subject in 0..100 {
            trip.learn(&[found("c", &subject.to_string())]);
        }
        assert_eq!(trip.findings.len(), FINDINGS);
    }

    #[test]
    fn a_trip_is_written_and_read_unchanged() {
        let trip = Trip::new(Timestamp::UNIX_EPOCH, Cause::Blind, "because", &[found("a", "1")]);
        let text = serde_json::to_string(&trip).unwrap();
        assert_eq!(serde_json::from_str::<Trip>(&text).unwrap(), trip);
    }
}
