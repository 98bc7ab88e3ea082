//! The command line: what can be typed, and what it answers with.

mod check;
mod config;
mod explain;
mod rules;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use guardian_probes::listeners::witness::child as witness;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError};
use crate::exit;

/// Sees whether a Moltbot gateway (Clawdbot, Moltbot, OpenClaw) is exposed.
#[derive(Debug, Parser)]
#[command(name = "guardian", version, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 safe, 1 safe with warnings, 2 exposed, 3 not everything could be seen;\n\
                        64 wrong usage, 70 failure, 78 wrong configuration."
)]
struct Arguments {
    /// The policy file (default: `$GUARDIAN_CONFIG`, else the one of this user or machine)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look once: is a gateway exposed, to whom, why, and what to do
    Check(check::Arguments),
    /// List the rules
    Rules(rules::Arguments),
    /// Explain a rule
    Explain(explain::Arguments),
    /// Check or show the policy
    Config(config::Arguments),
    /// The second witness of the listening sockets, in a process of its own
    #[command(hide = true, name = witness::SUBCOMMAND)]
    WitnessChild,
}

/// What keeps a command from answering.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("there is no rule {0:?}")]
    NoSuchRule(String),
    #[error("the probes cannot be started")]
    Runtime(#[source] io::Error),
    #[error("the answer cannot be written")]
    Output(#[from] io::Error),
    #[error("the answer cannot be put into JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => exit::CONFIG,
            Self::NoSuchRule(_) => exit::USAGE,
            Self::Runtime(_) | Self::Output(_) | Self::Json(_) => exit::FAILURE,
        }
    }

    /// What to type next.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchRule(_) => Some("guardian rules"),
            _ => None,
        }
    }
}

/// Reads the command line, does what it says and gives the exit code.
pub(crate) fn run() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => {
            let asked_for = matches!(told.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nobody is left to tell when the terminal is gone.
            let _ = told.print();
            return if asked_for { exit::OK } else { exit::USAGE };
        }
    };
    log_to_stderr();
    let result = match arguments.command {
        Command::Check(check) => Config::load(arguments.config.as_deref())
            .map_err(Failure::from)
            .and_then(|config| check::run(&check, &config)),
        Command::Rules(rules) => rules::run(&rules),
        Command::Explain(explain) => explain::run(&explain),
        Command::Config(config) => config::run(&config, arguments.config.as_deref()),
        Command::WitnessChild => {
            witness::testify(&mut io::stdout().lock()).map(|()| exit::OK).map_err(Failure::from)
        }
    };
    result.unwrap_or_else(|failure| {
        report(&failure);
        failure.code()
    })
}

/// Writes an answer to standard output. A reader that hung up (`guardian rules | head`) is no failure.
fn answer(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes an answer to standard output as one line of JSON.
fn answer_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    answer(&text)
}

/// Says on standard error what happened, with every cause, and what to type.
fn report(failure: &Failure) {
    let mut text = format!("guardian: {failure}\n");
    let mut cause = failure.source();
    while let Some(error) = cause {
        let _ = writeln!(text, "  because: {error}");
        cause = error.source();
    }
    if let Some(hint) = failure.hint() {
        let _ = writeln!(text, "  try: {hint}");
    }
    // Nobody is left to tell when standard error is gone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Logs go to standard error, `GUARDIAN_LOG` says how much (`guardian=debug`); nothing by default
/// but warnings.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("GUARDIAN_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).without_time().init();
}
