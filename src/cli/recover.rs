//! `guardian recover`: the first of the two steps back.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use guardian_rules::policy::USUAL_PORT;
use jiff::Timestamp;

use super::{Failure, Folders, answer, confirm, done, runtime, style};
use crate::breaker::effect::Refusal;
use crate::breaker::state::Circuit;
use crate::config::Config;
use crate::control::ControlError;
use crate::control::client::Client;
use crate::control::protocol::{Ask, Reply};
use crate::exit;
use crate::page::{hang, wrap};
use crate::review::ReviewReport;
use crate::status::Status;
use crate::status::page::page;

/// The options of `guardian recover`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, config: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    runtime()?.block_on(async {
        let client = Client::connect(&paths).await?;
        if client.status().await?.breaker == Circuit::Closed {
            return Err(Failure::Refused(Refusal::NotOpen.to_string()));
        }
        confirm::possible(arguments.yes)?;
        let report = match client.ask(Ask::Review).await? {
            Reply::Review(report) => report,
            other => {
                done(other)?;
                return Err(ControlError::Garbled("there is no review in it".to_owned()).into());
            }
        };
        answer(&checklist(&report))?;
        if report.failed().next().is_some() {
            let mend = "the review still fails: mend what is marked ✗, and type `guardian recover` again";
            return Err(Failure::Refused(mend.to_owned()));
        }
        let question = "Begin to recover? The gateway may run again, for this machine only.";
        if !confirm::confirm(question, arguments.yes)? {
            answer("Nothing was changed.\n")?;
            return Ok(client.status().await?.exit());
        }
        done(client.ask(Ask::Recover).await?)?;
        let Ok(status) = client.status().await else { return Ok(exit::WARNING) };
        let port = Config::load(config).ok().and_then(|it| it.settings.gateway.ports.first().copied());
        answer(&format!("\n{}{}", page(&status, Timestamp::now(), style()), to_test(&status, port)))?;
        Ok(status.exit())
    })
}

fn checklist(report: &ReviewReport) -> String {
    let mut page = String::from("Review\n");
    for item in &report.items {
        let mark = match item.passed {
            Some(true) => "✓ ",
            Some(false) => "✗ ",
            None => "? ",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(page, "{}", hang(mark, &item.title, 2));
        if !item.detail.is_empty() {
            let _ = writeln!(page, "{}", wrap(&item.detail, 6));
        }
    }
    page.push('\n');
    page
}

/// How to test on this machine, and what comes then.
fn to_test(status: &Status, port: Option<u16>) -> String {
    let port = listening(status).or(port).unwrap_or(USUAL_PORT);
    let wanted = status.half_open.as_ref().map_or(0, |recovery| recovery.wanted);
    format!(
        "\nTo test it\n  \
         Start the gateway, if it does not run, as you always do.\n  \
         On this machine http://127.0.0.1:{port}/ has to answer, and to ask for credentials.\n  \
         From any other machine it must not answer.\n  \
         After {wanted} safe rounds in a row (guardian status --watch counts them): guardian close\n"
    )
}

/// The port of the first gateway that is seen.
fn listening(status: &Status) -> Option<u16> {
    let mut listeners = status.watched().flat_map(|gateway| gateway.listeners);
    listeners.find_map(|it| Some(it.parse::<SocketAddr>().ok()?.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::review::ReviewItem;
    use crate::status::Daemon;

    #[test]
    fn a_checklist_tells_so_from_not_so_and_from_unknown() {
        let item = |title: &str, passed, detail: &str| ReviewItem {
            title: title.to_owned(),
            passed,
            detail: detail.to_owned(),
        };
        let report = ReviewReport {
            items: vec![
                item("Bind", Some(true), ""),
                item("Auth", Some(false), "set \u{1b}[2Jgateway.auth.token"),
                item("Devices", None, "cannot be read"),
            ],
        };
        assert_eq!(
            checklist(&report),
            "Review\n  ✓ Bind\n  ✗ Auth\n      set \u{fffd}[2Jgateway.auth.token\n  ? Devices\n      cannot be read\n\n"
        );
        assert_eq!(report.failed().count(), 1);
    }

    #[test]
    fn the_port_to_test_is_the_gateways_own_then_the_policys_then_the_usual_one() {
        let mut status = Status::new(Circuit::HalfOpen, None, Mode::Enforce, Daemon::Running);
        assert!(to_test(&status, None).contains("127.0.0.1:18789/"));
        assert!(to_test(&status, Some(19001)).contains("127.0.0.1:19001/"));
        status.gateways = vec![serde_json::json!({ "listeners": ["nonsense", "[::1]:20002"] })];
        assert!(to_test(&status, Some(19001)).contains("127.0.0.1:20002/"));
    }
}
