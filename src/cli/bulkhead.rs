//! `guardian bulkhead`: gives the gateway a user of its own, and takes it back.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use guardian_probes::command::Tool;
use guardian_probes::gateway::secrets;
use guardian_rules::snapshot::Snapshot;
use nix::unistd::{Uid, User};

use super::confirm::{confirm, possible};
use super::{Failure, Folders, answer, answer_json};
use crate::bulkhead::apply::{Builder, undo};
use crate::bulkhead::attempt::{self, Outcome};
use crate::bulkhead::ledger::{Ledger, text};
use crate::bulkhead::ownership::all_is;
use crate::bulkhead::plan::{self, Ground, Step};
use crate::bulkhead::present::{self, Present};
use crate::bulkhead::{BulkheadError, USER, agent, unit};
use crate::config::Config;
use crate::exit;
use crate::install::account::{self, Account};
use crate::install::apply::trust;
use crate::install::site::Manager;
use crate::lock;
use crate::round;
use crate::sys::paths::Paths;
use crate::sys::systemd;

/// A gateway is up again within this time: a cold start of a late one compiles for a while.
const STARTS: Duration = Duration::from_mins(3);

/// The options of `guardian bulkhead`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what the gateway reaches now, and what would be done; change nothing
    Plan {
        /// Answer with JSON
        #[arg(long)]
        json: bool,
    },
    /// Do it, and try as the gateway's user what it must not be able to do
    Apply {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take all of it back
    Undo {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Try what standard input lists
    #[command(hide = true)]
    Attempt,
}

pub(super) fn run(arguments: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    if let Command::Attempt = arguments.command {
        answer_json(&attempt::all(std::io::stdin().lock())?)?;
        return Ok(exit::OK);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Plan { json } => plan(named, folders, json).await,
            Command::Apply { yes } => apply(named, folders, yes).await,
            Command::Undo { yes } => take_down(folders, yes).await,
            Command::Attempt => Ok(exit::OK),
        }
    });
    // A probe that hangs in the kernel must not keep the answer back.
    runtime.shutdown_background();
    outcome
}

fn root(command: &'static str) -> Result<(), BulkheadError> {
    if Uid::effective().is_root() { Ok(()) } else { Err(BulkheadError::NotRoot(command)) }
}

fn manager() -> Result<Manager, BulkheadError> {
    if cfg!(target_os = "macos") {
        Ok(Manager::Launchd)
    } else if systemd::booted() {
        Ok(Manager::Systemd)
    } else {
        Err(BulkheadError::Unfit(
            "this host does not run systemd, so nothing would start the gateway".to_owned(),
        ))
    }
}

/// What one look at the host shows.
async fn look(config: &Config) -> Snapshot {
    round::whole(Arc::new(config.policy(jiff::Timestamp::now()))).await.snapshot
}

/// What is there, and what is to be done about it.
struct Whole {
    manager: Manager,
    paths: Paths,
    policy: Option<PathBuf>,
    present: Present,
    steps: Vec<Step>,
}

async fn whole(named: Option<&Path>, folders: &Folders) -> Result<Whole, Failure> {
    root("plan")?;
    let (config, paths, manager) = (Config::load(named)?, folders.paths()?, manager()?);
    if let Some(stands) = Ledger::stands(&paths) {
        return Err(stands.into());
    }
    let present = present::find(&look(&config).await)?;
    // Before anything is stopped for it.
    all_is(&present.state, present.owner).map_err(|cause| {
        BulkheadError::Unfit(format!("{} cannot be moved: {cause}", present.state.display()))
    })?;
    let new_home = present.new_home();
    if let Some(beside) = new_home.parent() {
        trust(beside).map_err(|failed| BulkheadError::Unfit(super::chain(&failed)))?;
    }
    if new_home.symlink_metadata().is_ok() {
        let there = format!("{} is there already: move it away first", new_home.display());
        return Err(BulkheadError::Unfit(there).into());
    }
    let place = named.map(Path::to_owned).or_else(Config::own_place);
    let policy = place.filter(|it| it.exists());
    let account = if User::from_name(USER).ok().flatten().is_some() {
        Vec::new()
    } else {
        account::commands(
            manager,
            Account { name: USER, home: &new_home.display().to_string(), title: "Moltbot gateway" },
        )
        .await
        .map_err(|failed| match failed {
            crate::install::InstallError::NoId => BulkheadError::NoId,
            other => BulkheadError::Unfit(super::chain(&other)),
        })?
    };
    let (files, service) = files(manager, &present, &paths).await?;
    let policy_text =
        policy.as_ref().map(|path| Ok::<_, BulkheadError>((path.clone(), text(path)?))).transpose()?;
    let steps = plan::steps(&present, Ground { account, files, service, policy: policy_text });
    Ok(Whole { manager, paths, policy, present, steps })
}

/// The files that describe the service behind the bulkhead, and its name.
async fn files(
    manager: Manager,
    present: &Present,
    paths: &Paths,
) -> Result<(Vec<(PathBuf, String)>, String), BulkheadError> {
    let variables = plan::variables(present);
    let in_home = |program: PathBuf| {
        BulkheadError::Unfit(format!(
            "{} lies in {}, which the gateway is to be kept out of: install it for the whole machine first \
             (`sudo npm install -g openclaw`), and let its service run that",
            program.display(),
            present.home.display()
        ))
    };
    let failed =
        |tool: &Tool, cause| BulkheadError::Command { line: crate::install::plan::line(tool), cause };
    match manager {
        Manager::Systemd => {
            let tool = plan::systemctl(&present.service, present.owner, &["cat", &present.service.name]);
            let shown = tool.run().await.map_err(|cause| failed(&tool, cause))?.stdout;
            let runs = unit::read(&shown, &present.home.display().to_string()).map_err(|odd| {
                BulkheadError::Unfit(format!("{} cannot be taken over: {odd}", present.service))
            })?;
            if let Some(program) = unit::in_home(&present.home, &runs.command) {
                return Err(in_home(program));
            }
            let text = unit::text(&runs, &variables, &present.new_home(), &paths.lock());
            let name = "moltbot-gateway.service";
            Ok((vec![(Path::new(unit::FOLDER).join(name), text)], name.to_owned()))
        }
        Manager::Launchd => {
            let file = agent::file(&present.service, present.owner)?;
            let tool = agent::as_json(&file);
            let shown = tool.run().await.map_err(|cause| failed(&tool, cause))?.stdout;
            let runs = agent::read(&shown)
                .ok_or_else(|| BulkheadError::Unfit(format!("{} is not understood", file.display())))?;
            if let Some(program) = unit::in_home(&present.home, &runs.arguments) {
                return Err(in_home(program));
            }
            let home = present.new_home();
            let files = vec![
                (agent::PROFILE.into(), agent::profile(&home)),
                (agent::daemon(), agent::text(&runs, &variables, &home, &paths.lock())),
            ];
            Ok((files, agent::LABEL.to_owned()))
        }
    }
}

async fn plan(named: Option<&Path>, folders: &Folders, json: bool) -> Result<u8, Failure> {
    let whole = whole(named, folders).await?;
    if json {
        let steps: Vec<String> = whole.steps.iter().map(|it| it.headline().trim_end().to_owned()).collect();
        let reaches = whole.present.within_reach.as_ref().map(|secrets| {
            secrets
                .iter()
                .map(|it| serde_json::json!({ "path": it.path, "what": it.what }))
                .collect::<Vec<_>>()
        });
        let gateway = serde_json::json!({
            "pid": whole.present.pid, "user": whole.present.name, "state": whole.present.state,
            "service": whole.present.service.name,
        });
        answer_json(
            &serde_json::json!({ "schema": 1, "gateway": gateway, "reaches": reaches, "steps": steps }),
        )?;
        return Ok(exit::OK);
    }
    let mut page = reaches(&whole.present);
    page.push_str("\nThis is what `guardian bulkhead apply` would do:\n\n");
    page.extend(whole.steps.iter().map(Step::told));
    page.push_str(&afterwards(&whole.present));
    answer(&page)?;
    Ok(exit::OK)
}

/// What the gateway reads of people's secrets now.
fn reaches(present: &Present) -> String {
    let mut page = format!(
        "The gateway (pid {}) runs as {}, started by {}.\n",
        present.pid, present.name, present.service
    );
    match present.within_reach.as_deref() {
        None => page.push_str("What it reaches of people's secrets cannot be told.\n"),
        Some([]) => page.push_str("It reaches none of the places where people's secrets usually lie.\n"),
        Some(secrets) => {
            page.push_str("It can read:\n");
            for secret in secrets {
                // Writing into a string cannot fail.
                let _ = writeln!(page, "  ✗ {} ({})", secret.path.display(), secret.what);
            }
        }
    }
    page
}

fn afterwards(present: &Present) -> String {
    let home = present.new_home();
    let home = home.display();
    format!(
        "\nAfterwards\n  What the agent kept outside of {state}, a workspace in the home for one, is out of its reach: move\n  \
         it to {home} yourself, and give it to {USER}.\n  \
         Its commands are typed as its user: sudo -u {USER} env HOME={home} openclaw ...\n  \
         `sudo guardian bulkhead undo` takes all of this back.\n",
        state = present.state.display()
    )
}

async fn apply(named: Option<&Path>, folders: &Folders, yes: bool) -> Result<u8, Failure> {
    root("apply")?;
    possible(yes)?;
    let whole = whole(named, folders).await?;
    if lock::is_locked(&whole.paths) {
        let open = "the circuit is open: recover and close first (`guardian status` says how)";
        return Err(BulkheadError::Unfit(open.to_owned()).into());
    }
    let question = format!(
        "The gateway stops, its state moves to {}, and it starts again as {USER}. `guardian bulkhead plan` \
         shows every step. Go on?",
        whole.present.new_home().display()
    );
    if !confirm(&question, yes)? {
        return Ok(exit::WARNING);
    }
    whole.paths.prepare()?;
    let mut ledger = Ledger::begin(&whole.paths)?;
    let mut builder = Builder { manager: whole.manager, ledger: &mut ledger, gateway: whole.present.pid };
    for step in &whole.steps {
        match builder.apply(step).await {
            Ok(()) => answer(&format!("✓ {}", step.headline()))?,
            Err(failed) => {
                answer(&format!("✗ {}", step.headline()))?;
                let why = format!(
                    "{}; take back what was done: sudo guardian bulkhead undo",
                    super::chain(&failed)
                );
                return Err(BulkheadError::Unfit(why).into());
            }
        }
    }
    reload(whole.manager).await;
    let config = Config::load(named)?;
    let up = comes_up(&config).await;
    let outcomes = attempts(&whole).await?;
    let mut page = String::from("\nTried as the gateway's user\n");
    let mut through = 0;
    for outcome in &outcomes {
        let mark = if outcome.refused.is_some() { '✓' } else { '✗' };
        through += usize::from(outcome.refused.is_none());
        let came = outcome.refused.as_deref().unwrap_or("was not refused");
        let _ = writeln!(page, "  {mark} {}: {came}", outcome.attempt.told());
    }
    let _ = match (through, up) {
        (0, true) => writeln!(
            page,
            "\nBULKHEAD  The gateway runs as {USER}; {} attempts, all refused.",
            outcomes.len()
        ),
        (0, false) => writeln!(
            page,
            "\nBULKHEAD  {} attempts, all refused; but the gateway does not answer yet. Look: {}",
            outcomes.len(),
            if whole.manager == Manager::Systemd {
                "journalctl -u moltbot-gateway"
            } else {
                "log show --predicate 'process == \"node\"' --last 5m"
            }
        ),
        (through, _) => writeln!(page, "\nLEAKS  {through} of {} attempts were not refused.", outcomes.len()),
    };
    page.push_str(&afterwards(&whole.present));
    answer(&page)?;
    Ok(match (through, up) {
        (0, true) => exit::OK,
        (0, false) => exit::WARNING,
        _ => exit::EXPOSED,
    })
}

/// The watcher reads its policy again; without one nothing is to be told.
async fn reload(manager: Manager) {
    let tool = match manager {
        Manager::Systemd => plan::system(&["reload", "guardian.service"]),
        Manager::Launchd => Tool::new("/bin/launchctl", ["kill", "SIGHUP", "system/dev.guardian.watcher"]),
    };
    if let Err(failed) = tool.run().await {
        tracing::debug!(%failed, "no watcher has read the policy again");
    }
}

/// Waits until a gateway of the new user listens.
async fn comes_up(config: &Config) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < STARTS {
        if let Err(BulkheadError::Already) = present::find(&look(config).await) {
            return true;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    false
}

/// Has the gateway's user try what it must not be able to do.
async fn attempts(whole: &Whole) -> Result<Vec<Outcome>, Failure> {
    let mut homes = secrets::homes_here();
    homes.extend(Some(whole.present.home.clone()).filter(|home| !homes.contains(home)));
    homes.retain(|home| home.is_dir());
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let in_homes = homes.iter().flat_map(|home| secrets::IN_HOMES.iter().map(|(name, _)| home.join(name)));
    let secrets: Vec<PathBuf> = in_homes.filter(there).collect();
    let list = plan::attempts(&secrets, &homes, &whole.paths, whole.policy.as_deref());
    let user = User::from_name(USER).ok().flatten();
    let user = user.ok_or_else(|| BulkheadError::Unfit(format!("the user {USER} is not there")))?;
    let program = std::env::current_exe()?;
    let tool = Tool::new(program, ["bulkhead", "attempt"])
        .with_input(serde_json::to_vec(&list)?)
        .run_as(user.uid.as_raw(), user.gid.as_raw());
    let failed = |cause| BulkheadError::Command { line: crate::install::plan::line(&tool), cause };
    let printed = tool.run().await.map_err(failed)?;
    Ok(serde_json::from_str(&printed.stdout)?)
}

async fn take_down(folders: &Folders, yes: bool) -> Result<u8, Failure> {
    root("undo")?;
    possible(yes)?;
    let paths = folders.paths()?;
    let mut ledger = Ledger::read(&paths)?;
    let manager = manager()?;
    let question =
        "The gateway stops, and runs as its owner again, with all that the owner can reach. Go on?";
    if !confirm(question, yes)? {
        return Ok(exit::WARNING);
    }
    let cautions = undo(manager, &mut ledger).await?;
    reload(manager).await;
    let mut page = String::from("The bulkhead is taken down; the gateway runs as before.\n");
    for caution in &cautions {
        let _ = writeln!(page, "✗ {caution}");
    }
    answer(&page)?;
    Ok(if cautions.is_empty() { exit::OK } else { exit::WARNING })
}
