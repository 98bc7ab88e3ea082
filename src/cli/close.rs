//! `guardian close`: the second of the two steps back.

use clap::Args;
use jiff::Timestamp;

use super::{Failure, Folders, answer, confirm, done, runtime, style};
use crate::control::client::Client;
use crate::control::protocol::Ask;
use crate::exit;
use crate::status::page::page;

/// The options of `guardian close`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    confirm::possible(arguments.yes)?;
    let paths = folders.paths()?;
    runtime()?.block_on(async {
        let client = Client::connect(&paths).await?;
        let question = "Close the circuit? Whoever is allowed by the policy reaches the gateway again.";
        if !confirm::confirm(question, arguments.yes)? {
            answer("Nothing was changed.\n")?;
            return Ok(client.status().await?.exit());
        }
        done(client.ask(Ask::Close).await?)?;
        let Ok(status) = client.status().await else { return Ok(exit::OK) };
        answer(&page(&status, Timestamp::now(), style()))?;
        Ok(status.exit())
    })
}
