//! What can be said without a daemon: whether a lock was left, and what the policy says.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::{AllowanceStatus, Daemon, Status};
use crate::breaker::state::Circuit;
use crate::config::{Config, Mode};
use crate::memory::{self, Recall};
use crate::sys::paths::Paths;

/// Whether the lock is there, without a look into it: while anything of that name is there, and also
/// when it cannot be told, the circuit is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockPresence {
    /// There is none.
    Absent,
    /// There is one, since then if its time can be told.
    There(Option<Timestamp>),
    /// It cannot be told; a sentence says why.
    Unknown(String),
}

impl LockPresence {
    /// Of one Guardian.
    pub(crate) fn of(paths: &Paths) -> Self {
        let lock = paths.lock();
        match fs::symlink_metadata(&lock) {
            Ok(metadata) => {
                let since = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
                Self::There(since)
            }
            Err(none) if none.kind() == io::ErrorKind::NotFound => Self::Absent,
            Err(cause) => Self::Unknown(format!(
                "it cannot be told whether the lock {} is there: {cause}",
                lock.display()
            )),
        }
    }

    /// The first of several that is not absent.
    pub(crate) fn first_of(places: &[Paths]) -> Self {
        places.iter().map(Self::of).find(|lock| *lock != Self::Absent).unwrap_or(Self::Absent)
    }
}

/// The status where no daemon answers (`daemon` is absent) or none that makes sense (stale).
pub(crate) fn status(places: &[Paths], config: Option<&Path>, daemon: Daemon, now: Timestamp) -> Status {
    let lock = LockPresence::first_of(places);
    let locked = lock != LockPresence::Absent;
    let (breaker, since, doubt) = match lock {
        LockPresence::Absent => remembered(places),
        LockPresence::There(since) => (Circuit::Open, since, None),
        LockPresence::Unknown(why) => (Circuit::Open, None, Some(why)),
    };
    let mut status = Status::new(breaker, since, Mode::Enforce, daemon);
    status.locked = locked;
    status.degraded.push("nothing is watched, and an exposure would not be blocked".to_owned());
    status.degraded.extend(doubt);
    match Config::load(config) {
        Ok(config) => {
            status.mode = config.settings.mode;
            status.allowances = AllowanceStatus::in_force(&config.settings.allowance, now);
        }
        Err(unusable) => status.degraded.push(unusable.brief()),
    }
    status
}

/// What a daemon would go on from, where there is no lock. A memory that this user may not read says
/// nothing.
fn remembered(places: &[Paths]) -> (Circuit, Option<Timestamp>, Option<String>) {
    let readable = places.iter().find(|paths| fs::File::open(paths.breaker()).is_ok());
    match readable.map(memory::recall) {
        Some(Recall::Known(memory)) if memory.circuit == Circuit::Closed => {
            (Circuit::Closed, Some(memory.since), None)
        }
        Some(Recall::Known(memory)) => (Circuit::Open, Some(memory.since), None),
        Some(Recall::Damaged(why)) => (Circuit::Open, None, Some(why)),
        Some(Recall::FirstStart) | None => (Circuit::Closed, None, None),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_lock_in_any_form_counts_as_open_and_so_does_one_that_cannot_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths { state: folder.path().to_owned(), runtime: folder.path().join("run") };
        assert_eq!(LockPresence::of(&paths), LockPresence::Absent);
        fs::write(paths.lock(), "").unwrap();
        assert!(matches!(LockPresence::of(&paths), LockPresence::There(Some(_))));
        fs::remove_file(paths.lock()).unwrap();
        fs::create_dir(paths.lock()).unwrap();
        assert!(matches!(LockPresence::of(&paths), LockPresence::There(_)));
        fs::remove_dir(paths.lock()).unwrap();
        symlink("/nonexistent", paths.lock()).unwrap();
        assert!(matches!(LockPresence::of(&paths), LockPresence::There(_)), "a link into nowhere");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let odd = Paths { state: file, runtime: folder.path().to_owned() };
        assert!(matches!(LockPresence::of(&odd), LockPresence::Unknown(_)));
    }

    #[test]
    fn one_lock_among_several_places_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let state = folder.path().join(name);
            fs::create_dir(&state).unwrap();
            Paths { runtime: state.join("run"), state }
        };
        let places = [place("own"), place("machine")];
        assert_eq!(LockPresence::first_of(&places), LockPresence::Absent);
        fs::write(places[1].lock(), "junk").unwrap();
        assert!(matches!(LockPresence::first_of(&places), LockPresence::There(_)));
    }
}
