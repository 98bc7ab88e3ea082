//! `guardian manual`: the manual pages, made from the command line itself.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};

use super::{Arguments as CommandLine, Failure, answer};
use crate::exit;
use crate::sys::durable;

/// The options of `guardian manual`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A folder that gets a page a command; without one the first page is printed
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let mut command = CommandLine::command();
    command.build();
    match &arguments.folder {
        None => answer(&String::from_utf8_lossy(&page(&command)?))?,
        Some(folder) => {
            write(folder, &command)?;
            // What `help` shows, the other pages have.
            let is_shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
            let commands = command.get_subcommands().filter(is_shown);
            commands.into_iter().try_for_each(|command| write(folder, command))?;
        }
    }
    Ok(exit::OK)
}

/// `guardian-install.1` of `guardian install`.
fn write(folder: &Path, command: &Command) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    durable::replace(&folder.join(format!("{name}.1")), &page(command)?, 0o644).map_err(Failure::Unwritten)
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
