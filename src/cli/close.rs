//! `guardian close`: the second of the two steps back.

use clap::Args;
use jiff::Timestamp;

use super::{Failure, Folders, answer, confirm, done, runtime, style};
use crate::breaker::effect::Refusal;
use crate::breaker::state::Circuit;
use crate::control::client::Client;
use crate::control::protocol::Ask;
use crate::exit;
use crate::status::Status;
use crate::status::page::page;

/// The options of `guardian close`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    runtime()?.block_on(async {
        let client = Client::connect(&paths).await?;
        let before = client.status().await?;
        if before.breaker == Circuit::Closed {
            answer("It was closed already.\n")?;
            return Ok(exit::OK);
        }
        // Nobody is asked for what would be refused. Whether it may be done, the watcher says.
        if let Some(refusal) = refused(&before) {
            return Err(Failure::Refused(refusal.to_string()));
        }
        confirm::possible(arguments.yes)?;
        let question = "Close the circuit? Whoever is allowed by the policy reaches the gateway again.";
        if !confirm::confirm(question, arguments.yes)? {
            answer("Nothing was changed.\n")?;
            return Ok(client.status().await?.exit());
        }
        done(client.ask(Ask::Close).await?)?;
        let Ok(status) = client.status().await else { return Ok(exit::OK) };
        answer(&page(&status, Timestamp::now(), style()))?;
        // What is asked here is whether it is closed, not how all is.
        Ok(if status.breaker == Circuit::Closed { exit::OK } else { status.exit() })
    })
}

/// Why the circuit will not be closed as things are; none if it may be.
fn refused(status: &Status) -> Option<Refusal> {
    match (status.breaker, &status.half_open) {
        (Circuit::Open, _) => Some(Refusal::RecoverFirst),
        (_, Some(recovery)) if recovery.safe < recovery.wanted => {
            Some(Refusal::TooEarly { safe: recovery.safe, wanted: recovery.wanted })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::status::{Daemon, Recovery};

    #[test]
    fn nobody_is_asked_whether_to_do_what_would_be_refused() {
        let status = |breaker, safe: Option<u16>| {
            let mut status = Status::new(breaker, None, Mode::Enforce, Daemon::Running);
            status.half_open = safe.map(|safe| Recovery {
                safe,
                wanted: 10,
                until: Timestamp::UNIX_EPOCH,
                in_the_way: Vec::new(),
            });
            refused(&status)
        };
        assert_eq!(status(Circuit::Open, None), Some(Refusal::RecoverFirst));
        assert_eq!(status(Circuit::HalfOpen, Some(9)), Some(Refusal::TooEarly { safe: 9, wanted: 10 }));
        assert_eq!(status(Circuit::HalfOpen, Some(10)), None);
    }
}
