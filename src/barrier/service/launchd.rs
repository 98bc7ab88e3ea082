//! launchd: the job is disabled, killed and booted out, in this order.
//!
//! Without `disable` a job that is kept alive comes back after the kill, and a login loads it again
//! after `bootout`. `bootout` returns when launchd has accepted it, not when the job has ended; so
//! the kill comes before. Exit codes are those of launchctl(1) and `launchctl error`.

mod command;
mod print;

use std::path::PathBuf;
use std::time::Duration;

use guardian_probes::owner::role::product_of_label;
use guardian_rules::fact::{Manager, Service};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use super::claim::{Line, Told};
use super::{ServiceError, Supervisor};
use crate::barrier::Held;
use guardian_probes::command::{CommandError, Printed, Tool};

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

/// Asks each domain in which the job may be, and is the gateway's own.
pub(super) async fn before(service: &Service, lines: &[Line]) -> Result<super::Before, ServiceError> {
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
    let mut refused = None;
    for domain in command::domains(service.manager) {
        let job = match ask(service, "show its state", command::print(&domain, &service.name)).await {
            Ok(printed) => print::Job::read(&printed.stdout),
            Err(failure) if command::is_elsewhere(code(&failure)) => continue,
            Err(failure) => return Err(failure),
        };
        if let Err(failure) = check(service, &domain, &job, lines) {
            refused = refused.or(Some(failure));
            continue;
        }
        let disabled = is_disabled(service, &domain).await?.unwrap_or(false);
        return Ok(super::Before {
            service: service.clone(),
            active: job.runs(),
            supervisor: Supervisor::Launchd(Before { domain, plist: job.path, disabled }),
        });
    }
    Err(refused.unwrap_or_else(|| ServiceError::NotLoaded(service.clone())))
}

/// An error, unless the job is a gateway's own. A user's process that names a job among the daemons
/// has to be that job: there the name may be another user's gateway.
fn check(service: &Service, domain: &str, job: &print::Job, lines: &[Line]) -> Result<(), ServiceError> {
    let systems = domain == "system";
    let named = product_of_label(&service.name).is_some();
    let products = named && (!systems || service.manager == Manager::System);
    super::check(service, products, &Told { known: true, main: job.pid, systems, group: None }, lines)
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
    use crate::barrier::process::kinship::Kin;

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

    /// As `launchctl print` shows a job that runs as process 812.
    const RUNS: &str = "gui/501/x = {\n\tstate = running\n\tdomain = gui/501 [100005]\n\tpid = 812\n}\n";
    const IDLE: &str = "gui/501/x = {\n\tstate = not running\n}\n";

    fn judged(label: &str, domain: &str, printed: &str, line: &[(u32, u32)]) -> Result<(), ServiceError> {
        let service = Service { name: label.to_owned(), manager: Manager::User(501) };
        let kin = line.iter().map(|(pid, uid)| Kin { pid: *pid, uid: Some(*uid) }).collect();
        check(&service, domain, &print::Job::read(printed), &[Line { kin, groups: Vec::new() }])
    }

    #[test]
    fn a_job_with_the_products_label_is_the_users_own_whether_it_runs_or_not() {
        for printed in [RUNS, IDLE] {
            assert!(judged("ai.openclaw.gateway", "gui/501", printed, &[(900, 501)]).is_ok());
        }
        let daemon = judged("ai.openclaw.gateway", "system", RUNS, &[(900, 501)]);
        assert!(matches!(daemon, Err(ServiceError::NotTheGateways { .. })), "another user's daemon");
        assert!(judged("ai.openclaw.gateway", "system", RUNS, &[(812, 501)]).is_ok(), "its own");
    }

    #[test]
    fn any_other_label_has_to_run_the_gateway_or_its_wrapper() {
        let label = "org.example.bot";
        for line in [&[(812, 501)][..], &[(900, 501), (850, 501), (812, 501)]] {
            assert!(judged(label, "gui/501", RUNS, line).is_ok(), "{line:?}");
        }
        for (domain, line) in [
            ("gui/501", &[(900, 501)][..]),
            ("system", &[(900, 501), (812, 0)]),
            ("system", &[(900, 0), (850, 0), (812, 0)]),
        ] {
            let refused = judged(label, domain, RUNS, line);
            assert!(matches!(refused, Err(ServiceError::NotTheGateways { .. })), "{line:?}");
        }
        for (printed, line) in [(IDLE, &[(812, 501)][..]), (RUNS, &[]), ("garbage = {", &[(812, 501)])] {
            let unknown = judged(label, "gui/501", printed, line);
            assert!(matches!(unknown, Err(ServiceError::Unproven(_))), "{printed}");
        }
    }

    #[test]
    fn the_systems_own_jobs_are_never_held() {
        let refused = judged("com.apple.Dock", "gui/501", RUNS, &[(812, 501)]);
        assert!(matches!(refused, Err(ServiceError::NotTheGateways { .. })));
    }
}
