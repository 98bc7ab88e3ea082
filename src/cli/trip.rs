//! `guardian trip`: opens the circuit.

use clap::Args;
use jiff::Timestamp;

use super::{Failure, Folders, answer, done, runtime, style};
use crate::control::client::Client;
use crate::control::protocol::{Ask, Reply};
use crate::exit;
use crate::status::page::page;

/// The options of `guardian trip`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Why, for whoever reads it later
    reason: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    let reason = arguments.reason.join(" ");
    runtime()?.block_on(async {
        let client = Client::connect(&paths).await?;
        let reply = client.ask(Ask::Trip { reason }).await?;
        if reply == Reply::AlreadySo {
            answer("It was open already.\n")?;
        }
        done(reply)?;
        // It is open, whether or not it can be shown.
        let Ok(status) = client.status().await else { return Ok(exit::EXPOSED) };
        answer(&page(&status, Timestamp::now(), style()))?;
        Ok(status.exit())
    })
}
