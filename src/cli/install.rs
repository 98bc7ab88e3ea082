//! `guardian install`: puts Guardian on this machine for good.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use guardian_rules::verdict::{Verdict, judge};
use nix::unistd::User;

use super::{Failure, Folders, answer};
use crate::breaker::state::Circuit;
use crate::config::{Config, GATE_USER};
use crate::control::client::Client;
use crate::exit;
use crate::install::account::{self, Account};
use crate::install::apply::{Became, Installer, trust};
use crate::install::plan::{self, Step};
use crate::install::site::{Manager, Scope, Site};
use crate::install::{InstallError, policy};
use crate::powers::Powers;
use crate::round;
use crate::status::Status;
use crate::status::page::lead;
use guardian_probes::command::Tool;

/// The watcher has looked around within this time.
const LOOKED: Duration = Duration::from_secs(30);

/// The options of `guardian install`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print every file and command, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Install for this user alone, without root
    #[arg(long)]
    user: bool,
}

pub(super) fn run(arguments: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let site = site(arguments.user, named, folders)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(install(&site, arguments.dry_run));
    // A probe that hangs in the kernel must not keep the answer back.
    runtime.shutdown_background();
    outcome
}

/// Where Guardian is, or will be, for whoever asks: in the usual places, for there its services look.
pub(super) fn site(user: bool, named: Option<&Path>, folders: &Folders) -> Result<Site, Failure> {
    const VARIABLES: [&str; 3] = ["GUARDIAN_CONFIG", "GUARDIAN_STATE_DIR", "GUARDIAN_RUNTIME_DIR"];
    let named = named.is_some() || folders.state_dir.is_some() || folders.runtime_dir.is_some();
    if named || VARIABLES.iter().any(|it| std::env::var_os(it).is_some()) {
        return Err(InstallError::Elsewhere.into());
    }
    let scope = if user { Scope::User } else { Scope::Machine };
    let policy = Config::own_place().ok_or(InstallError::Homeless)?;
    Ok(Site::here(scope, policy, folders.paths()?)?)
}

async fn install(site: &Site, dry_run: bool) -> Result<u8, Failure> {
    if site.policy.exists() {
        // Services that start again by one that they cannot read would go on by the one before, or not at all.
        Config::load(Some(&site.policy))?;
    }
    let found = gateways(&site.policy).await;
    let mut installer = Installer::new(site);
    let mut steps = plan::install(site, account(site).await?, policy::text(&found));
    steps.extend(plan::superseded(site, installer.manifest()));
    if dry_run {
        let told: String = steps.iter().map(Step::told).collect();
        answer(&format!("This is what `guardian install` would do:\n\n{told}\nNothing was changed.\n"))?;
        return Ok(exit::OK);
    }
    // What is there already is run as it is.
    if site.scope == Scope::Machine && site.copied_from.is_none() {
        trust(&site.program)?;
    }
    let mut page = String::new();
    for step in &steps {
        match installer.apply(step).await {
            Ok(Became::Done) => page.push_str(&headline(step)),
            Ok(Became::AlreadySo) => {}
            Err(failed) => {
                // What was done is known before what was not.
                answer(&page)?;
                return Err(failed.into());
            }
        }
    }
    let status = settled(site).await;
    let config = Config::load(Some(&site.policy))?;
    if found.len() > 1 {
        let _ = writeln!(
            page,
            "✗ several gateways were found: make sure that `gate.gateway` in {} is the one that you sign in to",
            site.policy.display()
        );
    }
    page.push_str(&summary(site, status.as_ref(), &Powers::look(&config, &site.paths).await, &config));
    answer(&page)?;
    Ok(match status {
        Some(status) if status.breaker == Circuit::Closed => exit::OK,
        Some(status) if status.breaker == Circuit::Open => exit::EXPOSED,
        Some(_) => exit::WARNING,
        None => exit::BLIND,
    })
}

/// What makes the gate's user, where there is none and there may be one.
async fn account(site: &Site) -> Result<Vec<Tool>, Failure> {
    if site.scope == Scope::User || User::from_name(GATE_USER).ok().flatten().is_some() {
        return Ok(Vec::new());
    }
    Ok(account::commands(site.manager, Account::gates(site.manager)).await?)
}

/// The gateways of this machine, by name and port. Where there is a policy already nobody asks.
async fn gateways(policy: &Path) -> Vec<(String, u16)> {
    if policy.exists() {
        return Vec::new();
    }
    let Ok(config) = Config::of_text(policy, "") else { return Vec::new() };
    let policy = Arc::new(config.policy(jiff::Timestamp::now()));
    let round = round::whole(Arc::clone(&policy)).await;
    let judgement = judge(&policy, &round.snapshot);
    let mut found = BTreeMap::new();
    for gateway in &judgement.gateways {
        let name = gateway.product.map_or_else(|| "a gateway".to_owned(), |product| product.to_string());
        // One of both families is one.
        found.extend(gateway.listeners.iter().map(|listener| (listener.port(), name.clone())));
    }
    found.into_iter().map(|(port, name)| (name, port)).collect()
}

/// What the watcher says once it has looked around.
async fn settled(site: &Site) -> Option<Status> {
    let begun = Instant::now();
    loop {
        let status = match Client::connect_to(&site.paths).await {
            Ok(client) => client.status().await.ok(),
            Err(_) => None,
        };
        // One that has seen nothing yet has no verdict, or is blind until it has looked at everything.
        let looked = status.as_ref().is_some_and(|status| {
            status.breaker == Circuit::Open || status.verdict.is_some_and(|verdict| verdict != Verdict::Blind)
        });
        if looked || begun.elapsed() > LOOKED {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How the installed program is typed.
fn as_typed(site: &Site) -> String {
    let folder = site.program.parent().unwrap_or(Path::new("/"));
    let on_path =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|it| it == folder));
    let program =
        if on_path { "guardian".to_owned() } else { plan::line(&Tool::new(&site.program, [""; 0])) };
    if site.scope == Scope::Machine { format!("sudo {program}") } else { program }
}

/// The first line of what a step does.
fn headline(step: &Step) -> String {
    match step {
        Step::Command { tool, .. } => format!("✓ {}\n", plan::line(tool)),
        step => format!("✓ {}\n", step.told().lines().next().unwrap_or_default()),
    }
}

fn summary(site: &Site, status: Option<&Status>, powers: &Powers, config: &Config) -> String {
    let mut page = String::from("\n");
    let for_whom = if site.scope == Scope::Machine { "this machine" } else { "this user's gateway" };
    // Writing into a string cannot fail.
    let _ = writeln!(page, "INSTALLED  Guardian watches {for_whom}, and starts by itself.");
    match status {
        Some(status) => {
            let (word, sentence) = lead(status);
            let _ = writeln!(page, "{word}  {sentence}");
        }
        None => page.push_str("The watcher does not answer yet; type: guardian status\n"),
    }
    let gate = config.settings.gate.listen.first().map_or_else(String::new, ToString::to_string);
    page.push_str("\nProtected\n");
    for gateway in status.into_iter().flat_map(Status::watched) {
        let _ = writeln!(page, "✓ {gateway}");
    }
    if status.is_none_or(|status| status.gateways.is_empty()) {
        // A watcher that has just been started over has not looked yet, and blocks all the same.
        page.push_str(if status.is_some_and(|status| status.breaker != Circuit::Closed) {
            "- whatever gateway runs is kept from others until you recover\n"
        } else {
            "- no gateway runs now; one that starts is watched\n"
        });
    }
    let scheme = if config.settings.gate.tls.is_some() { "https" } else { "http" };
    let _ = writeln!(page, "✓ the panel's door is {scheme}://{gate}");
    page.push_str("\nWhat Guardian can do here\n");
    page.push_str(&powers.page());
    page.push_str("\nNext\n");
    let guardian = as_typed(site);
    let mut next = Vec::new();
    match status.map(|status| status.breaker) {
        Some(Circuit::Open) => {
            next.push((format!("{guardian} recover"), "reviews why it is blocked, and begins to let it go"));
        }
        Some(Circuit::HalfOpen) => next.push((format!("{guardian} close"), "lets the gateway go")),
        Some(Circuit::Closed) | None => {}
    }
    if !site.paths.gate_passphrase().exists() {
        next.push((format!("{guardian} gate passphrase"), "sets what you sign in with at the gate"));
    }
    next.push((format!("{guardian} gate setup"), "prints the gateway's settings that go with the gate"));
    next.push((format!("{guardian} status"), "says how things are"));
    if site.manager == Manager::Systemd && site.scope == Scope::User {
        next.push(("loginctl enable-linger".to_owned(), "keeps it running while you are not signed in"));
    }
    let widest = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    for (command, what) in next {
        let _ = writeln!(page, "  {command:widest$}   {what}");
    }
    if site.scope == Scope::Machine {
        page.push_str(
            "\nOn loopback the packet filter lets only root, the gateway's own user and `owners` through to the\n\
             gateway. If you open the panel as somebody else, use the gate, or name yourself in `owners`.\n",
        );
    }
    page
}
