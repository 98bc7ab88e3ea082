//! Gives the gateway a user of its own, so that whoever gets through it finds nothing of its owner's.
//!
//! What is there now ([`present`]) and what is to be done ([`plan`]) are data; each step is written down
//! before it is done ([`ledger`]), so that all of it can be taken back ([`apply`]). That it holds is not
//! believed but tried ([`attempt`]).

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod attempt;
pub(crate) mod ledger;
pub(crate) mod ownership;
pub(crate) mod plan;
pub(crate) mod present;
pub(crate) mod unit;

use std::path::PathBuf;

use guardian_probes::command::CommandError;

use crate::exit;
use crate::sys::durable::WriteError;

/// The gateway's own user.
pub(crate) const USER: &str = "_moltbot";

/// Why the gateway gets no user of its own, or does not lose it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BulkheadError {
    /// Root is asked for.
    #[error("only root can give the gateway a user of its own; type: sudo guardian bulkhead {0}")]
    NotRoot(&'static str),
    /// There is nothing to move.
    #[error("no gateway runs here: start it as a service first (`openclaw gateway install`)")]
    NoGateway,
    /// Which one is meant cannot be told.
    #[error("several gateways run here (pids {0}): a bulkhead is for one; stop the others first")]
    Several(String),
    /// Nobody would start it again.
    #[error(
        "the gateway (pid {0}) was not started by a service: install it as one first (`openclaw gateway install`)"
    )]
    NoService(u32),
    /// Somebody has been here.
    #[error("the gateway runs as {USER} already")]
    Already,
    /// A bulkhead stands, or half of one.
    #[error(
        "a bulkhead stands here already: there is nothing to do (`sudo guardian bulkhead undo` takes it down)"
    )]
    Stands,
    /// A part of one.
    #[error("half a bulkhead stands here; take it down first: sudo guardian bulkhead undo")]
    Half,
    /// It would outlive the program that takes it down.
    #[error("a bulkhead stands here; take it down first: sudo guardian bulkhead undo")]
    Outlives,
    /// There is none.
    #[error("no bulkhead of guardian's stands here")]
    None,
    /// What is there does not fit.
    #[error("{0}")]
    Unfit(String),
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Unread {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A file or folder cannot be changed.
    #[error("{path} cannot be changed, moved or given to somebody else")]
    Unchanged {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A command failed.
    #[error("this did not work: {line}")]
    Command {
        /// As one would type it.
        line: String,
        /// What came of it.
        #[source]
        cause: CommandError,
    },
    /// There is no number for its user.
    #[error("there is no free user id from 200 to 400 for the gateway's user")]
    NoId,
}

impl BulkheadError {
    /// The exit code that goes with it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NotRoot(_) => exit::USAGE,
            _ => exit::FAILURE,
        }
    }
}
