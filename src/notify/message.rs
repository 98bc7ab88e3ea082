//! What a person is told: a title, a few short lines, and what to type next.
//!
//! Evidence is not quoted: it may be long, and it may say more than a locked screen should show.

use guardian_rules::catalog;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Stamped, words};
use crate::breaker::effect::Notice;
use crate::trip::{Cause, Evidence, Trip};

/// The longest reason, in characters.
const REASON: usize = 160;
/// The longest subject within a line.
const SUBJECT: usize = 60;

/// A message for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// One line.
    pub(crate) title: String,
    /// A few lines.
    pub(crate) body: String,
    /// How much it matters.
    pub(crate) urgency: Urgency,
    /// The same for all that is said of one trip, and for nothing else.
    pub(crate) key: String,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Urgency {
    /// Good to know.
    Normal,
    /// Somebody has to act.
    Critical,
}

/// How much a notice matters.
pub(crate) fn urgency(notice: &Notice) -> Urgency {
    match notice {
        Notice::Tripped(_) | Notice::News(_) | Notice::WouldTrip(_) => Urgency::Critical,
        // What is not settled in time is told again, as a trip.
        Notice::Doubt(_) | Notice::Recovering(_) | Notice::Closed(_) => Urgency::Normal,
        Notice::PolicyRefused(_) => Urgency::Critical,
    }
}

/// The key of a notice: the trip's id. A recovery and its end have their own, by their time, and so has a time in
/// which something is doubtful.
pub(crate) fn key(stamped: &Stamped) -> String {
    match &stamped.notice {
        Notice::Tripped(trip) | Notice::News(trip) | Notice::WouldTrip(trip) => words::clean(&trip.id, 64),
        Notice::Doubt(doubt) => format!("in doubt {}", doubt.since),
        Notice::Recovering(_) => format!("recovering {}", stamped.at),
        Notice::Closed(_) => format!("closed {}", stamped.at),
        Notice::PolicyRefused(_) => format!("policy refused {}", stamped.at),
    }
}

/// How much a notice knows. One that knows no more than another of its key is a repetition.
pub(crate) fn weight(notice: &Notice) -> usize {
    match notice {
        Notice::Tripped(trip) | Notice::News(trip) | Notice::WouldTrip(trip) => {
            trip.findings.len().saturating_add(1)
        }
        Notice::Doubt(doubt) => doubt.findings.len().saturating_add(1),
        Notice::Recovering(_) | Notice::Closed(_) | Notice::PolicyRefused(_) => 1,
    }
}

/// The message of a notice on a host; `count` of its key have come so far, this one too.
pub(crate) fn message(stamped: &Stamped, host: &str, count: u32) -> Message {
    let at = time(stamped.at);
    let (title, mut lines) = match &stamped.notice {
        Notice::Tripped(trip) => {
            let mut lines = what(trip, trip.findings.first());
            lines.push(format!("Since {}. Guardian keeps it blocked until you recover.", time(trip.at)));
            (format!("Gateway blocked on {host}"), lines)
        }
        Notice::News(trip) => {
            let mut lines = what(trip, trip.findings.last());
            lines.push(format!("Blocked since {}. {count} reports so far.", time(trip.at)));
            (format!("More was found on {host}"), lines)
        }
        Notice::WouldTrip(trip) => {
            let title = match trip.cause {
                Cause::Blind => format!("Guardian cannot see enough on {host}"),
                Cause::Exposed | Cause::Asked | Cause::Damaged | Cause::Expired => {
                    format!("Gateway exposed on {host}, NOT blocked")
                }
            };
            let mut lines = what(trip, trip.findings.first());
            lines.push(format!("Since {at}. Guardian only observes: it would have blocked it."));
            (title, lines)
        }
        Notice::Doubt(doubt) => {
            let first = doubt.findings.first().map(|it| format!("This cannot be told: {}", found(it)));
            let mut lines: Vec<String> = first.into_iter().collect();
            lines.extend(more(doubt.findings.len().saturating_sub(1)));
            lines.push(doubt.outcome(stamped.at));
            (format!("Guardian cannot see enough on {host}"), lines)
        }
        Notice::Recovering(by) => (
            format!("Recovery began on {host}"),
            vec![format!("{} began it at {at}. Only this machine is let in.", name(by))],
        ),
        Notice::Closed(by) => (
            format!("Back to normal on {host}"),
            vec![format!("{} ended the recovery at {at}. Allowed clients get through again.", name(by))],
        ),
        // What is wrong with it may quote it.
        Notice::PolicyRefused(_) => (
            format!("Guardian's policy is refused on {host}"),
            vec![format!("It started at {at} without it, by the last one that was in force, or by none.")],
        ),
    };
    if count > 1 && matches!(stamped.notice, Notice::Tripped(_) | Notice::WouldTrip(_)) {
        lines.push(format!("{count} reports so far."));
    }
    lines.push("Type: guardian status".to_owned());
    Message {
        title: words::clean(&title, 100),
        body: lines.join("\n"),
        urgency: urgency(&stamped.notice),
        key: key(stamped),
    }
}

/// What is wrong, and where; the other findings are counted.
fn what(trip: &Trip, shown: Option<&Evidence>) -> Vec<String> {
    let many = trip.findings.len();
    let (why, others) = match (trip.cause, shown) {
        (Cause::Exposed, Some(finding)) => (found(finding), many.saturating_sub(1)),
        (Cause::Exposed, None) | (Cause::Blind | Cause::Asked, _) => (sentence(&trip.why), many),
        (Cause::Damaged, _) => {
            ("Guardian's own record is missing or damaged, so nothing is let in.".to_owned(), many)
        }
        (Cause::Expired, _) => ("The recovery was not finished in time.".to_owned(), many),
    };
    std::iter::once(why).chain(more(others)).collect()
}

fn more(others: usize) -> Option<String> {
    match others {
        0 => None,
        1 => Some("And one more finding.".to_owned()),
        many => Some(format!("And {many} more findings.")),
    }
}

fn found(finding: &Evidence) -> String {
    let subject = words::clean(&finding.subject, SUBJECT);
    match catalog::rule(&finding.rule) {
        Some(rule) => format!("{}: {subject}", rule.title.trim_end_matches('.')),
        None => format!("{} at {subject}", words::clean(&finding.rule, SUBJECT)),
    }
}

/// Text as a sentence of its own.
fn sentence(text: &str) -> String {
    let text = words::clean(text, REASON);
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

fn name(by: &str) -> String {
    let name = words::clean(by, 40);
    if name.is_empty() { "Somebody".to_owned() } else { name }
}

/// A time of day. The zone is said, for a message may be read elsewhere.
fn time(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

#[cfg(test)]
pub(super) mod tests;
