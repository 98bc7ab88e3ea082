//! systemd: a runtime drop-in with a condition that never holds, and a stop.
//!
//! `systemctl mask --runtime` does nothing to a unit in `/etc/systemd/system` or
//! `~/.config/systemd/user`, which come before `/run` (systemd.unit(5)); a drop-in applies wherever
//! the unit lies, and is gone after a reboot. A restart that is pending when it is written meets the
//! condition too.

mod drop_in;
mod manager;
mod unit;

use std::path::PathBuf;

use guardian_probes::owner::role::product_of_service;
use guardian_rules::fact::{Manager, Service};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use self::manager::Talk;
use super::claim::Line;
use super::{ServiceError, Supervisor};
use crate::barrier::Held;

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
pub(super) async fn before(service: &Service, lines: &[Line]) -> Result<super::Before, ServiceError> {
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
    let state = Talk::about(service, runtime.as_deref()).look().await?;
    super::check(service, product_of_service(&service.name).is_some(), &state.told(service.manager), lines)?;
    let drop_in = unit::drop_in(service, own.is_root(), runtime.as_deref());
    let made = drop_in::folders(&drop_in);
    Ok(super::Before {
        service: service.clone(),
        active: state.runs(),
        supervisor: Supervisor::Systemd(Before { failed: state.failed(), drop_in, made, runtime }),
    })
}

/// Each step is taken whatever becomes of the others, unless the manager has fallen silent; the
/// first failure is reported.
pub(super) async fn raise(service: &Service, before: &Before) -> Result<(), ServiceError> {
    let mut talk = Talk::about(service, before.runtime.as_deref());
    let written = drop_in::write(&before.drop_in);
    // Stopped before the reload as well, which takes its time, and after it again: something may
    // have started it in between.
    let stopped = stop(&mut talk, service).await;
    let loaded = talk.ask("reload its units", &["daemon-reload"]).await;
    let stopped_again = stop(&mut talk, service).await;
    written.and(stopped).and(loaded).and(stopped_again)
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
    match Talk::about(service, before.runtime.as_deref()).look().await {
        Ok(state) => state.held_by(&before.drop_in, drop_in::holds_too),
        Err(_) => Held::Unknown,
    }
}

/// Takes the drop-in away. A manager that does not run has nothing loaded.
pub(super) async fn lower(service: &Service, before: &Before, start: bool) -> Result<(), ServiceError> {
    let mut talk = Talk::about(service, before.runtime.as_deref());
    drop_in::remove(&before.drop_in, &before.made)?;
    match talk.ask("reload its units", &["daemon-reload"]).await {
        Err(ServiceError::NoManager(_)) if !start => return Ok(()),
        other => other?,
    }
    if !before.failed && talk.look().await?.failed() {
        // It was ended by signals, which is no failure of its own.
        talk.ask("forget its failure", &["reset-failed", "--", &service.name]).await?;
    }
    if start {
        talk.ask("start it", &["start", "--no-block", "--", &service.name]).await?;
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

async fn stop(talk: &mut Talk<'_>, service: &Service) -> Result<(), ServiceError> {
    match talk.ask("stop it", &["stop", "--no-block", "--", &service.name]).await {
        Err(ServiceError::Supervisor { cause, .. }) if cause.code() == Some(NOT_LOADED) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
