//! The lines of the undo journal.

use serde::{Deserialize, Serialize};

use super::Change;

/// The layout that is written, and the only one that is understood.
const SCHEMA: u32 = 1;
/// As many damaged lines are told of.
const DAMAGED: usize = 100;

/// What was done about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Did {
    /// It will be made.
    Will,
    /// It has been taken back.
    Undone,
}

#[derive(Serialize, Deserialize)]
struct Entry<C> {
    schema: u32,
    did: Did,
    change: C,
}

/// What all lines come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Changes that have not been taken back, the oldest first.
    pub(super) open: Vec<Change>,
    /// Numbers of lines that are not understood, from 1; the first hundred.
    pub(super) damaged: Vec<usize>,
}

/// The line for a change, its newline included.
pub(super) fn encode(did: Did, change: &Change) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&Entry { schema: SCHEMA, did, change })?;
    line.push(b'\n');
    Ok(line)
}

/// Reads all lines. A line that is not understood changes nothing about the others.
pub(super) fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let entry = serde_json::from_slice::<Entry<Change>>(line).ok();
        match entry.filter(|entry| entry.schema == SCHEMA) {
            Some(Entry { did: Did::Undone, change, .. }) => read.open.retain(|open| *open != change),
            Some(Entry { did: Did::Will, change, .. }) if read.open.contains(&change) => {}
            Some(Entry { did: Did::Will, change, .. }) => read.open.push(change),
            None if read.damaged.len() < DAMAGED => read.damaged.push(index + 1),
            None => {}
        }
    }
    read
}
