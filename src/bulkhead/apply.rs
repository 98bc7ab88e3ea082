//! Puts a bulkhead up and takes it down.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use guardian_probes::command::Tool;
use guardian_rules::fact::{Manager as Whose, Service};
use nix::unistd::User;

use super::ledger::{Change, Ledger, text};
use super::ownership::{self, Owner};
use super::plan::{Step, system, systemctl};
use super::present::session;
use super::relocate::{clear, leaving, partial, relocate};
use super::{BulkheadError, HOME, USER, agent};
use crate::install::account;
use crate::install::plan::line;
use crate::install::site::Manager;
use crate::sys::durable;

/// What all may read, for it holds no secret.
const FILE: u32 = 0o644;
/// For root alone, until it is given away.
const FOLDER: u32 = 0o700;
/// A gateway ends within this time after its service was stopped.
const ENDS: Duration = Duration::from_secs(20);

/// Carries steps out.
pub(crate) struct Builder<'l> {
    pub(crate) manager: Manager,
    pub(crate) ledger: &'l mut Ledger,
    /// The process that has to end when its service is stopped.
    pub(crate) gateway: u32,
}

impl Builder<'_> {
    /// Does one step, which is written down first.
    pub(crate) async fn apply(&mut self, step: &Step) -> Result<(), BulkheadError> {
        match step {
            Step::Account(commands) => {
                self.ledger.note(Change::Account)?;
                for tool in commands {
                    run(tool).await?;
                }
                Ok(())
            }
            Step::Folder { path, heir } => {
                if path.is_dir() {
                    return own(path);
                }
                self.ledger.note(Change::Folder { path: path.clone(), heir: *heir })?;
                DirBuilder::new().mode(FOLDER).create(path).map_err(unchanged(path))?;
                own(path)
            }
            Step::Mode { path, before, after } => {
                self.ledger.note(Change::Mode { path: path.clone(), before: *before, after: *after })?;
                fs::set_permissions(path, Permissions::from_mode(*after)).map_err(unchanged(path))
            }
            Step::Stop { service, owner } => self.stop(service, *owner).await,
            Step::Move { from, to, owner } => self.moves(from, to, *owner).await,
            Step::Write { path, text } => {
                if path.symlink_metadata().is_ok() {
                    return Err(BulkheadError::Unfit(format!("{} is there already", path.display())));
                }
                self.ledger.note(Change::Written { path: path.clone() })?;
                Ok(durable::replace(path, text.as_bytes(), FILE)?)
            }
            Step::Start { name } => {
                self.ledger.note(Change::Started { name: name.clone() })?;
                match self.manager {
                    Manager::Systemd => {
                        run(&system(&["daemon-reload"])).await?;
                        run(&system(&["enable", "--now", name])).await
                    }
                    Manager::Launchd => run(&agent::bootstrap(name)).await,
                }
            }
            Step::Policy { path, before, after } => {
                self.ledger.note(Change::Policy {
                    path: path.clone(),
                    before: before.clone(),
                    after: after.clone(),
                })?;
                Ok(durable::replace(path, after.as_bytes(), FILE)?)
            }
        }
    }

    async fn stop(&mut self, service: &Service, owner: Owner) -> Result<(), BulkheadError> {
        let (enabled, file) = match self.manager {
            Manager::Systemd => (
                systemctl(service, owner, &["is-enabled", "--quiet", &service.name]).run().await.is_ok(),
                None,
            ),
            Manager::Launchd => (true, Some(agent::file(service, owner)?)),
        };
        self.ledger.note(Change::Stopped { service: service.clone(), owner, enabled, file })?;
        match self.manager {
            Manager::Systemd => {
                if enabled {
                    run(&systemctl(service, owner, &["disable", "--quiet", &service.name])).await?;
                }
                run(&systemctl(service, owner, &["stop", &service.name])).await?;
            }
            Manager::Launchd => {
                for tool in agent::stop(service) {
                    run(&tool).await?;
                }
            }
        }
        let begun = Instant::now();
        while runs(self.gateway) {
            if begun.elapsed() > ENDS {
                let still =
                    format!("the gateway (pid {}) still runs after its service was stopped", self.gateway);
                return Err(BulkheadError::Unfit(still));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn moves(&mut self, from: &Path, to: &Path, owner: Owner) -> Result<(), BulkheadError> {
        if to.symlink_metadata().is_ok() {
            return Err(BulkheadError::Unfit(format!("{} is there already", to.display())));
        }
        let others = ownership::others(from, owner).map_err(unchanged(from))?;
        self.ledger.note(Change::Moved {
            from: from.to_owned(),
            to: to.to_owned(),
            before: owner,
            others,
            done: false,
        })?;
        relocate(from, to).await?;
        ownership::give(to, its_owner()?, &[]).map_err(unchanged(to))?;
        self.ledger.moved()
    }
}

/// Takes all changes back, the latest first. Gives a sentence for each that somebody has to look after.
pub(crate) async fn undo(manager: Manager, ledger: &mut Ledger) -> Result<Vec<String>, BulkheadError> {
    let mut cautions = Vec::new();
    while let Some(change) = ledger.changes.last().cloned() {
        cautions.extend(take_back(manager, &change).await?);
        ledger.taken_back()?;
    }
    Ok(cautions)
}

async fn take_back(manager: Manager, change: &Change) -> Result<Option<String>, BulkheadError> {
    match change {
        Change::Account => {
            if User::from_name(USER).ok().flatten().is_some() {
                for tool in account::unmake(manager, USER) {
                    run(&tool).await?;
                }
            }
        }
        Change::Folder { path, heir } => match fs::remove_dir(path) {
            // Its user's number may be somebody else's one day.
            Err(kept) if kept.kind() == io::ErrorKind::DirectoryNotEmpty => {
                ownership::give(path, *heir, &[]).map_err(unchanged(path))?;
                return Ok(Some(format!(
                    "what the gateway has made in {} stays there, and is its owner's now",
                    path.display()
                )));
            }
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(unchanged(path))?,
        },
        Change::Mode { path, before, after } => {
            let mode = fs::symlink_metadata(path).map_err(unchanged(path))?.permissions().mode() & 0o7777;
            if mode != *after && mode != *before {
                return Ok(Some(format!(
                    "{} has got the mode {mode:04o} since; it stays so",
                    path.display()
                )));
            }
            fs::set_permissions(path, Permissions::from_mode(*before)).map_err(unchanged(path))?;
        }
        Change::Stopped { service, owner, enabled, file } => match (manager, file) {
            (Manager::Systemd, _) => {
                if let Whose::User(_) = service.manager
                    && session(service).is_some_and(|it| !it.join("systemd/private").exists())
                {
                    return Ok(Some(format!(
                        "{service} has no manager now: enable it when its user is signed in"
                    )));
                }
                if *enabled {
                    run(&systemctl(service, *owner, &["enable", "--quiet", &service.name])).await?;
                }
                run(&systemctl(service, *owner, &["start", &service.name])).await?;
            }
            (Manager::Launchd, Some(file)) => {
                for tool in agent::start(service, file) {
                    run(&tool).await?;
                }
            }
            (Manager::Launchd, None) => {}
        },
        Change::Moved { from, to, before, others, done } => {
            let (is_back, is_there) = (from.symlink_metadata().is_ok(), to.symlink_metadata().is_ok());
            clear(&partial(to))?;
            match (is_back, is_there) {
                // The whole folder has not left its place.
                (true, true) if !done => clear(to)?,
                (true, true) => {
                    let both = format!(
                        "{} and {} are both there: move the first away, then type it again",
                        from.display(),
                        to.display()
                    );
                    return Err(BulkheadError::Unfit(both));
                }
                (false, true) => {
                    clear(&leaving(from))?;
                    ownership::give(to, *before, others).map_err(unchanged(to))?;
                    relocate(to, from).await?;
                }
                (true, false) => clear(&leaving(to))?,
                (false, false) => return Ok(Some(format!("{} is nowhere", from.display()))),
            }
        }
        Change::Written { path } => durable::remove(path)?,
        Change::Started { name } => match manager {
            Manager::Systemd => {
                // Not there if the file was not written any more.
                let _ = run(&system(&["disable", "--now", "--quiet", name])).await;
            }
            Manager::Launchd => {
                let _ = run(&agent::bootout(name)).await;
            }
        },
        Change::Policy { path, before, after } => match text(path) {
            Ok(now) if now == *after => durable::replace(path, before.as_bytes(), FILE)?,
            Ok(now) if now == *before => {}
            _ => {
                let line =
                    format!("take `user = \"{USER}\"` out of {}: it was changed since", path.display());
                return Ok(Some(line));
            }
        },
    }
    if let (Manager::Systemd, Change::Written { .. }) = (manager, change) {
        run(&system(&["daemon-reload"])).await?;
    }
    Ok(None)
}

/// The gateway's home is the gateway's.
fn own(path: &Path) -> Result<(), BulkheadError> {
    let owner = its_owner()?;
    if path == Path::new(HOME) {
        chown(path, Some(owner.uid), Some(owner.gid)).map_err(unchanged(path))?;
    }
    Ok(())
}

/// The user of the gateway, who has to be there by now.
fn its_owner() -> Result<Owner, BulkheadError> {
    let user = User::from_name(USER).ok().flatten();
    let user = user.ok_or_else(|| BulkheadError::Unfit(format!("the user {USER} is not there")))?;
    Ok(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

fn runs(pid: u32) -> bool {
    let pid = i32::try_from(pid).unwrap_or(i32::MAX);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
}

async fn run(tool: &Tool) -> Result<(), BulkheadError> {
    tool.run().await.map(drop).map_err(|cause| BulkheadError::Command { line: line(tool), cause })
}

fn unchanged(path: &Path) -> impl FnOnce(io::Error) -> BulkheadError + '_ {
    move |cause| BulkheadError::Unchanged { path: path.to_owned(), cause }
}
