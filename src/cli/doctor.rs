//! `guardian doctor`: what Guardian can do on this host, and what it lacks.

use clap::Args;

use super::{Failure, Folders, answer, answer_json, runtime};
use crate::config::Config;
use crate::exit;
use crate::powers::Powers;

/// The options of `guardian doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, config: &Config, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    let powers = runtime()?.block_on(Powers::look(config, &paths));
    if arguments.json {
        answer_json(&serde_json::json!({ "schema": 1, "armed": powers.armed(), "powers": powers }))?;
    } else {
        let headline = if powers.armed() {
            "ARMED  a trip has all its barriers."
        } else {
            "NOT FULLY ARMED  a trip works with what is left."
        };
        answer(&format!("{headline}\n\n{}", powers.page()))?;
    }
    Ok(if powers.armed() { exit::OK } else { exit::WARNING })
}
