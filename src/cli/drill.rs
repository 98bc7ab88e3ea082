//! `guardian drill`: a rehearsal with a gateway of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use guardian_rules::verdict::judge;

use super::{Failure, Folders, answer, answer_json, runtime};
use crate::config::Config;
use crate::control::client::Client;
use crate::drill::ground::Ground;
use crate::drill::{self, Shown, decoy};
use crate::{exit, round};

/// The options of `guardian drill`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

/// The options of the decoy.
#[derive(Debug, Args)]
pub(super) struct DecoyArguments {
    /// Where it listens
    at: Vec<SocketAddr>,
    /// Let anyone in
    #[arg(long)]
    open: bool,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    // Before there are threads: the rehearsal leaves the host's network.
    let ground = Ground::new().map_err(drill::DrillError::from)?;
    let runtime = runtime()?;
    if ground.outside().is_none() && runtime.block_on(Client::connect(&paths)).is_ok() {
        return Err(Failure::DaemonRuns);
    }
    // Its watcher takes every gateway that it sees for what it has to guard.
    if ground.outside().is_none() && runtime.block_on(a_gateway_runs())? {
        return Err(Failure::GatewayRuns);
    }
    let shown = runtime.block_on(drill::play(ground))?;
    if arguments.json {
        answer_json(&shown)?;
    } else {
        answer(&page(&shown))?;
    }
    Ok(if shown.held { exit::OK } else { exit::EXPOSED })
}

/// Whether there is a gateway on this host.
async fn a_gateway_runs() -> Result<bool, Failure> {
    let policy = Arc::new(Config::of_text(Path::new(""), "")?.policy(jiff::Timestamp::now()));
    let round = round::whole(Arc::clone(&policy)).await;
    Ok(!judge(&policy, &round.snapshot).gateways.is_empty())
}

pub(super) fn decoy(arguments: &DecoyArguments) -> Result<u8, Failure> {
    decoy::serve(&arguments.at, arguments.open)?;
    Ok(exit::OK)
}

fn page(shown: &Shown) -> String {
    let mut page = String::new();
    let headline = if shown.held { "PASSED" } else { "FAILED" };
    let _ = writeln!(page, "{headline}  a decoy was exposed at {}, in {}.\n", shown.exposure, shown.ground);
    for (what, when) in shown.lines() {
        let _ = writeln!(page, "  {what:42} {when}");
    }
    page.push_str("\nYour gateway, your watcher and your network were not touched.\n");
    page
}
