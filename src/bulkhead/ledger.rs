//! What a bulkhead has changed, written down before it is changed, so that it can be taken back.

use std::fs;
use std::path::{Path, PathBuf};

use guardian_rules::fact::Service;
use serde::{Deserialize, Serialize};

use super::BulkheadError;
use super::ownership::{Identity, Owner};
use crate::sys::durable;
use crate::sys::paths::Paths;
use crate::sys::trusted;

/// The version of the file.
const VERSION: u8 = 1;
/// The longest file, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// One change, with what it takes to undo it. It may have been made, in part or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// The user was made.
    Account,
    /// A folder was made. What is in it in the end is `heir`'s.
    Folder { path: PathBuf, heir: Owner },
    /// A folder got other permissions.
    Mode { path: PathBuf, before: u32, after: u32 },
    /// A service was stopped, and does not start by itself any more.
    Stopped { service: Service, owner: Owner, enabled: bool, file: Option<PathBuf> },
    /// This very folder was moved, and given to the gateway's user.
    Moved { from: PathBuf, to: PathBuf, before: Owner, identity: Identity },
    /// A file was written: the service, the sandbox's profile.
    Written { path: PathBuf },
    /// The service runs.
    Started { name: String },
    /// The policy names the gateway's user.
    Policy { path: PathBuf, before: String, after: String },
}

/// All changes, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    v: u8,
    pub(crate) changes: Vec<Change>,
    #[serde(skip)]
    path: PathBuf,
}

impl Ledger {
    fn place(paths: &Paths) -> PathBuf {
        paths.state.join("bulkhead.json")
    }

    /// A new one; there must be none.
    pub(crate) fn begin(paths: &Paths) -> Result<Self, BulkheadError> {
        let path = Self::place(paths);
        match path.symlink_metadata() {
            Ok(_) => Err(BulkheadError::Stands),
            Err(_) => Ok(Self { v: VERSION, changes: Vec::new(), path }),
        }
    }

    /// The one that is there.
    pub(crate) fn read(paths: &Paths) -> Result<Self, BulkheadError> {
        let path = Self::place(paths);
        let bytes = match trusted::read_bounded(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(none) if none.is_absent() => return Err(BulkheadError::None),
            Err(untrusted) => return Err(BulkheadError::Unfit(crate::cli::chain(&untrusted))),
        };
        let read: Result<Self, _> = serde_json::from_slice(&bytes);
        match read {
            Ok(ledger) if ledger.v == VERSION => Ok(Self { path, ..ledger }),
            _ => Err(BulkheadError::Unfit(format!("{} is not understood", path.display()))),
        }
    }

    /// Why another one cannot be put up, if there is one.
    pub(crate) fn stands(paths: &Paths) -> Option<BulkheadError> {
        match Self::read(paths) {
            Err(BulkheadError::None) => None,
            Ok(ledger) if matches!(ledger.changes.last(), Some(Change::Started { .. })) => {
                Some(BulkheadError::Stands)
            }
            Ok(_) => Some(BulkheadError::Half),
            Err(unreadable) => Some(unreadable),
        }
    }

    /// Whether one is there.
    pub(crate) fn is_there(paths: &Paths) -> bool {
        Self::place(paths).symlink_metadata().is_ok()
    }

    /// Notes a change that is about to be made.
    pub(crate) fn note(&mut self, change: Change) -> Result<(), BulkheadError> {
        self.changes.push(change);
        self.write()
    }

    /// The latest change has been taken back.
    pub(crate) fn taken_back(&mut self) -> Result<(), BulkheadError> {
        self.changes.pop();
        if self.changes.is_empty() {
            return Ok(durable::remove(&self.path)?);
        }
        self.write()
    }

    fn write(&self) -> Result<(), BulkheadError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|odd| {
            BulkheadError::Unfit(format!("what is to be changed cannot be written down: {odd}"))
        })?;
        if bytes.len() as u64 > LIMIT {
            return Err(BulkheadError::Unfit(
                "what is to be changed is too much to be written down".to_owned(),
            ));
        }
        Ok(durable::replace(&self.path, &bytes, 0o600)?)
    }
}

/// The text of a file that is to be changed.
pub(crate) fn text(path: &Path) -> Result<String, BulkheadError> {
    fs::read_to_string(path).map_err(|cause| BulkheadError::Unread { path: path.to_owned(), cause })
}
