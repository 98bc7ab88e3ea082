//! launchd: the job is disabled, killed and booted out, in this order.
//!
//! Without `disable` a job that is kept alive comes back after the kill, and a login loads it again
//! after `bootout`. `bootout` returns when launchd has accepted it, not when the job has ended; so
//! the kill comes before. Exit codes are those of launchctl(1) and `launchctl error`.

mod command;
mod print;

use std::path::PathBuf;
use std::time::Duration;

use guardian_rules::fact::{Manager, Service};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use super::{ServiceError, Supervisor};
use crate::barrier::Held;
use crate::sys::command::{CommandError, Printed, Tool};

/// What has to be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// The domain it was found in: `gui/501`.
    domain: String,
    /// Its property list, if launchd told.
    plist: Option<PathBuf>,
    /// It was disabled already.
    disabled: bool,
}

/// Asks each domain in which the job may be.
pub(super) async fn before(service: &Service) -> Result<super::Before, ServiceError> {
    if !command::is_safe(&service.name) {
        return Err(ServiceError::Name(service.name.clone()));
    }
    let own = Uid::effective();
    let ours = match service.manager {
        _ if own.is_root() => true,
        Manager::System => false,
        Manager::User(uid) => own.as_raw() == uid,
    };
    if !ours {
        return Err(ServiceError::NotOurs(service.clone()));
    }
    for domain in command::domains(service.manager) {
        let job = match ask(service, "show its state", command::print(&domain, &service.name)).await {
            Ok(printed) => print::Job::read(&printed.stdout),
            Err(failure) if command::is_elsewhere(code(&failure)) => continue,
            Err(failure) => return Err(failure),
        };
        let disabled = is_disabled(service, &domain).await?.unwrap_or(false);
        return Ok(super::Before {
            service: service.clone(),
            active: job.runs(),
            supervisor: Supervisor::Launchd(Before { domain, plist: job.path, disabled }),
        });
    }
    Err(ServiceError::NotLoaded(service.clone()))
}

/// Each step is taken whatever becomes of the others; the first failure is reported.
pub(super) async fn raise(service: &Service, before: &Before) -> Result<(), ServiceError> {
    let (domain, label) = (before.domain.as_str(), service.name.as_str());
    let disabled = ask(service, "disable it", command::disable(domain, label)).await.map(drop);
    let killed = unless_gone(ask(service, "kill it", command::kill(domain, label)).await);
    let out = unless_gone(ask(service, "unload it", command::bootout(domain, label)).await);
    disabled.and(out).and(killed)
}

/// It is disabled and not loaded, so nothing starts it.
pub(super) async fn standing(service: &Service, before: &Before) -> Held {
    match ask(service, "show its state", command::print(&before.domain, &service.name)).await {
        Ok(_) => return Held::No,
        Err(failure) if command::is_elsewhere(code(&failure)) => {}
        Err(_) => return Held::Unknown,
    }
    match is_disabled(service, &before.domain).await {
        Ok(Some(true)) => Held::Yes,
        Ok(_) => Held::No,
        Err(_) => Held::Unknown,
    }
}

/// Enables it again, and loads it if it is to run.
pub(super) async fn lower(service: &Service, before: &Before, start: bool) -> Result<(), ServiceError> {
    if !before.disabled {
        ask(service, "enable it", command::enable(&before.domain, &service.name)).await?;
    }
    if !start {
        return Ok(());
    }
    let plist = before.plist.as_ref().ok_or_else(|| ServiceError::NoPlist(service.clone()))?;
    let bootstrap = command::bootstrap(&before.domain, plist);
    let mut waited = Duration::ZERO;
    loop {
        let Err(failure) = ask(service, "load it", bootstrap.clone()).await else { return Ok(()) };
        match command::after_bootstrap(code(&failure), waited) {
            command::Next::Done => return Ok(()),
            command::Next::Again(pause) => {
                tokio::time::sleep(pause).await;
                waited += pause;
            }
            command::Next::GiveUp => return Err(failure),
        }
    }
}

async fn is_disabled(service: &Service, domain: &str) -> Result<Option<bool>, ServiceError> {
    let printed = ask(service, "list what is disabled", command::print_disabled(domain)).await?;
    Ok(print::disabled(&printed.stdout, &service.name))
}

/// A job that is not there any more, or about to go, needs no more of it.
fn unless_gone(outcome: Result<Printed, ServiceError>) -> Result<(), ServiceError> {
    match outcome {
        Err(failure) if command::is_gone(code(&failure)) => Ok(()),
        other => other.map(drop),
    }
}

fn code(failure: &ServiceError) -> Option<i32> {
    match failure {
        ServiceError::Supervisor { cause, .. } => cause.code(),
        _ => None,
    }
}

async fn ask(service: &Service, what: &'static str, tool: Tool) -> Result<Printed, ServiceError> {
    let failed = |cause: CommandError| ServiceError::Supervisor { service: service.clone(), what, cause };
    tool.run().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_written_and_read_unchanged() {
        let record = Before {
            domain: "gui/501".to_owned(),
            plist: Some("/Users/ana/Library/LaunchAgents/ai.openclaw.gateway.plist".into()),
            disabled: false,
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Before>(&text).unwrap(), record);
    }
}
