//! `guardian gate`: the only door to the panel, and what goes with it.

mod totp;

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::runtime::{self, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Folders, answer, answer_json, look};
use crate::config::Config;
use crate::exit;
use crate::gate::leave::Leaves;
use crate::gate::listen::{ListenError, Listening};
use crate::gate::{self, passphrase, setup, tls};
use crate::sys::paths::Paths;
use crate::sys::{clock, durable, heap};

/// The options of `guardian gate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Set the passphrase that people sign in with
    Passphrase {
        /// Read it from standard input, one line
        #[arg(long)]
        stdin: bool,
    },
    /// Ask for a code of an authenticator app too
    Totp {
        #[command(subcommand)]
        what: totp::What,
    },
    /// Make a certificate for the gate's hosts
    Certificate,
    /// Print the settings of the gateway that go with the gate
    Setup {
        /// Print the settings alone, as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments, config: &Config, folders: &Folders) -> Result<u8, Failure> {
    match &arguments.what {
        None => serve(config, &folders.paths()?),
        Some(What::Passphrase { stdin }) => set_passphrase(&folders.of_a_gate("gate passphrase")?, *stdin),
        Some(What::Totp { what }) => totp::run(what, &folders.of_a_gate("gate totp")?),
        Some(What::Certificate) => {
            let paths = folders.of_a_gate("gate certificate")?;
            paths.prepare_gate()?;
            let path = tls::make(&config.settings.gate.hosts, &paths.gate()).map_err(Failure::Tls)?;
            answer(&format!(
                "The certificate is in {}. To use it, put [gate.tls] into the policy.\n",
                path.display()
            ))?;
            Ok(exit::OK)
        }
        Some(What::Setup { json: true }) => {
            answer_json(&setup::gateway_settings(config))?;
            Ok(exit::OK)
        }
        Some(What::Setup { json: false }) => {
            answer(&setup::page(config, &configurations(config)?))?;
            Ok(exit::OK)
        }
    }
}

/// The configuration files of the gateways that run here, where they can be told.
fn configurations(config: &Config) -> Result<Vec<PathBuf>, Failure> {
    let round = look(Arc::new(config.policy(jiff::Timestamp::now())))?;
    let gateways = round.snapshot.gateway.known().map(Vec::as_slice).unwrap_or_default();
    let files: BTreeSet<PathBuf> = gateways.iter().filter_map(|it| it.config.path.clone()).collect();
    Ok(files.into_iter().collect())
}

fn serve(config: &Config, paths: &Paths) -> Result<u8, Failure> {
    raise_open_files();
    heap::hold();
    let now = clock::now();
    let networks = Rc::new(Leaves::new(config.networks(now.wall), now));
    // A request is five turns of tasks: sixty-one, as is usual, are an epoll_wait(2) for each dozen of them. A turn
    // with TLS may be a handshake, which takes a thousand times as long, and the lease waits meanwhile.
    let turns = if config.settings.gate.tls.is_some() { 61 } else { 512 };
    // What blocks is the check of one passphrase at a time, and little else.
    let runtime = runtime::Builder::new_current_thread()
        .max_blocking_threads(4)
        .thread_stack_size(512 * 1024)
        .event_interval(turns)
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(Failure::Runtime)?;
    let outcome: Result<(), ListenError> = runtime.block_on(async {
        let listening = Listening::bind(config, &networks, &paths.gate())?;
        for at in listening.addresses() {
            tracing::info!("the gate listens at {at}");
        }
        for at in listening.waiting() {
            tracing::warn!("no card of this host has {at} yet: the gate waits for it, and serves the others");
        }
        #[cfg(target_os = "linux")]
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        gate::run(config, paths, listening, stopped()).await;
        Ok(())
    });
    runtime.shutdown_background();
    outcome?;
    Ok(exit::OK)
}

/// Every client is a file, and so is its connection to the gateway.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(failed) = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536).max(soft), hard)
    {
        tracing::warn!("the number of open files stays at {soft}: {failed}");
    }
}

/// SIGTERM or SIGINT.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn set_passphrase(paths: &Paths, stdin: bool) -> Result<u8, Failure> {
    let given = if stdin { line_of(&mut io::stdin().lock())? } else { ask_twice()? };
    let hash = passphrase::hash(&given).map_err(Failure::Passphrase)?;
    paths.prepare_gate()?;
    durable::replace(&paths.gate_passphrase(), format!("{hash}\n").as_bytes(), Paths::gate_mode())
        .map_err(Failure::Unwritten)?;
    answer("The passphrase is set. Whoever was signed in with another one is signed out.\n")?;
    Ok(exit::OK)
}

fn line_of(input: &mut impl io::BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    input.take(2 * passphrase::LONGEST as u64).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask_twice() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::NobodyToAsk("--stdin"));
    }
    let ask = |question: &str| -> Result<String, Failure> {
        let mut told = io::stderr().lock();
        write!(told, "{question}: ").and_then(|()| told.flush())?;
        let line = unseen(|| line_of(&mut io::stdin().lock()))?;
        writeln!(told)?;
        Ok(line)
    };
    let first = ask(&format!("Passphrase ({} characters or more)", passphrase::SHORTEST))?;
    passphrase::check(&first).map_err(Failure::Passphrase)?;
    let second = ask("Once more")?;
    if first == second { Ok(first) } else { Err(Failure::Refused("the two are not the same".to_owned())) }
}

/// Lets a person type without showing it.
fn unseen<T>(read: impl FnOnce() -> T) -> T {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let stdin = io::stdin();
    let Ok(before) = tcgetattr(&stdin) else { return read() };
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    // Where it cannot be hidden it is shown, as everywhere else in this terminal.
    let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &silent);
    let line = read();
    let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &before);
    line
}
