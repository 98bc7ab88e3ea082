//! The lock file: while anything is there under its name, the circuit is open.
//!
//! Supervisors of any user look at it (`ConditionPathExists=!`, `KeepAlive.PathState`,
//! `guardian run`), so everybody may read it. Whether a gateway may start never hangs on what is in
//! it: a lock that cannot be read locks like any other.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::sys::durable::{self, WriteError};
use crate::sys::paths::{Paths, PathsError};
use crate::sys::trusted;
use crate::trip::Trip;

/// The layout that is written, and the only one that is understood.
const SCHEMA: u32 = 1;
/// The largest lock that is written or read, in bytes.
const LIMIT: usize = 1024 * 1024;
/// As many folders of the lock's name are kept aside.
const ASIDE: u32 = 16;

/// What the lock file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It is not there, and nobody but root and the user of this Guardian could have taken it away.
    Absent,
    /// It holds the circuit open for this reason.
    Held(Box<Trip>),
    /// Something is there, or it cannot be told; this is why.
    Damaged(String),
}

/// Why the lock was not written or not taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// The disk refuses.
    #[error("the lock cannot be written or removed")]
    Disk(#[from] WriteError),
    /// A folder is in its place.
    #[error("{path} is a folder, and it cannot be moved out of the way")]
    Folder {
        /// The lock's path.
        path: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The trip cannot be put into JSON.
    #[error("the trip cannot be written down")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: u32,
    #[serde(flatten)]
    trip: Trip,
}

/// Writes the lock, so that it survives a crash of the machine. Whatever is there is replaced; a
/// folder is moved aside.
pub(crate) fn write(paths: &Paths, trip: &Trip) -> Result<(), LockError> {
    let bytes = encode(trip)?;
    // Somebody may have taken the folder away. If it cannot be made, writing says so.
    let _ = paths.prepare();
    let path = paths.lock();
    move_folder_aside(&path)?;
    Ok(durable::replace(&path, &bytes, 0o644)?)
}

/// Reads the lock.
pub(crate) fn read(paths: &Paths) -> Lock {
    match paths.trusted_state() {
        Ok(_) => {}
        Err(PathsError::Unusable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Lock::Absent;
        }
        Err(failure) => return Lock::Damaged(failure.to_string()),
    }
    match trusted::read_bounded(&paths.lock(), LIMIT as u64) {
        Ok(bytes) => parse(&bytes),
        Err(failure) if failure.is_absent() => Lock::Absent,
        Err(failure) => Lock::Damaged(failure.to_string()),
    }
}

/// Whether the circuit is locked open. When in doubt it is.
pub(crate) fn is_locked(paths: &Paths) -> bool {
    read(paths) != Lock::Absent
}

/// Takes the lock away, so that it does not come back when the machine crashes.
pub(crate) fn remove(paths: &Paths) -> Result<(), LockError> {
    let path = paths.lock();
    move_folder_aside(&path)?;
    Ok(durable::remove(&path)?)
}

fn encode(trip: &Trip) -> Result<Vec<u8>, serde_json::Error> {
    let mut file = File { schema: SCHEMA, trip: trip.clone() };
    loop {
        let mut bytes = serde_json::to_vec_pretty(&file)?;
        bytes.push(b'\n');
        // The gravest findings come first; a lock without the others is better than none.
        if bytes.len() <= LIMIT || file.trip.findings.pop().is_none() {
            return Ok(bytes);
        }
    }
}

fn parse(bytes: &[u8]) -> Lock {
    match serde_json::from_slice::<File>(bytes) {
        Ok(File { schema: SCHEMA, trip }) => Lock::Held(Box::new(trip)),
        Ok(File { schema, .. }) => Lock::Damaged(format!("the lock has the unknown schema {schema}")),
        Err(failure) => Lock::Damaged(format!("the lock is not understood: {failure}")),
    }
}

/// A folder cannot be replaced by a file; it gets another name.
fn move_folder_aside(path: &Path) -> Result<(), LockError> {
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    let aside = (1..=ASIDE)
        .map(|number| path.with_extension(format!("lock.aside-{number}")))
        .find(|aside| fs::symlink_metadata(aside).is_err());
    let moved = match aside {
        Some(aside) => fs::rename(path, aside).and_then(|()| durable::sync_folder_of(path)),
        None => Err(io::ErrorKind::AlreadyExists.into()),
    };
    moved.map_err(|cause| LockError::Folder { path: path.display().to_string(), cause })
}

#[cfg(test)]
mod tests;
