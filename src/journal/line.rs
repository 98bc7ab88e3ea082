//! One line of the journal.

use std::fmt::Write as _;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::breaker::state::Circuit;

/// The longest line, in bytes, its newline included.
pub(super) const LIMIT: usize = 64 * 1024;
/// The longest name of something that happened, in characters.
const WHAT: usize = 128;
/// What the very first entry carries instead of a hash.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What the entry is called that follows a torn line.
pub(super) const TORN: &str = "torn";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its number; the first is 1.
    pub(crate) n: u64,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What happened.
    pub(crate) what: String,
    /// The state of the circuit then.
    pub(crate) circuit: Circuit,
    /// More about it.
    pub(crate) about: Value,
    /// The SHA-256 of the line before, without its newline, in hexadecimal.
    pub(crate) prev: String,
}

/// A line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    /// What it says, without the newline.
    pub(super) bytes: &'a [u8],
    /// It ends with a newline.
    pub(super) ended: bool,
}

/// The line of an entry, its newline included. What is too long about it is left out, and so is
/// what could not be read again.
pub(super) fn encode(mut entry: Entry) -> Result<Vec<u8>, serde_json::Error> {
    if let Some((end, _)) = entry.what.char_indices().nth(WHAT) {
        entry.what.truncate(end);
    }
    let mut line = serde_json::to_vec(&entry)?;
    if line.len() >= LIMIT || decode(&line).is_none() {
        entry.about = json!({ "note": "left out, for it is too long or too deep", "bytes": line.len() });
        line = serde_json::to_vec(&entry)?;
    }
    line.push(b'\n');
    Ok(line)
}

/// The entry of a line; none if it is not one.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    serde_json::from_slice(line).ok()
}

/// The hash that the next line carries.
pub(super) fn hash(line: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, line).as_ref() {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The lines of a file, from both ends.
pub(super) fn split(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Line<'_>> {
    let ended = bytes.ends_with(b"\n");
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let last = lines.len();
    lines.into_iter().enumerate().map(move |(index, bytes)| {
        let number = index + 1;
        Line { number, bytes, ended: ended || number < last }
    })
}
