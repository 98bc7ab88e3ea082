//! systemd: a runtime drop-in with a condition that never holds, and a stop.
//!
//! `systemctl mask --runtime` does nothing to a unit in `/etc/systemd/system` or
//! `~/.config/systemd/user`, which come before `/run` (systemd.unit(5)); a drop-in applies wherever
//! the unit lies, and is gone after a reboot. A restart that is pending when it is written meets the
//! condition too.

mod drop_in;
mod unit;

use std::path::{Path, PathBuf};

use guardian_rules::fact::{Manager, Service};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use super::{ServiceError, Supervisor};
use crate::barrier::Held;
use crate::sys::command::{CommandError, Tool};

/// `systemctl stop` of a unit that is not loaded (systemctl(1), after the LSB).
const NOT_LOADED: i32 = 5;

/// What has to be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// It had failed already.
    failed: bool,
    /// The drop-in that holds it.
    drop_in: PathBuf,
    /// Folders that are made for the drop-in, outermost first.
    made: Vec<PathBuf>,
    /// The runtime folder of its user.
    runtime: Option<PathBuf>,
}

/// Asks the manager, and finds out where the drop-in goes.
pub(super) async fn before(service: &Service) -> Result<super::Before, ServiceError> {
    if !unit::is_safe(&service.name) {
        return Err(ServiceError::Name(service.name.clone()));
    }
    let own = Uid::effective();
    let runtime = match service.manager {
        Manager::System if own.is_root() => None,
        Manager::User(uid) if own.is_root() => Some(unit::usual_runtime(uid)),
        Manager::User(uid) if own.as_raw() == uid => Some(
            std::env::var_os("XDG_RUNTIME_DIR")
                .map(PathBuf::from)
                .filter(|folder| folder.is_absolute())
                .unwrap_or_else(|| unit::usual_runtime(uid)),
        ),
        _ => return Err(ServiceError::NotOurs(service.clone())),
    };
    let drop_in = unit::drop_in(service, own.is_root(), runtime.as_deref());
    let made = drop_in::missing_folders(&drop_in);
    let state = look(service, runtime.as_deref()).await?;
    Ok(super::Before {
        service: service.clone(),
        active: state.runs(),
        supervisor: Supervisor::Systemd(Before { failed: state.failed(), drop_in, made, runtime }),
    })
}

/// Each step is taken whatever becomes of the others; the first failure is reported.
pub(super) async fn raise(service: &Service, before: &Before) -> Result<(), ServiceError> {
    let runtime = before.runtime.as_deref();
    let written = drop_in::write(&before.drop_in);
    // Stopped before the reload as well, which takes its time, and after it again: something may
    // have started it in between.
    let stopped = stop(service, runtime).await;
    let loaded = ask(service, runtime, "reload its units", &["daemon-reload"]).await;
    let stopped_again = stop(service, runtime).await;
    written.and(loaded).and(stopped_again).and(stopped)
}

/// The drop-in is in place and loaded, nothing after it can take the condition back, and the unit
/// is down.
pub(super) async fn standing(service: &Service, before: &Before) -> Held {
    match drop_in::in_place(&before.drop_in) {
        Ok(true) => {}
        Ok(false) => return Held::No,
        Err(_) => return Held::Unknown,
    }
    if nobody_home(before) {
        return Held::Yes;
    }
    match look(service, before.runtime.as_deref()).await {
        Ok(state) => state.held_by(&before.drop_in),
        Err(_) => Held::Unknown,
    }
}

/// Takes the drop-in away. A manager that does not run has nothing loaded.
pub(super) async fn lower(service: &Service, before: &Before, start: bool) -> Result<(), ServiceError> {
    let runtime = before.runtime.as_deref();
    drop_in::remove(&before.drop_in, &before.made)?;
    match ask(service, runtime, "reload its units", &["daemon-reload"]).await {
        Err(ServiceError::NoManager(_)) if !start => return Ok(()),
        other => other?,
    }
    if !before.failed && look(service, runtime).await?.failed() {
        // It was ended by signals, which is no failure of its own.
        ask(service, runtime, "forget its failure", &["reset-failed", "--", &service.name]).await?;
    }
    if start {
        ask(service, runtime, "start it", &["start", "--no-block", "--", &service.name]).await?;
    }
    Ok(())
}

/// The user has no session at all, so no manager: its runtime folder, which only root takes away,
/// is gone. A manager that starts later loads root's drop-in.
fn nobody_home(before: &Before) -> bool {
    let Some(runtime) = &before.runtime else { return false };
    let gone = std::fs::symlink_metadata(runtime)
        .is_err_and(|failure| failure.kind() == std::io::ErrorKind::NotFound);
    gone && !before.drop_in.starts_with(runtime)
}

async fn look(service: &Service, runtime: Option<&Path>) -> Result<unit::State, ServiceError> {
    let arguments = ["show", unit::PROPERTIES, "--", &service.name];
    let printed = run(service, runtime, "show its state", &arguments).await?;
    Ok(unit::State::read(&printed))
}

async fn stop(service: &Service, runtime: Option<&Path>) -> Result<(), ServiceError> {
    match ask(service, runtime, "stop it", &["stop", "--no-block", "--", &service.name]).await {
        Err(ServiceError::Supervisor { cause, .. }) if cause.code() == Some(NOT_LOADED) => Ok(()),
        other => other,
    }
}

async fn ask(
    service: &Service,
    runtime: Option<&Path>,
    what: &'static str,
    arguments: &[&str],
) -> Result<(), ServiceError> {
    run(service, runtime, what, arguments).await.map(drop)
}

async fn run(
    service: &Service,
    runtime: Option<&Path>,
    what: &'static str,
    arguments: &[&str],
) -> Result<String, ServiceError> {
    let tool = match runtime {
        None => systemctl(arguments),
        Some(runtime) => {
            let owner = unit::manager_in(runtime).ok_or_else(|| ServiceError::NoManager(service.clone()))?;
            user_systemctl(arguments, runtime, Uid::effective().is_root().then_some(owner))
        }
    };
    let failed = |cause: CommandError| ServiceError::Supervisor { service: service.clone(), what, cause };
    tool.run().await.map(|printed| printed.stdout).map_err(failed)
}

/// `systemctl` for the system's manager. Never asks anybody for a password.
fn systemctl(arguments: &[&str]) -> Tool {
    Tool::new("systemctl", ["--system", "--no-ask-password", "--no-pager"].iter().chain(arguments))
}

/// The same for a user's manager, as that user if another one is to be.
fn user_systemctl(arguments: &[&str], runtime: &Path, user: Option<(u32, u32)>) -> Tool {
    let tool = Tool::new("systemctl", ["--user", "--no-ask-password", "--no-pager"].iter().chain(arguments))
        .with("XDG_RUNTIME_DIR", runtime);
    match user {
        Some((uid, gid)) => tool.run_as(uid, gid),
        None => tool,
    }
}

#[cfg(test)]
mod tests;
