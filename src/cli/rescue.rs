//! `guardian rescue`: takes back everything that Guardian has done to this host, without a daemon.

use std::fmt::Write as _;

use clap::Args;

use super::{Failure, Folders, answer, answer_json, chain, runtime};
use crate::barrier::firewall::Firewall;
use crate::barrier::service::{self, Before};
use crate::breaker::state::Circuit;
use crate::control::ControlError;
use crate::control::alone::{Alone, Who};
use crate::exit;
use crate::journal::Journal;
use crate::lock;
use crate::memory::{self, Recall};
use crate::sys::clock;
use crate::sys::paths::Paths;
use crate::undo::{Change, Undo};

/// The options of `guardian rescue`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Leave stopped services stopped
    #[arg(long)]
    no_start: bool,
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let taken = take_all_back(&folders.paths()?, !arguments.no_start)?;
    if arguments.json {
        let Taken { done, failed, circuit } = &taken;
        answer_json(
            &serde_json::json!({ "schema": 1, "taken_back": done, "failed": failed, "breaker": circuit }),
        )?;
    } else {
        answer(&format!("{}{}", taken.page(), taken.caution()))?;
    }
    Ok(taken.code())
}

/// What was taken back, and what was not.
pub(super) struct Taken {
    done: Vec<String>,
    failed: Vec<String>,
    circuit: Circuit,
}

/// Takes everything back; `start` gives stopped services back running.
pub(super) fn take_all_back(paths: &Paths, start: bool) -> Result<Taken, Failure> {
    paths.trusted_state()?;
    paths.prepare()?;
    // Held to the end: a daemon that starts meanwhile would raise what is being lowered.
    let _alone = Alone::take(paths, Who::Rescue).map_err(|refused| match refused {
        ControlError::AlreadyRunning(lock) => Failure::DaemonHolds(lock),
        other => other.into(),
    })?;
    let runtime = runtime()?;
    let mut undo = Undo::open(paths)?;
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for change in undo.open_changes() {
        let (what, result) = runtime.block_on(take_back(&change, start));
        match result.and_then(|()| undo.undone(&change).map_err(|error| chain(&error))) {
            Ok(()) => done.push(what),
            Err(why) => failed.push(format!("{what}: {why}")),
        }
    }
    if lock::is_locked(paths) {
        match lock::remove(paths) {
            Ok(()) => done.push("the lock file".to_owned()),
            Err(error) => failed.push(format!("the lock file: {}", chain(&error))),
        }
    }
    let circuit = match memory::recall(paths) {
        Recall::Known(memory) => memory.circuit,
        Recall::FirstStart => Circuit::Closed,
        Recall::Damaged(_) => Circuit::Open,
    };
    let about = serde_json::json!({ "taken_back": done, "failed": failed });
    // What was taken back is so, written down or not.
    let _ = Journal::of(paths).record(clock::now().wall, circuit, "rescued", about);
    Ok(Taken { done, failed, circuit })
}

async fn take_back(change: &Change, start: bool) -> (String, Result<(), String>) {
    match change {
        Change::Firewall { token } => {
            let lowered = Firewall::resumed(token.clone()).lower().await;
            ("the firewall".to_owned(), lowered.map_err(|error| chain(&error)))
        }
        Change::Service(before) => match serde_json::from_value::<Before>(before.clone()) {
            Ok(before) => {
                let lowered = service::lower(&before, start).await;
                (format!("the service {}", before.service), lowered.map_err(|error| chain(&error)))
            }
            Err(error) => ("a service".to_owned(), Err(format!("its entry cannot be understood: {error}"))),
        },
    }
}

impl Taken {
    pub(super) fn code(&self) -> u8 {
        if self.failed.is_empty() { exit::OK } else { exit::FAILURE }
    }

    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        if self.done.is_empty() && self.failed.is_empty() {
            page.push_str("There was nothing to take back.\n");
        }
        for what in &self.done {
            let _ = writeln!(page, "✓ taken back: {what}");
        }
        for what in &self.failed {
            let _ = writeln!(page, "✗ not taken back: {what}");
        }
        page
    }

    /// What a daemon that starts would do.
    pub(super) fn caution(&self) -> &'static str {
        match self.circuit {
            Circuit::Open => {
                "\nThe circuit is still open: a daemon that starts blocks the gateway again, until you type\n\
                 `guardian recover` and `guardian close`.\n"
            }
            _ => "",
        }
    }
}
