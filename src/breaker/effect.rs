//! What a step wants done. Effects are carried out in their order; none waits for another's success.

use serde::{Deserialize, Serialize};

use crate::doubt::Doubt;
use crate::trip::Trip;

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The gate forwards no more.
    RevokeLease,
    /// The gate may forward until this lease lapses.
    MintLease(Reach),
    /// Write the lock file, durably.
    Lock(Trip),
    /// Take the lock file away.
    Unlock,
    /// Write the state down, durably.
    Save,
    /// Bring the host in line with the state: raise barriers, or lower them.
    Hold,
    /// Write into the journal.
    Record(&'static str),
    /// Write into the journal what is doubtful, a line each.
    RecordDoubt(Doubt),
    /// Tell people.
    Tell(Notice),
    /// Answer whoever asked.
    Answer(Answer),
}

/// Whom a lease lets the gate forward for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reach {
    /// Everybody whom the policy allows.
    Allowed,
    /// Clients on loopback alone.
    Loopback,
}

/// Something that people want to know at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event", content = "about")]
pub(crate) enum Notice {
    /// The circuit was opened.
    Tripped(Trip),
    /// More was found while it was open.
    News(Trip),
    /// It would have been opened, but guardian only observes.
    WouldTrip(Trip),
    /// It will be opened soon, unless what cannot be told can be by then.
    Doubt(Doubt),
    /// Somebody began to recover.
    Recovering(String),
    /// Somebody closed the circuit.
    Closed(String),
    /// The policy is refused, and a watcher that starts goes by another one: a sentence that says so.
    PolicyRefused(String),
}

/// What whoever asked is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done.
    Done,
    /// It was so already.
    AlreadySo,
    /// It was not done.
    Refused(Refusal),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refusal {
    /// Opening is anybody's; recovering and closing are the owner's.
    #[error(
        "only the owner can do that: root, the owner of guardian's state folder, or a user in `owners`; type it with sudo"
    )]
    NotOwner,
    /// Nothing to recover from.
    #[error("the circuit is closed: there is nothing to recover from")]
    NotOpen,
    /// The review fails.
    #[error("the review still fails: {}", .0.join("; "))]
    Review(Vec<String>),
    /// It is open, and not in recovery.
    #[error("the circuit is open: `guardian recover` comes first")]
    RecoverFirst,
    /// The recovery ended at this very moment.
    #[error(
        "the recovery was not closed in time, and the circuit is open again; type `guardian recover` once more"
    )]
    Expired,
    /// Too few safe rounds.
    #[error("too early: {safe} of {wanted} safe rounds in a row; `guardian status` says what is in the way")]
    TooEarly {
        /// Safe rounds so far.
        safe: u16,
        /// Safe rounds that it takes.
        wanted: u16,
    },
}
