//! A doubt: what cannot be told of this host while the patience runs, and what comes of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::age::age;
use crate::sys::clock::Now;
use crate::trip::{Evidence, FINDINGS};

/// What cannot be told, and how long it is put up with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doubt {
    /// Since when not everything can be told.
    pub(crate) since: Timestamp,
    /// When the circuit opens if it cannot be told by then; none where Guardian only observes.
    pub(crate) opens: Option<Timestamp>,
    /// What cannot be told, gravest first. None: nothing whole was seen.
    pub(crate) findings: Vec<Evidence>,
}

impl Doubt {
    /// Of what was found since then, with the patience of the policy.
    pub(crate) fn new<'a>(
        since: Now,
        patience: Option<Duration>,
        findings: impl Iterator<Item = &'a Evidence>,
    ) -> Self {
        let patience = patience.and_then(|patience| SignedDuration::try_from(patience).ok());
        Self {
            since: since.wall,
            opens: patience.and_then(|patience| since.wall.checked_add(patience).ok()),
            findings: findings.take(FINDINGS).cloned().collect(),
        }
    }

    /// What comes of it, as a sentence.
    pub(crate) fn outcome(&self, now: Timestamp) -> String {
        match self.opens {
            Some(opens) => {
                let left = Duration::try_from(opens.duration_since(now)).unwrap_or_default();
                format!("The circuit opens in about {}, unless it can be told by then.", age(left))
            }
            None => "Guardian only observes: nothing is blocked.".to_owned(),
        }
    }

    /// All of it in a line: the first of the findings, and how many more there are.
    pub(crate) fn summary(&self, now: Timestamp) -> String {
        let Some(first) = self.findings.first() else { return self.outcome(now) };
        let first = self.line(first, now);
        match self.findings.len() - 1 {
            0 => first,
            more => format!("{first} And {more} more."),
        }
    }

    /// One of the findings in a line: what cannot be told, what comes of it and what to do.
    pub(crate) fn line(&self, finding: &Evidence, now: Timestamp) -> String {
        let Evidence { rule, subject, remedy, .. } = finding;
        let outcome = self.outcome(now);
        format!("it cannot be told: {rule} at {subject}. {outcome} {remedy}").trim_end().to_owned()
    }
}
