//! The undo journal: what was changed on this host and has to be taken back.
//!
//! Every change is on the disk here before it is made, so that whoever comes after a crash knows of
//! it. It may be that a change is here and was never made: taking it back has to do no harm then.
//! Lines that are not understood hide no others; they are told of and kept.

mod entry;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sys::durable::{self, WriteError};
use crate::sys::paths::Paths;
use crate::sys::trusted::{self, TrustError};
use entry::{Did, Read};

/// The largest undo journal that is written or read, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;
/// From this size on, in bytes, what has been taken back is left out.
const COMPACT: u64 = 256 * 1024;

/// Something that was changed on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "payload")]
pub(crate) enum Change {
    /// The packet filter has rules of Guardian.
    Firewall {
        /// With this the packet filter was enabled, where it takes one (pf).
        token: Option<String>,
    },
    /// A service is not as it was; this is how it was.
    Service(Value),
}

/// The undo journal.
#[derive(Debug)]
pub(crate) struct Undo {
    path: PathBuf,
    /// Changes that have not been taken back, the oldest first.
    open: Vec<Change>,
    /// Numbers of lines that are not understood.
    damaged: Vec<usize>,
}

/// Why the undo journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    /// It cannot be read, or others could have written it.
    #[error("the undo journal cannot be read")]
    Untrusted(#[from] TrustError),
    /// The disk refuses.
    #[error("the undo journal cannot be written")]
    Disk(#[from] WriteError),
    /// It cannot be put into JSON.
    #[error("the change cannot be written down")]
    Json(#[from] serde_json::Error),
    /// There is no end to changes.
    #[error("the undo journal is full ({LIMIT} bytes)")]
    Full,
}

impl Undo {
    /// Reads what is open.
    pub(crate) fn open(paths: &Paths) -> Result<Self, UndoError> {
        let path = paths.undo();
        let bytes = match trusted::read_bounded(&path, LIMIT) {
            Err(failure) if failure.is_absent() => Vec::new(),
            other => other?,
        };
        let Read { open, damaged } = entry::read(&bytes);
        Ok(Self { path, open, damaged })
    }

    /// Writes down that this will be changed. On success it is on the disk, and the change may be
    /// made. What is open already is not written again.
    pub(crate) fn will(&mut self, change: Change) -> Result<(), UndoError> {
        if self.open.contains(&change) {
            return Ok(());
        }
        self.append(Did::Will, &change)?;
        self.open.push(change);
        Ok(())
    }

    /// Writes down that this has been taken back. Nothing is left of the file when all has.
    ///
    /// After an error the change still counts as open: it is taken back once more.
    pub(crate) fn undone(&mut self, change: &Change) -> Result<(), UndoError> {
        let Some(at) = self.open.iter().position(|open| open == change) else { return Ok(()) };
        if self.open.len() == 1 {
            self.keep_damaged()?;
            durable::remove(&self.path)?;
        } else {
            self.append(Did::Undone, change)?;
        }
        self.open.remove(at);
        Ok(())
    }

    /// What has to be taken back, the newest first.
    pub(crate) fn open_changes(&self) -> Vec<Change> {
        self.open.iter().rev().cloned().collect()
    }

    /// Keeps the file with lines that are not understood as `undo.damaged.jsonl`, and goes on without them. What they
    /// stand for is not taken back.
    pub(crate) fn set_damaged_aside(&mut self) -> Result<(), UndoError> {
        if self.damaged.is_empty() {
            return Ok(());
        }
        if self.open.is_empty() {
            self.keep_damaged()?;
            durable::remove(&self.path)?;
            self.damaged.clear();
            return Ok(());
        }
        self.compact()
    }

    fn append(&mut self, did: Did, change: &Change) -> Result<(), UndoError> {
        let line = entry::encode(did, change)?;
        let (mut file, mut size) = self.end()?;
        if size + line.len() as u64 > COMPACT {
            self.compact()?;
            (file, size) = self.end()?;
        }
        let unwritable = |cause| WriteError::unwritable(&self.path, cause);
        let torn = is_torn(&file, size).map_err(unwritable)?;
        let text = if torn { [b"\n".as_slice(), &line].concat() } else { line };
        if size + text.len() as u64 > LIMIT {
            return Err(UndoError::Full);
        }
        Ok(durable::append(&file, &text).map_err(unwritable)?)
    }

    /// The file, and its size in bytes.
    fn end(&self) -> Result<(File, u64), WriteError> {
        let file = durable::open_append(&self.path, 0o600)?;
        let metadata = file.metadata().map_err(|cause| WriteError::unwritable(&self.path, cause))?;
        Ok((file, metadata.len()))
    }

    /// Leaves what is open, and nothing else.
    fn compact(&mut self) -> Result<(), UndoError> {
        let lines: Result<Vec<_>, _> = self.open.iter().map(|open| entry::encode(Did::Will, open)).collect();
        self.keep_damaged()?;
        durable::replace(&self.path, &lines?.concat(), 0o600)?;
        self.damaged.clear();
        Ok(())
    }

    /// Nobody can tell what a damaged line stood for but a person: the file gets a second name.
    fn keep_damaged(&self) -> Result<(), UndoError> {
        if self.damaged.is_empty() {
            return Ok(());
        }
        let kept = kept(&self.path);
        durable::remove(&kept)?;
        match fs::hard_link(&self.path, &kept) {
            Err(failure) if failure.kind() != io::ErrorKind::NotFound => {
                Err(WriteError::unwritable(&kept, failure).into())
            }
            _ => Ok(()),
        }
    }
}

/// Where damaged lines are kept.
fn kept(undo: &Path) -> PathBuf {
    undo.with_extension("damaged.jsonl")
}

/// That damaged lines are kept, until somebody has removed them, and what to type.
pub(crate) fn told_of_damaged(paths: &Paths) -> Option<String> {
    let kept = kept(&paths.undo());
    let sudo = if Uid::effective().is_root() { "sudo " } else { "" };
    fs::symlink_metadata(&kept).is_ok().then(|| {
        format!(
            "undo: lines of the undo journal could not be read, and `guardian rescue` does not take back what they \
             stand for; look at them in {path}, then type: {sudo}rm '{path}'",
            path = kept.display()
        )
    })
}

/// The last line is not ended.
fn is_torn(file: &File, size: u64) -> io::Result<bool> {
    let Some(last) = size.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

#[cfg(test)]
mod tests;
