//! `guardian uninstall`: takes Guardian off this machine.

use std::path::Path;

use clap::Args;

use super::confirm::confirm;
use super::install::site;
use super::{Failure, Folders, answer, rescue, runtime};
use crate::breaker::state::Circuit;
use crate::bulkhead::BulkheadError;
use crate::bulkhead::ledger::Ledger;
use crate::control::client::Client;
use crate::exit;
use crate::install::InstallError;
use crate::install::apply::Installer;
use crate::install::plan;
use crate::install::site::Site;
use crate::lock;
use crate::memory::{self, Recall};
use crate::sys::paths::Paths;

/// The options of `guardian uninstall`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// Remove policy, state, tokens, journal and the gate's user too
    #[arg(long)]
    purge: bool,
    /// Print what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take off what `guardian install --user` has installed, without root
    #[arg(long)]
    user: bool,
    /// Leave stopped services stopped
    #[arg(long)]
    no_start: bool,
    /// Do not ask, even if the circuit is open and nothing blocks the gateway afterwards
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let site = site(arguments.user, named, folders).map_err(|failed| match failed {
        Failure::Install(InstallError::NotRoot) => InstallError::NotRootToRemove.into(),
        other => other,
    })?;
    let mut installer = Installer::new(&site);
    let stop = plan::stop(&site);
    let remove = plan::remove(&site, installer.manifest(), arguments.purge);
    if arguments.dry_run {
        let told = |steps: &[plan::Step]| steps.iter().map(plan::Step::told).collect::<String>();
        let (stop, remove) = (told(&stop), told(&remove));
        answer(&format!(
            "This is what `guardian uninstall` would do:\n\n{stop}take back all barriers, as `guardian rescue` does\n{remove}\nNothing was changed.\n"
        ))?;
        return Ok(exit::OK);
    }
    if Ledger::is_there(&site.paths) {
        return Err(BulkheadError::Outlives.into());
    }
    let question = "The circuit is not closed: nothing will protect the gateway any more, and one that was stopped is started again. \
                    Take guardian off all the same?";
    let mut agreed = arguments.yes;
    if blocks(&site) {
        if !confirm(question, agreed)? {
            return Ok(exit::WARNING);
        }
        agreed = true;
    }
    let runtime = runtime()?;
    runtime.block_on(async {
        for step in &stop {
            installer.apply(step).await?;
        }
        Ok::<(), Failure>(())
    })?;
    // It may have opened until the watcher ended. What it put up stands without it.
    if !agreed && blocks(&site) && !confirm(question, false)? {
        return Ok(exit::WARNING);
    }
    // As long as something stands that it cannot take back, what could take it back stays.
    if site.paths.state.exists() {
        let taken = rescue::take_all_back(&site.paths, !arguments.no_start)?;
        let caution = if arguments.purge { "" } else { taken.caution() };
        answer(&format!("{}{caution}", taken.page()))?;
        if taken.code() != exit::OK {
            return Ok(taken.code());
        }
    }
    runtime.block_on(async {
        for step in &remove {
            installer.apply(step).await?;
        }
        Ok::<(), Failure>(())
    })?;
    let left = if arguments.purge {
        "Nothing of Guardian is left.".to_owned()
    } else {
        let kept = [("policy", &site.policy), ("state", &site.paths.state)]
            .into_iter()
            .filter(|(_, at)| at.exists());
        let kept: Vec<String> = kept.map(|(what, at)| format!("its {what} ({})", at.display())).collect();
        if kept.is_empty() {
            "There is nothing of Guardian here.".to_owned()
        } else {
            format!(
                "Guardian is gone. What is left for another time, and goes with --purge: {}.",
                kept.join(" and ")
            )
        }
    };
    let unwatched =
        "Nobody watches the gateway any more: what exposes it from now on is neither seen nor blocked.";
    let roots = Paths::of_the_machine();
    let watched = site.paths != roots && runtime.block_on(Client::connect_to(&roots)).is_ok();
    answer(&format!("{left}\n{}\n", if watched { "Root's Guardian goes on watching." } else { unwatched }))?;
    Ok(exit::OK)
}

/// Whether somebody is kept out who would get in without Guardian: while the circuit is open, and while its
/// owner is on the way back.
fn blocks(site: &Site) -> bool {
    lock::is_locked(&site.paths)
        || match memory::recall(&site.paths) {
            Recall::Known(memory) => memory.circuit != Circuit::Closed,
            Recall::FirstStart => false,
            Recall::Damaged(_) => true,
        }
}
