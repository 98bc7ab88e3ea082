//! The right to act on the host for these folders: one program at a time has it, a daemon or a rescue.
//!
//! It is a lock on files that nobody else can open, held by the kernel for as long as the program
//! lives, stopped or not. Whether somebody answers at the socket would not tell.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::ControlError;
use crate::sys::paths::Paths;
use crate::sys::trusted::{self, TrustError};

/// As much is read of what a holder has written.
const WORD: u64 = 16;

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The watcher.
    Daemon,
    /// What takes back all that a watcher has done.
    Rescue,
}

/// It is held as long as this lives.
#[derive(Debug)]
pub(crate) struct Alone {
    _locks: Vec<File>,
}

impl Alone {
    /// Takes it, or says who has it. The folders have to be there.
    ///
    /// The state is what they would both change; a user's runtime folder depends on how the user
    /// came in. On a disk that cannot be written the runtime folder has to do.
    pub(crate) fn take(paths: &Paths, who: Who) -> Result<Self, ControlError> {
        let mut locks = vec![lock(&paths.runtime.join("daemon.lock"), who)?];
        match lock(&paths.state.join("in-use.lock"), who) {
            Err(ControlError::Untrusted(failed)) if is_refused_by_the_disk(&failed) => {
                tracing::warn!(%failed, "the state folder cannot be locked");
            }
            other => locks.push(other?),
        }
        Ok(Self { _locks: locks })
    }
}

fn lock(path: &Path, who: Who) -> Result<File, ControlError> {
    let mut file = trusted::open(
        path,
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600),
    )?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held_by(&file, path)),
        Err(TryLockError::Error(cause)) => return Err(ControlError::unmade(path)(cause)),
    }
    // It only makes a sentence better.
    let _ = file.set_len(0).and_then(|()| file.write_all(who.word()));
    Ok(file)
}

/// Who holds it, as it has written. One that could not is a daemon.
fn held_by(file: &File, path: &Path) -> ControlError {
    let mut word = Vec::new();
    let _ = file.take(WORD).read_to_end(&mut word);
    if word == Who::Rescue.word() {
        ControlError::Rescuing(path.to_owned())
    } else {
        ControlError::AlreadyRunning(path.to_owned())
    }
}

fn is_refused_by_the_disk(failed: &TrustError) -> bool {
    [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]
        .into_iter()
        .any(|kind| failed.is(kind))
}

impl Who {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Daemon => b"daemon\n",
            Self::Rescue => b"rescue\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::sys::scratch::{Scratch, on_a_read_only_disk};

    fn scratch() -> Scratch {
        let scratch = Scratch::new();
        scratch.paths.prepare().unwrap();
        scratch
    }

    #[test]
    fn one_at_a_time_has_it_and_the_other_is_told_who() {
        let Scratch { paths, .. } = &scratch();
        let daemon = Alone::take(paths, Who::Daemon).unwrap();
        for who in [Who::Daemon, Who::Rescue] {
            assert!(matches!(Alone::take(paths, who), Err(ControlError::AlreadyRunning(_))));
        }
        drop(daemon);
        let rescue = Alone::take(paths, Who::Rescue).unwrap();
        for who in [Who::Daemon, Who::Rescue] {
            assert!(matches!(Alone::take(paths, who), Err(ControlError::Rescuing(_))));
        }
        drop(rescue);
        Alone::take(paths, Who::Daemon).unwrap();
    }

    #[test]
    fn whoever_came_in_another_way_meets_it_in_the_state_folder() {
        let Scratch { paths, .. } = &scratch();
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Paths { runtime: elsewhere.path().to_owned(), state: paths.state.clone() };
        let _daemon = Alone::take(paths, Who::Daemon).unwrap();
        assert!(matches!(Alone::take(&other, Who::Rescue), Err(ControlError::AlreadyRunning(_))));
    }

    #[test]
    fn nobody_else_can_open_the_files_and_links_are_not_followed() {
        let Scratch { paths, .. } = &scratch();
        drop(Alone::take(paths, Who::Daemon).unwrap());
        for file in [paths.runtime.join("daemon.lock"), paths.state.join("in-use.lock")] {
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            let aside = file.with_extension("aside");
            fs::rename(&file, &aside).unwrap();
            symlink(&aside, &file).unwrap();
            assert!(matches!(Alone::take(paths, Who::Daemon), Err(ControlError::Untrusted(_))));
            fs::rename(&aside, &file).unwrap();
        }
    }

    #[test]
    fn what_a_holder_has_not_written_makes_it_a_daemon() {
        let Scratch { paths, .. } = &scratch();
        let _rescue = Alone::take(paths, Who::Rescue).unwrap();
        for word in ["", "res", "rescue\nrescue\nrescue\nrescue\n", "\0"] {
            fs::write(paths.runtime.join("daemon.lock"), word).unwrap();
            let refused = Alone::take(paths, Who::Daemon);
            assert!(matches!(refused, Err(ControlError::AlreadyRunning(_))), "{word:?}");
        }
    }

    #[test]
    fn on_a_disk_that_cannot_be_written_the_runtime_folder_has_to_do() {
        on_a_read_only_disk(|scratch| {
            let elsewhere = tempfile::tempdir().unwrap();
            let paths = Paths { runtime: elsewhere.path().to_owned(), state: scratch.paths.state.clone() };
            let _daemon = Alone::take(&paths, Who::Daemon).unwrap();
            assert!(matches!(Alone::take(&paths, Who::Rescue), Err(ControlError::AlreadyRunning(_))));
        });
    }
}
