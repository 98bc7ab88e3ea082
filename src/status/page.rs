//! The page that `guardian status` prints for people: one line of state, what is wrong, since
//! when, what holds, what is missing, and what to type next.

use std::fmt::Write;
use std::time::Duration;

use anstyle::AnsiColor;
use guardian_rules::verdict::Verdict;
use jiff::Timestamp;

use super::{Daemon, Status, TripStatus};
use crate::age::age;
use crate::barrier::Held;
use crate::breaker::state::{Circuit, Level};
use crate::config::Mode;
use crate::install::typed::Watcher;
use crate::page::{ALLOWED, Style, bold, hang, list, paint, wrap};
use crate::trip::Evidence;

/// Findings shown of a trip; the others are counted.
const FEW: usize = 6;
/// Of a socket that is closed, or a process that has ended: a program may come back.
const GONE: &str = "It is gone; that is yet to be confirmed.";
/// A barrier that nobody has looked at so soon after the trip is on its way.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// The page at an instant.
pub(crate) fn page(status: &Status, now: Timestamp, style: Style) -> String {
    let mut page = String::new();
    let (word, colour, sentence) = headline(status);
    let _ = writeln!(page, "{}  {sentence}", paint(word, colour, style));
    if let Some(since) = status.since {
        let _ = writeln!(page, "Since {} ({}).", second(since), ago(since, now));
    }
    doubt(&mut page, status, now, style);
    if let Some(trip) = &status.trip {
        why(&mut page, trip, style);
        list(&mut page, "What holds", barriers(trip, now), style);
    }
    recovery(&mut page, status, now, style);
    if status.daemon == Daemon::Running && status.breaker == Circuit::Closed {
        list(&mut page, "Gateways", gateways(status), style);
    }
    let warnings = status.warnings.iter().map(|it| {
        let evidence = it.evidence.first().map_or_else(String::new, |first| format!(": {first}"));
        format!("{} [{}]{evidence}. {}", it.subject, it.rule, it.remedy)
    });
    list(&mut page, "Worth knowing", warnings, style);
    at_rest(&mut page, status, style);
    list(&mut page, "What is missing", status.degraded.iter().cloned(), style);
    let allowed = status.allowances.iter().map(ToString::to_string);
    list(&mut page, ALLOWED, allowed, style);
    list(&mut page, "What to type next", next_steps(status).into_iter(), style);
    page
}

/// The one line of state, without colour: for a list of changes.
pub(crate) fn line(status: &Status) -> String {
    let (word, _, sentence) = headline(status);
    let safe = status.half_open.as_ref().filter(|_| status.breaker == Circuit::HalfOpen);
    let safe = safe.map_or_else(String::new, |it| format!(" {} of {} safe rounds.", it.safe, it.wanted));
    let doubt = status.doubt.as_ref().filter(|_| status.daemon == Daemon::Running);
    let opens = doubt.and_then(|it| it.opens).map_or_else(String::new, |at| {
        format!(" The circuit opens at {}, unless all can be told by then.", second(at))
    });
    format!("{word}  {sentence}{safe}{opens}")
}

/// The word for the state, and the sentence that goes with it.
pub(crate) fn lead(status: &Status) -> (&'static str, String) {
    let (word, _, sentence) = headline(status);
    (word, sentence)
}

fn headline(status: &Status) -> (&'static str, AnsiColor, String) {
    let at_rest = match (status.breaker, status.locked) {
        (_, true) => "the lock is there, so no gateway is to be started",
        (Circuit::Closed, false) => "an exposure would go unnoticed",
        (_, false) => "the circuit is open, and its lock is gone: a watcher that starts blocks again",
    };
    match (status.daemon, status.breaker) {
        (Daemon::Absent, _) => ("NO DAEMON", AnsiColor::Red, format!("nobody is watching; {at_rest}.")),
        (Daemon::Stale, _) => {
            let since = status.round_age_ms.map(Duration::from_millis).map_or_else(
                || "does not answer as it should".to_owned(),
                |time| format!("has not looked for {}", age(time)),
            );
            ("STALE", AnsiColor::Red, format!("the daemon {since}; {at_rest}."))
        }
        (Daemon::Running, Circuit::Open) => ("OPEN", AnsiColor::Red, open(status).to_owned()),
        (Daemon::Running, Circuit::HalfOpen) => (
            "HALF-OPEN",
            AnsiColor::Yellow,
            "in recovery: the gateway takes connections from this machine only.".to_owned(),
        ),
        (Daemon::Running, Circuit::Closed) => {
            let (colour, sentence) = closed(status);
            ("CLOSED", colour, sentence.to_owned())
        }
    }
}

fn open(status: &Status) -> &'static str {
    match status.level {
        Some(Level::Stopped) => "the gateway is blocked, and is not to run.",
        Some(Level::Isolated) => "the gateway is blocked: it may run, and nobody is to reach it.",
        None => "the gateway is blocked.",
    }
}

fn closed(status: &Status) -> (AnsiColor, &'static str) {
    match (status.verdict, status.mode) {
        (Some(Verdict::Exposed), Mode::Observe) => {
            (AnsiColor::Red, "a gateway is exposed, and guardian only observes: nothing is blocked.")
        }
        (Some(Verdict::Exposed), Mode::Enforce) => (AnsiColor::Red, "a gateway is exposed."),
        (Some(Verdict::Blind), _) => {
            (AnsiColor::Yellow, "not everything can be seen; the gate is shut until it can.")
        }
        (None, _) => (AnsiColor::Yellow, "nothing has been seen yet; the gate is shut until it has."),
        (Some(Verdict::Safe), Mode::Observe) => (AnsiColor::Green, "safe; guardian only observes."),
        (Some(Verdict::Safe), Mode::Enforce) if !status.armed => {
            (AnsiColor::Yellow, "safe, but an exposure would not be blocked as it should.")
        }
        (Some(Verdict::Safe), Mode::Enforce) => (AnsiColor::Green, "safe, and watched."),
    }
}

fn why(page: &mut String, trip: &TripStatus, style: Style) {
    let _ = writeln!(page, "\n{}", bold("Why it tripped", style));
    let _ = writeln!(page, "{}", wrap(&trip.why, 2));
    for finding in trip.findings.iter().take(FEW) {
        found(page, finding, 4);
        if let Some((mark, said)) = now_to_do(trip, finding) {
            let _ = writeln!(page, "{}", hang(mark, said, 6));
        }
    }
    if trip.findings.len() > FEW {
        let _ = writeln!(page, "    and {} more", trip.findings.len() - FEW);
    }
    let took = [("seen", trip.detect_ms), ("blocked", trip.block_ms)];
    let took: Vec<String> =
        took.iter().filter_map(|(what, ms)| ms.map(|ms| format!("{what} within {ms} ms"))).collect();
    if !took.is_empty() {
        let _ = writeln!(page, "  It was {}.", took.join(" and "));
    }
}

/// What cannot be told, what comes of it, and what to do before it does.
fn doubt(page: &mut String, status: &Status, now: Timestamp, style: Style) {
    let Some(doubt) = status.doubt.as_ref().filter(|_| status.daemon == Daemon::Running) else { return };
    let _ = writeln!(page, "\n{}", bold("What cannot be told", style));
    doubted(page, &doubt.findings);
    let _ = writeln!(page, "{}", wrap(&doubt.outcome(now), 2));
}

/// Findings that cannot be told, and what to do about each.
fn doubted(page: &mut String, findings: &[Evidence]) {
    for finding in findings.iter().take(FEW) {
        found(page, finding, 2);
        if !finding.remedy.is_empty() {
            let _ = writeln!(page, "{}", hang("To do: ", &finding.remedy, 4));
        }
    }
    if findings.len() > FEW {
        let _ = writeln!(page, "  and {} more", findings.len() - FEW);
    }
}

/// A finding: what it is about, and what was seen.
fn found(page: &mut String, finding: &Evidence, indent: usize) {
    let Evidence { rule, subject, evidence, .. } = finding;
    let _ = writeln!(page, "{}", wrap(&format!("{subject} [{rule}]"), indent));
    for line in evidence {
        let _ = writeln!(page, "{}", hang("- ", line, indent + 2));
    }
}

/// What is to be done about a finding of a trip, as things are by now: a mark, and what follows it.
pub(crate) fn now_to_do<'a>(trip: &TripStatus, finding: &'a Evidence) -> Option<(&'static str, &'a str)> {
    let is_gone = trip.gone.contains(&finding.subject);
    match trip.still_finds(finding) {
        Some(true) | None if is_gone => Some(("", GONE)),
        Some(false) => Some(("", "Not seen now.")),
        Some(true) | None if finding.remedy.is_empty() => None,
        Some(true) | None => Some(("To do: ", &finding.remedy)),
    }
}

/// What a gateway that does not run would expose when it starts: nothing is exposed now.
fn at_rest(page: &mut String, status: &Status, style: Style) {
    if status.at_rest.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{}", bold("Before you start a gateway", style));
    doubted(page, &status.at_rest);
}

fn barriers(trip: &TripStatus, now: Timestamp) -> impl Iterator<Item = String> {
    let tripped = Duration::try_from(now.duration_since(trip.at)).unwrap_or_default();
    trip.barriers.iter().map(move |it| {
        let (mark, word) = match it.held {
            Held::Yes => ('✓', "holds"),
            Held::No => ('✗', "does not hold"),
            Held::Unknown if tripped < LOOKED_AT => ('?', "is being put up, and looked at"),
            Held::Unknown => ('?', "cannot be told"),
        };
        format!("{mark} {} {word}", it.barrier.as_str())
    })
}

/// The gateways that run, as they were seen last.
fn gateways(status: &Status) -> impl Iterator<Item = String> {
    let none = status.gateways.is_empty() && status.verdict.is_some();
    let none = none.then(|| "none runs now; one that starts is watched".to_owned());
    status.watched().map(|gateway| gateway.to_string()).chain(none)
}

fn recovery(page: &mut String, status: &Status, now: Timestamp, style: Style) {
    let Some(recovery) = &status.half_open else { return };
    let left = Duration::try_from(recovery.until.duration_since(now)).unwrap_or_default();
    let mut lines = vec![
        format!("{} of {} safe rounds in a row.", recovery.safe, recovery.wanted),
        format!("It has to be closed by {} ({} left).", second(recovery.until), age(left)),
    ];
    if status.gateways.is_empty() {
        lines.push("No gateway runs now, so that nothing was tried. Start it first.".to_owned());
    }
    list(page, "Recovery", lines.into_iter(), style);
    if recovery.in_the_way.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{}", bold("What is in the way", style));
    doubted(page, &recovery.in_the_way);
}

/// What to type next, a command each.
pub(crate) fn next_steps(status: &Status) -> Vec<String> {
    steps(status, Watcher::here())
}

/// The same, for whoever would ask this watcher.
pub(super) fn steps(status: &Status, watcher: Watcher) -> Vec<String> {
    let look = || format!("{} (looks once)", watcher.check());
    match (status.daemon, status.breaker) {
        (Daemon::Absent, _) => {
            let start = watcher.start().map_or_else(
                || "sudo guardian install (watches from now on)".to_owned(),
                |line| format!("{line} (it is installed, and does not run)"),
            );
            vec![start, look()]
        }
        (Daemon::Stale, _) => {
            let over =
                watcher.restart().map(|line| format!("{line} (starts it over; what it has put up stands)"));
            over.into_iter().chain(["guardian doctor".to_owned(), look()]).collect()
        }
        (Daemon::Running, Circuit::Open) => {
            vec!["guardian recover (reviews the configuration first; the owner only)".to_owned()]
        }
        (Daemon::Running, Circuit::HalfOpen) => {
            let ready = status.half_open.as_ref().is_some_and(|it| it.safe >= it.wanted);
            let counts = (!ready).then(|| "guardian status --watch".to_owned());
            counts.into_iter().chain(["guardian close".to_owned()]).collect()
        }
        (Daemon::Running, Circuit::Closed) if status.verdict == Some(Verdict::Safe) => Vec::new(),
        (Daemon::Running, Circuit::Closed) => vec![watcher.check().to_owned()],
    }
}

/// An instant without fractions of a second.
pub(crate) fn second(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago it was.
pub(crate) fn ago(since: Timestamp, now: Timestamp) -> String {
    let ago = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    format!("{} ago", age(ago))
}
