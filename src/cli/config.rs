//! `guardian config check|show|reload`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Failure, Folders, answer, answer_json, done, runtime};
use crate::config::Config;
use crate::control::client::Client;
use crate::control::protocol::{Ask, Reply};
use crate::exit;
use crate::notify::Ways;

/// The options of `guardian config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether the policy file can be used
    Check {
        /// The file (default: the one that would be used)
        file: Option<PathBuf>,
    },
    /// Have the running watcher read its policy again, and say whether it goes by it now
    Reload {
        /// Go by this machine's clock as it is now, though it was ahead once: what had ended by that holds again
        #[arg(long)]
        accept_clock: bool,
    },
    /// Show the policy in force, defaults included
    Show {
        /// Answer with JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    match &arguments.action {
        Action::Check { file } => {
            let config = Config::load(file.as_deref().or(named))?;
            Ways::of(&config.settings.notify)?;
            answer(&match &config.source {
                Some(path) => format!("{} can be used.\n", path.display()),
                None => "There is no policy file; the defaults are used.\n".to_owned(),
            })?;
            for caution in config.cautions(jiff::Timestamp::now()) {
                answer(&format!("Mind: {caution}\n"))?;
            }
        }
        Action::Reload { accept_clock } => {
            let paths = folders.paths()?;
            let ask = Ask::Reload { accept_clock: *accept_clock };
            let reply = runtime()?.block_on(async { Client::connect(&paths).await?.ask(ask).await })?;
            // Nothing but a policy that it cannot use keeps a watcher from it.
            if let Reply::Failed(why) = reply {
                return Err(Failure::PolicyRefused(why));
            }
            done(reply)?;
            answer(
                "The watcher goes by the policy as it is written now. For `gate.*` restart the gate, too.\n",
            )?;
        }
        Action::Show { json } => {
            let config = Config::load(named)?;
            if *json {
                answer_json(&config.settings)?;
            } else {
                let source = match &config.source {
                    Some(path) => format!("# From {}\n", path.display()),
                    None => "# No policy file; these are the defaults.\n".to_owned(),
                };
                answer(&format!("{source}{}", config.to_toml()?))?;
            }
        }
    }
    Ok(exit::OK)
}
