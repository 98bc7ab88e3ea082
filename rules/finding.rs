//! What a rule says.

use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth mending; never moves the verdict.
    Warning,
    /// Moves the verdict.
    Critical,
}

impl Severity {
    /// The word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a rule answers. No is the absence of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is so, and the evidence shows it.
    Yes,
    /// It cannot be told, and the evidence says why.
    Unknown,
}

/// One thing that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[must_use]
pub struct Finding {
    /// The rule's stable id.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// Yes or unknown.
    pub answer: Answer,
    /// What it is about: an address, a process, a file.
    pub subject: String,
    /// What was seen, a sentence each.
    pub evidence: Vec<String>,
    /// What to do, in words that can be typed where possible.
    pub remedy: String,
}

impl Finding {
    /// The same, where the owner has allowed it in writing.
    pub(crate) fn allowed(mut self) -> Self {
        self.severity = Severity::Info;
        self.evidence.push("the owner has allowed this path".to_owned());
        "Nothing, as long as you want it so.".clone_into(&mut self.remedy);
        self
    }
}
