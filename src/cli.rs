//! The command line: what can be typed, and what it answers with.

mod allow;
mod bulkhead;
mod check;
mod close;
mod completions;
mod config;
mod confirm;
mod daemon;
mod doctor;
mod drill;
mod explain;
mod failure;
mod gate;
mod history;
mod install;
mod log;
mod manual;
mod notifier;
mod recover;
mod rescue;
mod rules;
mod run;
mod status;
mod token;
mod trip;
mod uninstall;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use guardian_probes::listeners::witness::child as witness;
use guardian_rules::policy::Policy;

use crate::config::Config;
use crate::control::ControlError;
use crate::control::protocol::Reply;
use crate::drill::decoy;
use crate::exit;
use crate::page::Style;
use crate::round::{self, Round};
pub(crate) use crate::sys::causes::chain;
use crate::sys::heap;
use crate::sys::paths::{Paths, PathsError};
use failure::Failure;

/// What every command takes stands apart from its own options.
const PLACES: &str = "Places, if not the usual ones";

/// Sees whether a Moltbot gateway (Clawdbot, Moltbot, OpenClaw) is exposed.
#[derive(Debug, Parser)]
#[command(name = "guardian", version)]
#[command(
    after_help = "Begin with `guardian check`, which changes nothing. `sudo guardian install` keeps watch from then on;\n\
                        `guardian status` says at any time how things are, and what to type.\n\n\
                        Exit codes: 0 safe or closed, 1 safe with warnings or half-open, 2 exposed or open,\n\
                        3 not everything could be seen, or no daemon; 64 wrong usage, 70 failure,\n\
                        75 not run because of the lock, 78 wrong configuration."
)]
struct Arguments {
    /// The policy file (default: `$GUARDIAN_CONFIG`, else the one of this user or machine)
    #[arg(long, global = true, value_name = "FILE", help_heading = PLACES)]
    config: Option<PathBuf>,
    #[command(flatten)]
    folders: Folders,
    #[command(subcommand)]
    command: Command,
}

/// Where Guardian keeps its own files.
#[derive(Debug, clap::Args)]
struct Folders {
    /// Guardian's state (default: `$GUARDIAN_STATE_DIR`, else the one of this user or machine)
    #[arg(long, global = true, value_name = "FOLDER", help_heading = PLACES)]
    state_dir: Option<PathBuf>,
    /// Guardian's sockets (default: `$GUARDIAN_RUNTIME_DIR`, else the one of this user or machine)
    #[arg(long, global = true, value_name = "FOLDER", help_heading = PLACES)]
    runtime_dir: Option<PathBuf>,
}

impl Folders {
    fn paths(&self) -> Result<Paths, Failure> {
        Ok(Paths::of_this_user(self.state_dir.as_deref(), self.runtime_dir.as_deref())?)
    }

    /// Where what a gate goes by is kept. A gate of this user's that nobody has, where root has one, is not what
    /// was meant: what was typed would seem to be done, and root's gate would not know of it.
    fn of_a_gate(&self, typed: &str) -> Result<Paths, Failure> {
        let own = self.paths()?;
        let roots = Paths::of_the_machine();
        if own != roots && own.to_ask().contains(&roots) && !own.gate().exists() && roots.state.exists() {
            return Err(Failure::Refused(format!(
                "root has installed guardian on this machine, and without root this would be for a gate of your own; \
                 type: sudo guardian {typed}"
            )));
        }
        Ok(own)
    }

    /// Where a Guardian that can be asked may be: this user's first, then root's.
    fn to_ask(&self) -> Result<Vec<Paths>, PathsError> {
        match Paths::of_this_user(self.state_dir.as_deref(), self.runtime_dir.as_deref()) {
            Err(PathsError::Homeless) => Ok(vec![Paths::of_the_machine()]),
            own => own.map(|own| own.to_ask()),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look once: is a gateway exposed, to whom, why, and what to do
    Check(check::Arguments),
    /// Watch, and open the circuit when a gateway is exposed
    Daemon(daemon::Arguments),
    /// Say how the circuit is, since when, why, and what to do
    Status(status::Arguments),
    /// Open the circuit: block the gateway now (anybody may)
    Trip(trip::Arguments),
    /// Begin to recover: review the configuration, then let this machine in (the owner only)
    Recover(recover::Arguments),
    /// Close the circuit after a recovery (the owner only)
    Close(close::Arguments),
    /// Open the gate: the only door to the panel, shut unless the watcher vouches for it
    Gate(gate::Arguments),
    /// Make, list and revoke tokens for programs that go through the gate
    Token(token::Arguments),
    /// Allow a network or a way of publishing until a date, take that away, or list what is allowed
    Allow(allow::Arguments),
    /// Run a command only while the circuit is not open
    Run(run::Arguments),
    /// Take back every barrier that guardian has put up on this host, without a daemon
    Rescue(rescue::Arguments),
    /// Rehearse a trip with a decoy, on a network of its own
    Drill(drill::Arguments),
    /// Show what happened, and check that nobody has changed it since
    History(history::Arguments),
    /// Say what guardian can do on this host, and what it lacks
    Doctor(doctor::Arguments),
    /// Install guardian on this machine: watcher, gate and notifier, started with it
    Install(install::Arguments),
    /// Take guardian off this machine, barriers first
    Uninstall(uninstall::Arguments),
    /// Give the gateway a user of its own, without its owner's home
    Bulkhead(bulkhead::Arguments),
    /// List the rules
    Rules(rules::Arguments),
    /// Explain a rule
    Explain(explain::Arguments),
    /// Check or show the policy, or have the watcher read it again
    Config(config::Arguments),
    /// Print what a shell needs to complete a command line
    Completions(completions::Arguments),
    /// Print the manual, or write its pages into a folder
    Manual(manual::Arguments),
    /// Tell the desktop of this session what happens
    Notifier(notifier::Arguments),
    /// The second witness of the listening sockets, in a process of its own
    #[command(hide = true, name = witness::SUBCOMMAND)]
    WitnessChild,
    /// A gateway that is none, for rehearsals
    #[command(hide = true, name = decoy::SUBCOMMAND)]
    DrillDecoy(drill::DecoyArguments),
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
    log::to_stderr();
    if matches!(arguments.command, Command::Daemon(_) | Command::Gate(_)) {
        heap::share();
    }
    let named = arguments.config.as_deref();
    let folders = &arguments.folders;
    let config = || Config::load(named).map_err(Failure::from);
    let result = match arguments.command {
        Command::Check(check) => config().and_then(|config| check::run(&check, &config, folders)),
        Command::Daemon(daemon) => daemon::run(&daemon, named, folders),
        Command::Status(status) => status::run(&status, named, folders),
        Command::Trip(trip) => trip::run(&trip, folders),
        Command::Recover(recover) => recover::run(&recover, named, folders),
        Command::Close(close) => close::run(&close, folders),
        Command::Gate(gate) => config().and_then(|config| gate::run(&gate, &config, folders)),
        Command::Token(token) => token::run(&token, named, folders),
        Command::Allow(allow) => allow::run(&allow, named, folders),
        Command::Run(run) => run::run(&run, folders),
        Command::Rescue(rescue) => rescue::run(&rescue, folders),
        Command::History(history) => history::run(&history, folders),
        Command::Drill(drill) => drill::run(&drill, folders),
        Command::Doctor(doctor) => config().and_then(|config| doctor::run(&doctor, &config, folders)),
        Command::Install(install) => install::run(&install, named, folders),
        Command::Uninstall(uninstall) => uninstall::run(&uninstall, named, folders),
        Command::Bulkhead(bulkhead) => bulkhead::run(&bulkhead, named, folders),
        Command::Rules(rules) => rules::run(&rules),
        Command::Explain(explain) => explain::run(&explain),
        Command::Config(config) => config::run(&config, named, folders),
        Command::Completions(completions) => completions::run(&completions),
        Command::Manual(manual) => manual::run(&manual),
        Command::Notifier(notifier) => notifier::run(&notifier, folders),
        Command::WitnessChild => {
            witness::testify(&mut io::stdout().lock()).map(|()| exit::OK).map_err(Failure::from)
        }
        Command::DrillDecoy(arguments) => drill::decoy(&arguments),
    };
    result.unwrap_or_else(|failure| {
        failure.report();
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

/// What the daemon did not do is a failure.
fn done(reply: Reply) -> Result<(), Failure> {
    match reply {
        Reply::Done | Reply::AlreadySo => Ok(()),
        Reply::Refused(why) => Err(Failure::Refused(why.to_string())),
        Reply::Failed(why) => Err(Failure::Failed(why)),
        Reply::Review(_) => {
            Err(ControlError::Garbled("it is an answer to another question".to_owned()).into())
        }
    }
}

/// One whole round.
fn look(policy: Arc<Policy>) -> Result<Round, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    let round = runtime.block_on(round::whole(policy));
    // A probe that hangs in the kernel must not keep the answer back.
    runtime.shutdown_background();
    Ok(round)
}

/// Whether to use colours on standard output.
fn style() -> Style {
    if io::stdout().is_terminal() { Style::Terminal } else { Style::Plain }
}

/// A small runtime for a command that talks with others.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)
}
