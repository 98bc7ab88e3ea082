//! A database that may have been made to exhaust whoever reads it: no larger than its files are, and read up
//! to a bound.

use std::cell::Cell;
use std::io;

use quantydb_sqlite::{Source, SqliteError};

/// A source that gives no more than so many bytes in all.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    /// The most that its files can hold, in bytes: the library makes room for what a size in them says.
    most: u64,
    left: Cell<u64>,
}

impl<S> Bounded<S> {
    /// At most `most` bytes large, of which at most `budget` are given.
    pub(super) fn new(inner: S, most: u64, budget: u64) -> Self {
        Self { inner, most, left: Cell::new(budget) }
    }
}

impl<S: Source> Source for Bounded<S> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SqliteError> {
        let left = u64::try_from(buffer.len()).ok().and_then(|wanted| self.left.get().checked_sub(wanted));
        let left = left.ok_or_else(|| other("there is more in it than devices"))?;
        self.left.set(left);
        self.inner.read_at(offset, buffer)
    }

    fn len(&self) -> Result<u64, SqliteError> {
        let length = self.inner.len()?;
        if length > self.most {
            Err(other("it says that it is larger than its files are"))
        } else {
            Ok(length)
        }
    }

    fn accounts_for_wal(&self) -> bool {
        self.inner.accounts_for_wal()
    }
}

fn other(said: &str) -> SqliteError {
    SqliteError::Io(io::Error::other(said.to_owned()))
}

/// Whether a log is written in pages of the size that the database has: the library makes room for a page of
/// the log's before it compares them. One that is too short to say is none.
pub(super) fn fits(main: &[u8], log: &[u8]) -> bool {
    let Some(size) = main.get(16..18).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()) else { return false };
    // One stands for 65536, which two bytes cannot say (sqlite.org/fileformat2.html, 1.3.2).
    let size = match u16::from_be_bytes(size) {
        1 => 65_536,
        size => u32::from(size),
    };
    match log.get(8..12).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) {
        Some(of_log) => u32::from_be_bytes(of_log) == size,
        None => true,
    }
}
