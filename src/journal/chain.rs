//! Follows the chain of hashes.

use serde::Serialize;

use super::files::Part;
use super::line::{self, Entry, GENESIS, TORN};

/// As many breaks are told.
const BREAKS: usize = 100;

/// What there is to say of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verified {
    /// Entries in all files.
    pub(crate) entries: u64,
    /// Lines that a crash or a full disk has torn off.
    pub(crate) torn: u64,
    /// Where the chain does not hold, in order; the first hundred.
    pub(crate) breaks: Vec<Break>,
}

/// A place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Break {
    /// The name of the file.
    pub(crate) file: String,
    /// The line in it, from 1.
    pub(crate) line: usize,
    /// What is wrong, in a sentence.
    pub(crate) why: String,
}

impl Verified {
    /// No line was changed, taken out or put in.
    pub(crate) fn holds(&self) -> bool {
        self.breaks.is_empty()
    }

    fn broken(&mut self, (file, line): (&str, usize), why: impl Into<String>) {
        if self.breaks.len() < BREAKS {
            self.breaks.push(Break { file: file.to_owned(), line, why: why.into() });
        }
    }
}

/// Follows the chain from the oldest line to the newest.
///
/// Lines that are no entries are torn if they are the last ones or the next entry says so; else
/// somebody has been there.
pub(super) fn follow(parts: &[Part]) -> Verified {
    let mut verified = Verified::default();
    let mut before: Option<String> = None;
    let mut number: Option<u64> = None;
    let mut odd: Vec<(&str, usize)> = Vec::new();
    let mut unended = false;
    for part in parts {
        for line in line::split(&part.bytes) {
            let place = (part.name.as_str(), line.number);
            unended = !line.ended;
            if let Some(entry) = line::decode(line.bytes) {
                if entry.what == TORN {
                    verified.torn += odd.len() as u64;
                } else {
                    for place in &odd {
                        verified.broken(*place, "it is not an entry");
                    }
                }
                odd.clear();
                let faults =
                    [wrong_hash(&entry, before.as_deref(), part.oldest), wrong_number(&entry, number)];
                for why in faults.into_iter().flatten() {
                    verified.broken(place, why);
                }
                verified.entries += 1;
                number = Some(entry.n);
            } else {
                odd.push(place);
            }
            before = Some(line::hash(line.bytes));
        }
    }
    verified.torn += if odd.is_empty() { u64::from(unended) } else { odd.len() as u64 };
    verified
}

fn wrong_hash(entry: &Entry, before: Option<&str>, oldest: bool) -> Option<String> {
    match before {
        Some(hash) if entry.prev == hash => None,
        Some(_) => Some("the line before it is not the one that was there when it was written".to_owned()),
        None if entry.n == 1 && entry.prev == GENESIS => None,
        None if entry.n == 1 => Some("it is the first entry and names one before it".to_owned()),
        // What came before has been rotated away.
        None if oldest => None,
        None => Some(format!("the entries before number {} are missing", entry.n)),
    }
}

fn wrong_number(entry: &Entry, before: Option<u64>) -> Option<String> {
    let expected = before?.saturating_add(1);
    (entry.n != expected).then(|| format!("its number is {}, and it should be {expected}", entry.n))
}
