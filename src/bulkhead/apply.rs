//! Puts a bulkhead up and takes it down.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use guardian_probes::command::Tool;
use guardian_rules::fact::{Manager as Whose, Service};
use nix::unistd::User;

use super::ledger::{Change, Ledger, text};
use super::ownership::{self, Identity, Owner};
use super::plan::{Step, system, systemctl};
use super::present::session;
use super::{BulkheadError, USER, agent};
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
                self.ledger.note(Change::Folder { path: path.clone(), heir: *heir })?;
                // For root alone, until all is in it.
                Ok(DirBuilder::new().mode(FOLDER).create(path).map_err(unchanged(path))?)
            }
            Step::Mode { path, before, after } => {
                self.ledger.note(Change::Mode { path: path.clone(), before: *before, after: *after })?;
                fs::set_permissions(path, Permissions::from_mode(*after)).map_err(unchanged(path))
            }
            Step::Stop { service, owner } => self.stop(service, *owner).await,
            Step::Move { from, to, owner } => self.moves(from, to, *owner),
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
                rewrite(path, after)
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

    /// Moves the folder that was looked at, and no other that has been put in its place.
    fn moves(&mut self, from: &Path, to: &Path, owner: Owner) -> Result<(), BulkheadError> {
        let identity = Identity::of(from).map_err(unchanged(from))?;
        self.ledger.note(Change::Moved {
            from: from.to_owned(),
            to: to.to_owned(),
            before: owner,
            identity,
        })?;
        fs::rename(from, to).map_err(across(from, to))?;
        if Identity::of(to).map_err(unchanged(to))? != identity {
            fs::rename(to, from).map_err(unchanged(from))?;
            return Err(BulkheadError::Unfit(format!("{} was exchanged while it was moved", from.display())));
        }
        let gateways = its_owner()?;
        ownership::all_is(to, owner).map_err(unchanged(to))?;
        ownership::give(to, owner, gateways).map_err(unchanged(to))?;
        let home = to.parent().unwrap_or(to);
        chown(home, Some(gateways.uid), Some(gateways.gid)).map_err(unchanged(home))
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
                chown(path, Some(heir.uid), Some(heir.gid)).map_err(unchanged(path))?;
                let stays = format!(
                    "what the gateway has made in {} stays there, and is its owner's now",
                    path.display()
                );
                return Ok(Some(given_back(path, *heir, stays)));
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
        Change::Moved { from, to, before, identity } => {
            if !Identity::of(to).is_ok_and(|there| there == *identity) {
                // It never left its place, or is back.
                let back = Identity::of(from).is_ok_and(|there| there == *identity);
                let nowhere =
                    format!("the gateway's state is neither {} nor {}", to.display(), from.display());
                return Ok((!back).then_some(nowhere));
            }
            if from.symlink_metadata().is_ok() {
                let both = format!(
                    "{} and {} are both there: move the first away, then type it again",
                    from.display(),
                    to.display()
                );
                return Err(BulkheadError::Unfit(both));
            }
            fs::rename(to, from).map_err(across(to, from))?;
            let given = given_back(from, *before, String::new());
            return Ok((!given.is_empty()).then_some(given));
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
            Ok(now) if now == *after => rewrite(path, before)?,
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

/// Gives what is the gateway's user's back, or says how. What cannot be done must not keep the rest from
/// being taken back.
fn given_back(path: &Path, owner: Owner, done: String) -> String {
    match its_owner().and_then(|gateways| ownership::give(path, gateways, owner).map_err(unchanged(path))) {
        Ok(()) => done,
        Err(failed) => format!(
            "{}; type: sudo chown -R --no-dereference {}:{} {}",
            crate::cli::chain(&failed),
            owner.uid,
            owner.gid,
            path.display()
        ),
    }
}

/// Another text for a file that stays whose it is, and as closed as it is.
fn rewrite(path: &Path, text: &str) -> Result<(), BulkheadError> {
    let metadata = fs::symlink_metadata(path).map_err(unchanged(path))?;
    durable::replace(path, text.as_bytes(), metadata.permissions().mode() & 0o777)?;
    chown(path, Some(metadata.uid()), Some(metadata.gid())).map_err(unchanged(path))
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

/// Whole folders are moved by their names: that is one step, and nothing is ever there twice.
fn across<'p>(from: &'p Path, to: &'p Path) -> impl FnOnce(io::Error) -> BulkheadError + 'p {
    move |cause| match cause.kind() {
        io::ErrorKind::CrossesDevices => BulkheadError::Unfit(format!(
            "{} lies on a disk of its own, and cannot be moved to {} as a whole",
            from.display(),
            to.display()
        )),
        _ => BulkheadError::Unchanged { path: from.to_owned(), cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::scratch::Scratch;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// A step whose undoing runs no command.
    fn closes(path: &Path) -> Step {
        Step::Mode { path: path.to_owned(), before: 0o755, after: 0o750 }
    }

    async fn applied(ledger: &mut Ledger, step: &Step) -> Result<(), BulkheadError> {
        Builder { manager: Manager::Launchd, ledger, gateway: 0 }.apply(step).await
    }

    #[tokio::test]
    async fn what_fails_was_written_down_first_and_all_before_it_is_taken_back() {
        let scratch = Scratch::new();
        scratch.paths.prepare().unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let mut ledger = Ledger::begin(&scratch.paths).unwrap();
        applied(&mut ledger, &closes(home.path())).await.unwrap();
        let nowhere = home.path().join("nowhere/file");
        let writes = Step::Write { path: nowhere.clone(), text: String::new() };
        applied(&mut ledger, &writes).await.unwrap_err();
        // As whoever comes after a crash finds it.
        drop(ledger);
        let mut ledger = Ledger::read(&scratch.paths).unwrap();
        assert_eq!(ledger.changes.last(), Some(&Change::Written { path: nowhere }));
        assert!(matches!(Ledger::stands(&scratch.paths), Some(BulkheadError::Half)));
        assert_eq!(mode(home.path()), 0o750);
        assert!(undo(Manager::Launchd, &mut ledger).await.unwrap().is_empty());
        assert_eq!(mode(home.path()), 0o755);
        assert!(matches!(Ledger::read(&scratch.paths), Err(BulkheadError::None)));
    }

    #[tokio::test]
    async fn what_somebody_has_changed_since_stays_and_is_said() {
        let scratch = Scratch::new();
        scratch.paths.prepare().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("guardian.toml");
        fs::write(&policy, "before\n").unwrap();
        fs::set_permissions(&policy, Permissions::from_mode(0o640)).unwrap();
        let mut ledger = Ledger::begin(&scratch.paths).unwrap();
        let step =
            Step::Policy { path: policy.clone(), before: "before\n".to_owned(), after: "after\n".to_owned() };
        applied(&mut ledger, &step).await.unwrap();
        assert_eq!((fs::read_to_string(&policy).unwrap().as_str(), mode(&policy)), ("after\n", 0o640));
        fs::write(&policy, "theirs\n").unwrap();
        let cautions = undo(Manager::Launchd, &mut ledger).await.unwrap();
        assert!(cautions.len() == 1 && cautions[0].contains("was changed since"), "{cautions:?}");
        assert_eq!(fs::read_to_string(&policy).unwrap(), "theirs\n");
    }
}
