//! The files of the journal: the one that is written, and those before it.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::JournalError;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::{Paths, PathsError};
use crate::sys::trusted::{self, TrustError};

/// A file does not grow beyond this, in bytes.
pub(super) const ROTATE: u64 = 4 * 1024 * 1024;
/// The largest file that is read, in bytes.
const LIMIT: u64 = 2 * ROTATE;
/// As many files are kept beside the one that is written.
const KEPT: usize = 4;

/// A file of the journal as it was at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
    /// Older ones may have gone.
    pub(super) oldest: bool,
}

/// The files of the journal, the newest first, whether or not they are there.
pub(crate) fn names(paths: &Paths) -> Vec<PathBuf> {
    let current = paths.journal();
    let rotated = (1..=KEPT).map(|number| current.with_extension(format!("{number}.jsonl")));
    std::iter::once(current.clone()).chain(rotated).collect()
}

/// All files that are there, the oldest first.
///
/// They are read from the newest to the oldest, the way in which a writer moves them, so that none
/// slips by; one that is met again under its next name is known by its inode.
pub(super) fn snapshot(paths: &Paths) -> Result<Vec<Part>, JournalError> {
    let absent = || JournalError::Absent(paths.state.display().to_string());
    match paths.trusted_state() {
        Ok(_) => {}
        Err(PathsError::Unusable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(absent());
        }
        Err(failure) => return Err(failure.into()),
    }
    let mut parts = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, path) in names(paths).into_iter().enumerate() {
        let file = match trusted::open(&path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(failure) if failure.is_absent() => continue,
            Err(failure) => return Err(failure.into()),
        };
        let metadata = file
            .metadata()
            .map_err(|cause| TrustError::Unreadable { path: path.display().to_string(), cause })?;
        if seen.insert((metadata.dev(), metadata.ino())) {
            let bytes = trusted::read_to_end(&file, &path, LIMIT)?;
            parts.push(Part { name: name(&path), bytes, oldest: number == KEPT });
        }
    }
    parts.reverse();
    if parts.is_empty() { Err(absent()) } else { Ok(parts) }
}

/// What the newest file holds that is not empty; nothing if there is none.
pub(super) fn newest(paths: &Paths) -> Result<Vec<u8>, JournalError> {
    for path in names(paths) {
        match trusted::read_bounded(&path, LIMIT) {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => return Ok(bytes),
            Err(failure) if failure.is_absent() => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(Vec::new())
}

/// Gives every file the next name, up to the first that is free; the oldest goes if none is. A crash
/// in between leaves a free name, and the next rotation uses it.
pub(super) fn rotate(paths: &Paths) -> Result<(), WriteError> {
    let names = names(paths);
    let free = names.iter().position(|path| fs::symlink_metadata(path).is_err()).unwrap_or(KEPT);
    let moves: Vec<_> = names.iter().zip(names.iter().skip(1)).take(free).collect();
    for (from, to) in moves.into_iter().rev() {
        fs::rename(from, to).map_err(|cause| WriteError::unwritable(to, cause))?;
    }
    let current = paths.journal();
    durable::sync_folder_of(&current).map_err(|cause| WriteError::unwritable(&current, cause))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
