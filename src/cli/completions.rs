//! `guardian completions`: what a shell needs to complete a command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Arguments as CommandLine, Failure, answer};
use crate::exit;

/// The options of `guardian completions`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "guardian", &mut script);
    answer(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}
