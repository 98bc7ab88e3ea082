//! Adds to the journal.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::JournalError;
use super::files;
use super::line::{self, Entry, GENESIS, TORN};
use crate::breaker::state::Circuit;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::Paths;

/// The journal, to be added to.
#[derive(Debug)]
pub(crate) struct Journal {
    paths: Paths,
    end: End,
    /// The file that was written last, and its size in bytes.
    open: Option<(File, u64)>,
}

/// How the journal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    /// The number of the next entry.
    next: u64,
    /// The hash of the last line.
    prev: String,
    /// The last line is no entry or is not ended: its size in bytes, and whether it is ended.
    torn: Option<(usize, bool)>,
}

impl Journal {
    /// The journal of these folders. Nothing is looked at before the first entry, which finds its end, and makes
    /// the file; what cannot be used then is tried again by the next one.
    pub(crate) fn of(paths: &Paths) -> Self {
        Self { paths: paths.clone(), end: End::of(&[]), open: None }
    }

    /// Writes down what happened, and waits until it is on the disk.
    ///
    /// After an error nothing or a part of it is there; the next entry begins a new line.
    pub(crate) fn record(
        &mut self,
        now: Timestamp,
        circuit: Circuit,
        what: &str,
        about: Value,
    ) -> Result<(), JournalError> {
        let open = self.open.take().filter(|(file, size)| is_current(&self.paths, file, *size));
        let (mut file, mut size) = match open {
            Some(open) => open,
            None => self.reopen()?,
        };
        let mut end = self.end.clone();
        let mut text = Vec::new();
        if let Some((bytes, _)) = self.end.torn {
            end.add(&mut text, now, circuit, TORN, json!({ "bytes": bytes }))?;
        }
        end.add(&mut text, now, circuit, what, about)?;
        if size > 0 && size + text.len() as u64 > files::ROTATE {
            files::rotate(&self.paths)?;
            (file, size) = (durable::open_append(&self.paths.journal(), 0o600)?, 0);
        } else if size > 0 && matches!(self.end.torn, Some((_, false))) {
            text.insert(0, b'\n');
        }
        durable::append(&file, &text)
            .map_err(|cause| WriteError::unwritable(&self.paths.journal(), cause))?;
        self.end = end;
        self.open = Some((file, size + text.len() as u64));
        Ok(())
    }

    /// The file may have been moved, taken away, torn, or written by somebody else.
    fn reopen(&mut self) -> Result<(File, u64), JournalError> {
        self.end = End::of(&files::newest(&self.paths)?);
        let path = self.paths.journal();
        let file = durable::open_append(&path, 0o600)?;
        let size = file.metadata().map_err(|cause| WriteError::unwritable(&path, cause))?.len();
        Ok((file, size))
    }
}

impl End {
    fn of(bytes: &[u8]) -> Self {
        let mut lines = line::split(bytes).rev();
        let Some(last) = lines.next() else {
            return Self { next: 1, prev: GENESIS.to_owned(), torn: None };
        };
        let entry = line::decode(last.bytes);
        let whole = last.ended && entry.is_some();
        let number =
            entry.or_else(|| lines.find_map(|line| line::decode(line.bytes))).map_or(0, |entry| entry.n);
        Self {
            next: number.saturating_add(1),
            prev: line::hash(last.bytes),
            torn: (!whole).then_some((last.bytes.len(), last.ended)),
        }
    }

    fn add(
        &mut self,
        text: &mut Vec<u8>,
        at: Timestamp,
        circuit: Circuit,
        what: &str,
        about: Value,
    ) -> Result<(), serde_json::Error> {
        let prev = std::mem::take(&mut self.prev);
        let line = line::encode(Entry { n: self.next, at, what: what.to_owned(), circuit, about, prev })?;
        self.prev = line::hash(line.trim_ascii_end());
        self.next = self.next.saturating_add(1);
        self.torn = None;
        text.extend(line);
        Ok(())
    }
}

/// It is still the file under the journal's name, and as long as this writer left it.
fn is_current(paths: &Paths, file: &File, size: u64) -> bool {
    let (Ok(named), Ok(open)) = (fs::symlink_metadata(paths.journal()), file.metadata()) else {
        return false;
    };
    (named.dev(), named.ino()) == (open.dev(), open.ino()) && open.len() == size
}
