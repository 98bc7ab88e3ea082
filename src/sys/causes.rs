//! What went wrong, with what it came of.

use std::error::Error;
use std::fmt::Write as _;

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing into a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the disk refuses")]
    struct Disk;

    #[derive(Debug, thiserror::Error)]
    #[error("the lock cannot be written")]
    struct Lock(#[source] Disk);

    #[test]
    fn every_cause_is_told_once_the_nearest_first() {
        assert_eq!(chain(&Lock(Disk)), "the lock cannot be written: the disk refuses");
        assert_eq!(chain(&Disk), "the disk refuses");
    }
}
