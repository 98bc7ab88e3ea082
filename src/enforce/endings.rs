//! The processes that are being ended, written down before the first signal.
//!
//! The children of a process that has ended cannot be told from anybody else's. So a watcher that is
//! killed between the polite signal and the hard one leaves word of them to the next. Nothing waits
//! for the disk here: after a reboot there is nobody left to end.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::barrier::process;
use crate::barrier::{Held, Identity};
use crate::sys::clock;
use crate::sys::crash;
use crate::sys::durable::{self, WriteError};
use crate::sys::trusted;

/// The largest record that is read, in bytes. Eight ends of some thousand processes are less.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Why processes that are to end could not be written down.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndingsError {
    /// The disk refuses.
    #[error("the processes that are to end cannot be written down")]
    Disk(#[from] WriteError),
    /// They cannot be put into JSON.
    #[error("the processes that are to end cannot be put into JSON")]
    Json(#[from] serde_json::Error),
}

/// The record, as the threads that end processes share it.
#[derive(Debug, Clone)]
pub(super) struct Endings(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    path: PathBuf,
    processes: BTreeSet<Identity>,
    /// They are written down as they are known here.
    written: bool,
}

/// Numbers and births mean something in one boot only.
#[derive(Serialize, Deserialize)]
struct File {
    boot: Option<String>,
    processes: BTreeSet<Identity>,
}

impl Endings {
    /// What an earlier watcher of this boot has begun, and a sentence if that cannot be read.
    pub(super) fn open(path: PathBuf) -> (Self, Option<String>) {
        let (processes, amiss) = match read(&path) {
            Ok(processes) => (processes, None),
            Err(why) => (
                BTreeSet::new(),
                Some(format!("{}, which names processes that were being ended, {why}", path.display())),
            ),
        };
        (Self(Arc::new(Mutex::new(Known { path, processes, written: true }))), amiss)
    }

    /// Writes down who is about to be ended.
    pub(super) fn add<'a>(&self, processes: impl Iterator<Item = &'a Identity>) -> Result<(), EndingsError> {
        let mut known = self.known();
        let before = known.processes.len();
        known.processes.extend(processes.cloned());
        if known.written && known.processes.len() == before {
            return Ok(());
        }
        crash::point("endings-before");
        let written = known.write();
        crash::point("endings-after");
        written
    }

    /// Those that have not ended yet. Those that have are forgotten.
    pub(super) fn left(&self) -> BTreeSet<Identity> {
        let mut known = self.known();
        let before = known.processes.len();
        known.processes.retain(|it| process::gone(it) != Held::Yes);
        if (!known.written || known.processes.len() != before)
            && let Err(failed) = known.write()
        {
            tracing::warn!(%failed, "the record of ended processes cannot be renewed");
        }
        known.processes.clone()
    }

    /// Nobody is to be ended any more.
    pub(super) fn clear(&self) {
        let mut known = self.known();
        known.processes.clear();
        if let Err(failed) = known.write() {
            tracing::warn!(%failed, "the record of ended processes cannot be removed");
        }
    }

    /// What is in there is whole after every call, whoever panicked.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn write(&mut self) -> Result<(), EndingsError> {
        self.written = false;
        self.put()?;
        self.written = true;
        Ok(())
    }

    fn put(&self) -> Result<(), EndingsError> {
        if self.processes.is_empty() {
            return match fs::symlink_metadata(&self.path) {
                Err(failure) if failure.kind() == io::ErrorKind::NotFound => Ok(()),
                _ => fs::remove_file(&self.path)
                    .map_err(|cause| WriteError::unwritable(&self.path, cause).into()),
            };
        }
        let file = File { boot: clock::boot_id(), processes: self.processes.clone() };
        Ok(durable::replace_until_reboot(&self.path, &serde_json::to_vec(&file)?, 0o600)?)
    }
}

fn read(path: &std::path::Path) -> Result<BTreeSet<Identity>, String> {
    let bytes = match trusted::read_bounded(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(failure) if failure.is_absent() => return Ok(BTreeSet::new()),
        Err(failure) => return Err(format!("cannot be read: {failure}")),
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|why| format!("is not understood: {why}"))?;
    Ok(if file.boot == clock::boot_id() { file.processes } else { BTreeSet::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_process() -> Identity {
        process::this_one()
    }

    fn gone() -> Identity {
        Identity { pid: u32::MAX, ..this_process() }
    }

    #[test]
    fn the_next_watcher_knows_whom_the_last_one_was_ending_and_forgets_those_that_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ending.json");
        let (endings, amiss) = Endings::open(path.clone());
        assert_eq!((endings.left(), amiss), (BTreeSet::new(), None));
        assert!(!path.exists(), "nothing to write down");
        endings.add([&this_process(), &gone()].into_iter()).unwrap();
        let (next, amiss) = Endings::open(path.clone());
        assert_eq!(amiss, None);
        assert_eq!(next.left(), BTreeSet::from([this_process()]));
        next.clear();
        assert!(next.left().is_empty() && !path.exists());
    }

    #[test]
    fn a_record_of_another_boot_is_nothing_and_one_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ending.json");
        let file = File { boot: Some("another".to_owned()), processes: BTreeSet::from([this_process()]) };
        durable::replace(&path, &serde_json::to_vec(&file).unwrap(), 0o600).unwrap();
        let (endings, amiss) = Endings::open(path.clone());
        assert!(endings.left().is_empty() && amiss.is_none());
        for garbage in [&b"{"[..], b"[]", b"\xff\xfe", b"{\"boot\":1}"] {
            durable::replace(&path, garbage, 0o600).unwrap();
            let (endings, amiss) = Endings::open(path.clone());
            assert!(endings.left().is_empty());
            assert!(amiss.unwrap().contains("ending.json"));
        }
    }

    #[test]
    fn a_disk_that_refuses_is_told_and_the_processes_are_known_all_the_same() {
        let (endings, _) = Endings::open("/proc/self/no-folder/ending.json".into());
        let failed = endings.add([&this_process()].into_iter()).unwrap_err();
        assert!(failed.to_string().contains("cannot be written down"));
        assert_eq!(endings.left(), BTreeSet::from([this_process()]));
    }
}
