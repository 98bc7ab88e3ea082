//! What the breaker knew last, so that a trip outlives kills, crashes and reboots.
//!
//! A memory that is missing where there has been one, cannot be read or is not understood means
//! that the circuit is open.

pub(crate) mod policy;
mod resume;

use std::fs;
use std::io;

use guardian_rules::fact::Exposure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::barrier::Target;
use crate::breaker::state::{Circuit, Level, State};
use crate::journal;
use crate::status::timeline::Turn;
use crate::sys::clock;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::{Paths, PathsError};
use crate::sys::trusted;
use crate::trip::Trip;

pub(crate) use resume::resume;

/// The layout that is written, and the only one that is understood.
const SCHEMA: u32 = 1;
/// The largest memory that is written or read, in bytes.
const LIMIT: usize = 4 * 1024 * 1024;

/// What the breaker knew last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The state of the circuit.
    pub(crate) circuit: Circuit,
    /// Since when.
    pub(crate) since: Timestamp,
    /// The trip that opened it, until it is closed again.
    pub(crate) trip: Option<Trip>,
    /// How far the gateway is put down while it is open.
    pub(crate) level: Option<Level>,
    /// What the barriers act on.
    pub(crate) target: Target,
    /// The boot in which its processes were seen: their numbers and births mean nothing in another.
    #[serde(default)]
    pub(crate) boot: Option<String>,
    /// The latest time that any clock of this host has shown. A clock that is set back does not
    /// bring back what has ended.
    pub(crate) latest: Timestamp,
    /// What lasts whatever the state is.
    #[serde(flatten)]
    pub(crate) past: Past,
}

/// What lasts whatever the state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// When gateways were exposed, in the last month.
    #[serde(default)]
    pub(crate) exposures: Vec<Exposure>,
    /// How the circuit was in the last days.
    #[serde(default)]
    pub(crate) timeline: Vec<Turn>,
}

/// What is remembered at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recall {
    /// There has been no Guardian before.
    FirstStart,
    /// This.
    Known(Box<Memory>),
    /// There is or has been a memory, and it cannot be had; this is why.
    Damaged(String),
}

/// Why the breaker's memory was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    /// The disk refuses.
    #[error("the state of the breaker cannot be written")]
    Disk(#[from] WriteError),
    /// It cannot be put into JSON.
    #[error("the state of the breaker cannot be written down")]
    Json(#[from] serde_json::Error),
    /// It is larger than what would be read again.
    #[error("the state of the breaker is longer than {LIMIT} bytes")]
    TooLong,
}

impl Memory {
    /// What there is to remember of a state.
    pub(crate) fn of(state: &State, target: Target, latest: Timestamp, past: Past) -> Self {
        let level = match state {
            State::Open(open) => Some(open.level),
            State::HalfOpen(half) => Some(half.level),
            State::Closed(_) => None,
        };
        let trip = state.trip().cloned();
        let boot = clock::boot_id();
        Self { circuit: state.circuit(), since: state.since(), trip, level, target, boot, latest, past }
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: u32,
    #[serde(flatten)]
    memory: Memory,
}

/// Reads what the breaker knew last.
pub(crate) fn recall(paths: &Paths) -> Recall {
    match paths.trusted_state() {
        Ok(_) => {}
        Err(PathsError::Unusable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Recall::FirstStart;
        }
        Err(failure) => return Recall::Damaged(failure.to_string()),
    }
    match trusted::read_bounded(&paths.breaker(), LIMIT as u64) {
        Ok(bytes) => parse(&bytes),
        Err(failure) if failure.is_absent() => match trace(paths) {
            Some(trace) => Recall::Damaged(format!("the state of the breaker is missing, but {trace}")),
            None => Recall::FirstStart,
        },
        Err(failure) => Recall::Damaged(failure.to_string()),
    }
}

/// Writes the memory, so that it survives a crash of the machine. The mark that there is one comes
/// first: from then on a missing memory is no first start.
pub(crate) fn save(paths: &Paths, memory: &Memory) -> Result<(), MemoryError> {
    let mut bytes = serde_json::to_vec(&File { schema: SCHEMA, memory: memory.clone() })?;
    bytes.push(b'\n');
    if bytes.len() > LIMIT {
        return Err(MemoryError::TooLong);
    }
    let mark = paths.mark();
    if fs::symlink_metadata(&mark).is_err() {
        durable::replace(&mark, b"", 0o644)?;
    }
    Ok(durable::replace(&paths.breaker(), &bytes, 0o600)?)
}

fn parse(bytes: &[u8]) -> Recall {
    match serde_json::from_slice::<File>(bytes) {
        Ok(File { schema: SCHEMA, mut memory }) => {
            if memory.boot != clock::boot_id() {
                memory.target.processes.clear();
            }
            Recall::Known(Box::new(memory))
        }
        Ok(File { schema, .. }) => {
            Recall::Damaged(format!("the state of the breaker has the unknown schema {schema}"))
        }
        Err(failure) => Recall::Damaged(format!("the state of the breaker is not understood: {failure}")),
    }
}

/// What shows that there has been a Guardian before. What cannot be looked at counts as there.
fn trace(paths: &Paths) -> Option<String> {
    [paths.mark(), paths.undo()].into_iter().chain(journal::files(paths)).find_map(|path| {
        match fs::symlink_metadata(&path) {
            Ok(_) => Some(format!("{} is there", path.display())),
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => None,
            Err(failure) => Some(format!("{} cannot be looked at: {failure}", path.display())),
        }
    })
}

#[cfg(test)]
mod tests;
