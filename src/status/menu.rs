//! The status for a menu bar: the format that `SwiftBar` and xbar read.
//!
//! A line's text ends at the first bar; what follows it is parameters, which may name a command to run.
//! So no bar and no line end of anybody's gets through.

use std::fmt::Write;

use guardian_rules::verdict::Verdict;
use jiff::Timestamp;

use super::page::{ago, lead, next_steps};
use super::{Daemon, Status};
use crate::breaker::state::Circuit;

/// Findings shown of a trip.
const FEW: usize = 6;

/// The menu at an instant.
pub(crate) fn menu(status: &Status, now: Timestamp) -> String {
    let (word, sentence) = lead(status);
    let (symbol, colour) = match (status.daemon, status.breaker) {
        (Daemon::Running, Circuit::Closed) if status.verdict == Some(Verdict::Safe) => {
            ("checkmark.shield", "green")
        }
        (Daemon::Running, Circuit::Closed | Circuit::HalfOpen) => ("exclamationmark.shield", "orange"),
        _ => ("xmark.shield", "red"),
    };
    let mut menu = format!("{} | sfimage={symbol} color={colour}\n---\n", plain(word));
    // Writing into a string cannot fail.
    let mut line = |text: &str| writeln!(menu, "{}", plain(text));
    let _ = line(&sentence);
    if let Some(since) = status.since {
        let _ = line(&format!("Since {}", ago(since, now)));
    }
    if let Some(doubt) = status.doubt.as_ref().filter(|_| status.daemon == Daemon::Running) {
        for finding in doubt.findings.iter().take(FEW) {
            let _ = line(&format!("It cannot be told: {}: {}", finding.rule, finding.subject));
        }
        let _ = line(&doubt.outcome(now));
    }
    if let Some(trip) = &status.trip {
        for finding in trip.findings.iter().take(FEW) {
            let _ = line(&format!("{}: {}", finding.rule, finding.subject));
        }
    }
    for missing in &status.degraded {
        let _ = line(missing);
    }
    for step in next_steps(status) {
        let _ = line(&format!("Type: {step}"));
    }
    menu.push_str("---\nRefresh | refresh=true\n");
    menu
}

/// Text that is nothing but text there: a line that begins with two dashes would be a submenu.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() || c == '|' { ' ' } else { c }).collect();
    let text = text.trim();
    if text.starts_with("--") { format!(" {text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::doubt::Doubt;

    fn status(circuit: Circuit) -> Status {
        Status::new(circuit, None, Mode::Enforce, Daemon::Running)
    }

    #[test]
    fn the_first_line_says_how_it_is() {
        for (status, symbol) in [
            (
                Status { verdict: Some(Verdict::Safe), ..status(Circuit::Closed) },
                "checkmark.shield color=green",
            ),
            (status(Circuit::Closed), "exclamationmark.shield color=orange"),
            (status(Circuit::HalfOpen), "exclamationmark.shield color=orange"),
            (status(Circuit::Open), "xmark.shield color=red"),
            (Status { daemon: Daemon::Absent, ..status(Circuit::Closed) }, "xmark.shield color=red"),
        ] {
            let menu = menu(&status, Timestamp::UNIX_EPOCH);
            let first = menu.lines().next().unwrap();
            assert!(first.ends_with(&format!("| sfimage={symbol}")), "{menu}");
            assert_eq!(menu.lines().nth(1), Some("---"));
        }
    }

    #[test]
    fn what_is_doubtful_is_said_with_how_long_there_is_for_it() {
        let opens = Some(Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(8));
        let doubt = Doubt { since: Timestamp::UNIX_EPOCH, opens, findings: Vec::new() };
        let status = Status { doubt: Some(doubt), ..status(Circuit::Closed) };
        let menu = menu(&status, Timestamp::UNIX_EPOCH);
        assert!(
            menu.contains("\nThe circuit opens in about 8 seconds, unless it can be told by then.\n"),
            "{menu}"
        );
    }

    #[test]
    fn a_programs_name_is_no_command_to_run() {
        assert_eq!(plain("nginx | bash=/bin/evil\nterminal=false"), "nginx   bash=/bin/evil terminal=false");
        assert_eq!(plain("---\n"), " ---");
        let mut open = status(Circuit::Open);
        open.degraded.push("a | bash=/bin/evil".to_owned());
        let menu = menu(&open, Timestamp::UNIX_EPOCH);
        assert!(menu.contains("a   bash=/bin/evil\n"), "{menu}");
        let parameters = menu.lines().filter_map(|line| line.split_once('|')).map(|(_, it)| it.trim());
        assert!(parameters.clone().all(|it| it.starts_with("sfimage=") || it == "refresh=true"), "{menu}");
    }
}
