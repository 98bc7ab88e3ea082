//! A talk with one manager about one unit, which ends in time.
//!
//! A user can stop its own manager, and stays its user's: no question may keep guardian waiting for
//! long, and one that was not answered in time is the last one.

use std::path::Path;
use std::time::{Duration, Instant};

use guardian_rules::fact::{Manager, Service};
use nix::unistd::Uid;

use super::unit;
use crate::barrier::service::ServiceError;
use guardian_probes::command::Tool;

/// How long a user's manager may take for an answer, and for all of a talk.
const USERS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));
/// The same for the system's.
const SYSTEMS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));

/// A talk.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    service: &'a Service,
    runtime: Option<&'a Path>,
    each: Duration,
    until: Instant,
    silent: bool,
}

impl<'a> Talk<'a> {
    /// With the manager in this runtime folder, or the system's.
    pub(super) fn about(service: &'a Service, runtime: Option<&'a Path>) -> Self {
        let (each, all) = match service.manager {
            Manager::System => SYSTEMS,
            Manager::User(_) => USERS,
        };
        Self { service, runtime, each, until: Instant::now() + all, silent: false }
    }

    /// How the unit is.
    pub(super) async fn look(&mut self) -> Result<unit::State, ServiceError> {
        let arguments = ["show", unit::PROPERTIES, "--", &self.service.name];
        self.run("show its state", &arguments).await.map(|printed| unit::State::read(&printed))
    }

    /// Has something done.
    pub(super) async fn ask(&mut self, what: &'static str, arguments: &[&str]) -> Result<(), ServiceError> {
        self.run(what, arguments).await.map(drop)
    }

    async fn run(&mut self, what: &'static str, arguments: &[&str]) -> Result<String, ServiceError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if self.silent || left.is_zero() {
            return Err(ServiceError::Silent(self.service.clone()));
        }
        let tool = match self.runtime {
            None => systemctl(arguments),
            Some(runtime) => {
                let owner =
                    unit::manager_in(runtime).ok_or_else(|| ServiceError::NoManager(self.service.clone()))?;
                user_systemctl(arguments, runtime, Uid::effective().is_root().then_some(owner))
            }
        };
        tool.within(left.min(self.each)).run().await.map(|printed| printed.stdout).map_err(|cause| {
            self.silent = cause.timed_out();
            ServiceError::Supervisor { service: self.service.clone(), what, cause }
        })
    }
}

/// `systemctl` for the system's manager. Never asks anybody for a password.
pub(super) fn systemctl(arguments: &[&str]) -> Tool {
    Tool::new("systemctl", ["--system", "--no-ask-password", "--no-pager"].iter().chain(arguments))
}

/// The same for a user's manager, as that user if another one is to be.
pub(super) fn user_systemctl(arguments: &[&str], runtime: &Path, user: Option<(u32, u32)>) -> Tool {
    let tool = Tool::new("systemctl", ["--user", "--no-ask-password", "--no-pager"].iter().chain(arguments))
        .with("XDG_RUNTIME_DIR", runtime);
    match user {
        Some((uid, gid)) => tool.run_as(uid, gid),
        None => tool,
    }
}
