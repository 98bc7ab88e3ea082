//! Whether a process may run by something else than what its files say now.

use std::path::Path;

use crate::file::{Stamp, View};

/// Seconds by which a start may be reckoned wrong: the kernel tells when it booted, and when a process started after
/// that, each in whole seconds. A file that is written while its reader starts is no younger.
const MARGIN: i64 = 2;

/// When the youngest of some files was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Age {
    youngest: Option<i64>,
}

impl Age {
    /// One more file.
    pub(crate) fn note(&mut self, stamp: &Stamp) {
        self.youngest = self.youngest.max(Some(stamp.changed()));
    }

    /// One more file or folder, if it is there.
    pub(crate) fn note_at(&mut self, view: &View, path: &Path) {
        if let Some(stamp) = view.stamp(path) {
            self.note(&stamp);
        }
    }

    /// Whether one of them was changed since a process started, in seconds since the epoch.
    #[must_use]
    pub(crate) fn is_after(self, started: u64) -> bool {
        let started = i64::try_from(started).unwrap_or(i64::MAX);
        self.youngest.is_some_and(|changed| changed > started.saturating_add(MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_after_the_start_is_younger_and_what_is_written_at_the_start_is_not() {
        let age = |changed| Age { youngest: Some(changed) };
        for (changed, expected) in [(1, false), (1000, false), (1002, false), (1003, true), (i64::MAX, true)]
        {
            assert_eq!(age(changed).is_after(1000), expected, "{changed}");
        }
        assert!(!Age::default().is_after(0), "no file was read");
        assert!(!age(i64::MAX).is_after(u64::MAX));
    }

    #[test]
    fn a_file_that_is_put_back_with_its_old_time_is_young_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (file, view) = (folder.path().join("frpc.toml"), View::own().unwrap());
        std::fs::write(&file, "").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        let mut age = Age::default();
        age.note_at(&view, &file);
        assert!(age.is_after(1_000_000));
        age.note_at(&view, &folder.path().join("none"));
        assert!(age.is_after(1_000_000));
    }
}
