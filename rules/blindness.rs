//! Why something could not be seen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The ways in which a look can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The system refused: a permission is missing.
    Denied,
    /// No answer within the deadline.
    TimedOut,
    /// A tool or an interface of the system that the look needs is not there.
    ToolMissing,
    /// An answer came and could not be understood.
    Malformed,
    /// The answer was cut short, or changed while it was read.
    Interrupted,
    /// The probe panicked.
    Panicked,
    /// The probe has not run yet.
    NeverRan,
    /// The last answer is older than the probe's cadence allows.
    Stale,
    /// There was more to look at than the probe's budget allows.
    TooMuch,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied",
            Self::TimedOut => "timed out",
            Self::ToolMissing => "tool missing",
            Self::Malformed => "malformed",
            Self::Interrupted => "interrupted",
            Self::Panicked => "panicked",
            Self::NeverRan => "never ran",
            Self::Stale => "stale",
            Self::TooMuch => "too much",
        })
    }
}

/// A failed look: the cause, and one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Blindness {
    /// What kind of failure it is.
    pub cause: Cause,
    /// What was tried and what came of it, without a final full stop.
    pub detail: String,
}

impl Blindness {
    /// A failed look with its sentence.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }

    /// A look that the system refused.
    pub fn denied(detail: impl Into<String>) -> Self {
        Self::new(Cause::Denied, detail)
    }

    /// A look that got no answer in time.
    pub fn timed_out(detail: impl Into<String>) -> Self {
        Self::new(Cause::TimedOut, detail)
    }

    /// A look whose answer made no sense.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Cause::Malformed, detail)
    }

    /// A look that has not happened.
    #[must_use]
    pub fn never_ran() -> Self {
        Self::new(Cause::NeverRan, "has not run yet")
    }
}

impl fmt::Display for Blindness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause, self.detail)
    }
}

impl std::error::Error for Blindness {}
