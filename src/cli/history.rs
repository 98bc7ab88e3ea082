//! `guardian history`: what happened, and whether the journal still says what was written.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{Failure, Folders, answer, answer_json};
use crate::journal::{self, Entry, JournalError, Verified};
use crate::status::AllowanceStatus;
use crate::sys::paths::{Paths, PathsError};
use crate::{exit, page};

/// Columns of what there is to say about an entry.
const ABOUT: usize = 60;
/// The same about an allowance: its reason is the owner's own, and stands last.
const ALLOWANCE: usize = 120;
/// The same about a doubt: it ends with what to type.
const DOUBT: usize = 300;

/// The options of `guardian history`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON, one entry a line
    #[arg(long)]
    json: bool,
    /// Show as many of the newest entries
    #[arg(long, default_value_t = 50, value_name = "N", conflicts_with = "verify")]
    limit: usize,
    /// Say whether any entry was changed, taken out or put in
    #[arg(long)]
    verify: bool,
}

#[derive(Serialize)]
struct Checked<'a> {
    schema: u32,
    holds: bool,
    #[serde(flatten)]
    verified: &'a Verified,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let places = folders.paths()?.to_ask();
    if arguments.verify {
        let verified = first(&places, journal::verify)?;
        if arguments.json {
            answer_json(&Checked { schema: 1, holds: verified.holds(), verified: &verified })?;
        } else {
            answer(&told(&verified))?;
        }
        return Ok(if verified.holds() { exit::OK } else { exit::EXPOSED });
    }
    let entries = first(&places, |paths| journal::read(paths, arguments.limit))?;
    if arguments.json {
        for entry in &entries {
            answer_json(entry)?;
        }
    } else {
        answer(&table(&entries))?;
    }
    Ok(exit::OK)
}

/// What the first place says that has a journal. If none has, the first place is the one to name.
fn first<T>(places: &[Paths], ask: impl Fn(&Paths) -> Result<T, JournalError>) -> Result<T, JournalError> {
    let mut absent = None;
    for paths in places {
        match ask(paths) {
            Err(failure @ JournalError::Absent(_)) => {
                absent.get_or_insert(failure);
            }
            other => return other,
        }
    }
    Err(absent.unwrap_or(JournalError::Folder(PathsError::Homeless)))
}

fn table(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "Nothing has happened yet.\n".to_owned();
    }
    let width = entries.iter().map(|entry| entry.what.chars().count()).max().unwrap_or(0).min(32);
    let mut text = format!("{:<19}  {:<9}  {:<width$}  about\n", "when (UTC)", "circuit", "what");
    for entry in entries {
        let when = entry.at.strftime("%Y-%m-%d %H:%M:%S");
        let what = page::printable(&entry.what);
        let (about, columns) = match serde_json::from_value::<AllowanceStatus>(entry.about.clone()) {
            Ok(allowance) => (allowance.to_string(), ALLOWANCE),
            Err(_) if entry.what == "in doubt" => (in_words(&entry.about), DOUBT),
            Err(_) => (in_words(&entry.about), ABOUT),
        };
        let about = shortened(&page::printable(&about), columns);
        let line = format!("{when}  {:<9}  {what:<width$}  {about}", entry.circuit.as_str());
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn told(verified: &Verified) -> String {
    let mut text = format!("{} in the journal", counted(verified.entries, "entry", "entries"));
    if verified.torn > 0 {
        let _ = write!(text, ", and {} that a crash has torn off", counted(verified.torn, "line", "lines"));
    }
    text.push_str(".\n");
    if verified.holds() {
        text.push_str("The chain holds: no entry was changed, taken out or put in.\n");
        return text;
    }
    text.push_str("The chain is broken: the journal does not say what guardian wrote.\n");
    for it in &verified.breaks {
        let _ = writeln!(text, "  {}, line {}: {}", it.file, it.line, it.why);
    }
    text
}

/// What there is to say about an entry, in a few words: the sentence if there is one, else the
/// values that are no lists of their own.
fn in_words(about: &Value) -> String {
    match about {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => counted(items.len() as u64, "item", "items"),
        Value::Object(members) => {
            if let Some(Value::String(why)) = members.get("why") {
                return why.clone();
            }
            if let Some(Value::String(verdict)) = members.get("verdict") {
                return judged(verdict, members.get("findings"));
            }
            if let Some(Value::Array(keys)) = members.get("changed") {
                let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
                return if keys.is_empty() { "nothing in it".to_owned() } else { keys.join(", ") };
            }
            let words =
                members.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| match value {
                    Value::Object(_) => name.clone(),
                    value => format!("{name}: {}", in_words(value)),
                });
            words.collect::<Vec<_>>().join(", ")
        }
        Value::Bool(_) | Value::Number(_) => about.to_string(),
    }
}

/// A verdict and the gravest of what it rests on.
fn judged(verdict: &str, findings: Option<&Value>) -> String {
    let findings = findings.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = findings.first() else { return verdict.to_owned() };
    let of = |key| first.get(key).and_then(Value::as_str).unwrap_or_default();
    let more = match findings.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{verdict}: {} {}{more}", of("rule"), of("subject"))
}

fn shortened(text: &str, columns: usize) -> String {
    match text.char_indices().nth(columns) {
        None => text.to_owned(),
        Some(_) => text.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::breaker::state::Circuit;
    use crate::journal::Break;

    fn entry(what: &str, about: Value) -> Entry {
        let at = "2026-11-25T08:00:00.123Z".parse().unwrap();
        Entry { n: 1, at, what: what.to_owned(), circuit: Circuit::Open, about, prev: String::new() }
    }

    #[test]
    fn a_person_gets_a_calm_table() {
        let text = table(&[
            entry("started", json!({ "version": "0.1.0", "resumed": null })),
            entry("tripped", json!({ "trip": "x", "why": "bound-beyond-allowed at 0.0.0.0:18789" })),
            entry("rescued", json!({ "taken_back": ["the firewall"], "failed": [] })),
            entry("closed", Value::Null),
            entry("verdict", json!({ "verdict": "safe", "findings": [] })),
            entry(
                "verdict",
                json!({ "verdict": "blind", "findings": [{ "rule": "a", "subject": "b" }, {}] }),
            ),
        ]);
        assert_eq!(
            text,
            "when (UTC)           circuit    what     about\n\
             2026-11-25 08:00:00  open       started  version: 0.1.0\n\
             2026-11-25 08:00:00  open       tripped  bound-beyond-allowed at 0.0.0.0:18789\n\
             2026-11-25 08:00:00  open       rescued  failed: 0 items, taken_back: 1 item\n\
             2026-11-25 08:00:00  open       closed\n\
             2026-11-25 08:00:00  open       verdict  safe\n\
             2026-11-25 08:00:00  open       verdict  blind: a b, and 1 more\n"
        );
    }

    #[test]
    fn what_became_of_an_allowance_is_told_with_what_it_covers_until_when_and_why() {
        let allowance = json!({
            "network": "192.168.1.0/24", "reason": "kiosk in the hall, for the open day",
            "until": "2026-12-31T00:00:00.5Z",
        });
        let text = table(&[
            entry("policy reloaded", json!({ "changed": ["allowance", "patience"] })),
            entry("allowance added", allowance),
            entry(
                "allowance ended",
                json!({ "path": "ngrok", "reason": "r", "until": "2026-11-25T08:00:00Z" }),
            ),
            entry("policy reloaded", json!({ "changed": [] })),
        ]);
        let told: Vec<&str> = text.lines().skip(1).map(|line| &line[32..]).collect();
        assert_eq!(
            told,
            [
                "policy reloaded  allowance, patience",
                "allowance added  192.168.1.0/24 until 2026-12-31T00:00:00Z: kiosk in the hall, for the open day",
                "allowance ended  ngrok until 2026-11-25T08:00:00Z: r",
                "policy reloaded  nothing in it",
            ]
        );
    }

    #[test]
    fn a_doubt_is_told_to_its_end_for_that_is_what_to_type() {
        let why = format!("it cannot be told: {} To do: `guardian allow`.", "a b ".repeat(40));
        let text = table(&[entry("in doubt", json!({ "why": why, "opens": null }))]);
        assert!(text.ends_with("To do: `guardian allow`.\n"), "{text}");
    }

    #[test]
    fn what_is_in_the_journal_cannot_steer_the_terminal_or_fill_it() {
        let about = json!({ "why": format!("\u{1b}[2J{}\n", "é".repeat(500)) });
        let text = table(&[entry("a\u{1b}[0m\nb", about)]);
        assert!(!text.contains('\u{1b}') && text.lines().count() == 2);
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }

    #[test]
    fn a_broken_chain_is_told_with_its_place() {
        let broken =
            Break { file: "journal.jsonl".to_owned(), line: 3, why: "it is not an entry".to_owned() };
        let text = told(&Verified { entries: 1, torn: 2, breaks: vec![broken] });
        assert!(text.starts_with("1 entry in the journal, and 2 lines that a crash has torn off.\n"));
        assert!(text.contains("journal.jsonl, line 3: it is not an entry"), "{text}");
    }
}
