//! What can happen to the circuit.

use guardian_rules::verdict::Verdict;

use crate::trip::Evidence;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A look at everything is complete, or a part of it is enough to accuse.
    Round(Round),
    /// What came of the last look at the firewall and past it.
    Isolation {
        /// It stands, and no connection got through.
        proven: bool,
    },
    /// Somebody wants the circuit open.
    Trip {
        /// Who.
        by: Asker,
        /// Why, in their words.
        reason: String,
    },
    /// Somebody wants to recover.
    Recover {
        /// Who.
        by: Asker,
        /// What the review of the configuration found.
        review: Review,
    },
    /// Somebody wants the circuit closed.
    Close {
        /// Who.
        by: Asker,
    },
    /// Time has passed that nobody watched: the machine slept, or the watcher was stopped.
    Slept,
    /// Time has passed.
    Tick,
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The findings that bear it, gravest first.
    pub(crate) findings: Vec<Evidence>,
    /// A gateway lets anyone in without credentials, beyond the allowed networks.
    pub(crate) open_beyond: bool,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The user's name, or number.
    pub(crate) name: String,
    /// Root, the owner of the state folder, or one of the policy's owners.
    pub(crate) owner: bool,
}

/// What the review of the configuration found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Review {
    /// What has to be mended first, a sentence each.
    pub(crate) failing: Vec<String>,
}
