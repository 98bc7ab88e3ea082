//! The journal: everything that happened, a line of JSON each, only ever added to.
//!
//! Every line carries the hash of the one before it, so that a line that was changed, taken out or
//! put in shows. Whoever can write the file can also make the whole chain anew: it shows accidents
//! and clumsy hands, no more. It is bounded: five files of 4 MiB, the oldest goes.
//!
//! What a crash has torn off stays where it is; the next writer begins a new line and says so.

mod chain;
mod files;
mod line;
mod writer;

use std::time::Duration;

use crate::sys::durable::WriteError;
use crate::sys::paths::{Paths, PathsError};
use crate::sys::trusted::TrustError;

#[cfg(test)]
pub(crate) use chain::Break;
pub(crate) use chain::Verified;
pub(crate) use files::names as files;
pub(crate) use line::Entry;
pub(crate) use writer::Journal;

/// Long enough for a line that is being written to be complete.
const WRITING: Duration = Duration::from_millis(50);

/// Why something is not in the journal, or the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// There is none.
    #[error("there is no journal in {0}: no daemon has run here yet")]
    Absent(String),
    /// Others could have written the folder.
    #[error(transparent)]
    Folder(#[from] PathsError),
    /// A file cannot be read, or others could have written it.
    #[error("the journal cannot be read")]
    Untrusted(#[from] TrustError),
    /// The disk refuses.
    #[error("the journal cannot be written")]
    Disk(#[from] WriteError),
    /// It cannot be put into JSON.
    #[error("what happened cannot be written down")]
    Json(#[from] serde_json::Error),
}

/// The newest entries, at most `limit`, the newest last. What is not an entry is left out.
pub(crate) fn read(paths: &Paths, limit: usize) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    for part in files::snapshot(paths)?.iter().rev() {
        let lines = line::split(&part.bytes).rev().filter_map(|line| line::decode(line.bytes));
        entries.extend(lines.take(limit.saturating_sub(entries.len())));
    }
    entries.reverse();
    Ok(entries)
}

/// Follows the chain through all files.
pub(crate) fn verify(paths: &Paths) -> Result<Verified, JournalError> {
    let verified = chain::follow(&files::snapshot(paths)?);
    if verified.torn == 0 {
        return Ok(verified);
    }
    // A line that looks torn may be one that is being written.
    std::thread::sleep(WRITING);
    Ok(chain::follow(&files::snapshot(paths)?))
}

#[cfg(test)]
mod tests;
