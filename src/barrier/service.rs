//! The service barrier: the gateway's supervisor is kept from starting it.
//!
//! systemd and launchd are told by their own means, and asked whether it took. Both sides are data
//! and parsers that compile everywhere; which supervisor is asked first depends on the system.
//!
//! A supervisor of a user answers as that user. A hostile one could lie about itself: that the
//! gateway is gone is for the process and port barriers to show.

mod claim;
mod launchd;
mod systemd;

use std::collections::BTreeSet;

use guardian_rules::fact::Service;
use serde::{Deserialize, Serialize};

use self::claim::{Line, Own, Told};
use super::process::kinship;
use super::{Held, Identity};
use guardian_probes::command::CommandError;

/// How a service was before anything was done to it. It goes into the undo journal.
///
/// Taken once, before the first `raise`: while the barrier stands a look shows the barrier's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// Which service.
    pub(crate) service: Service,
    /// It ran, or was about to.
    pub(crate) active: bool,
    /// What its supervisor needs to know to put it back.
    pub(crate) supervisor: Supervisor,
}

/// What only one kind of supervisor has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Supervisor {
    /// systemd's.
    Systemd(systemd::Before),
    /// launchd's.
    Launchd(launchd::Before),
}

/// Why a service could not be held or let go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Not a name that is put into a path or handed to a program.
    #[error("{0:?} is not a name of a service that guardian would act on")]
    Name(String),
    /// Somebody else's.
    #[error("{0} can be held by root alone")]
    NotOurs(Service),
    /// A process claimed it that it does not run.
    #[error("{service} is not the gateway's own service: {why}")]
    NotTheGateways {
        /// The service.
        service: Service,
        /// What shows it.
        why: String,
    },
    /// Nothing shows whose it is.
    #[error("whether {0} is the gateway's own service cannot be told: no gateway runs in it now")]
    Unproven(Service),
    /// The supervisor let the time pass.
    #[error("the supervisor of {0} does not answer in time, so nothing more was asked of it")]
    Silent(Service),
    /// It has no supervisor now.
    #[error("{0} has no supervisor: the user's service manager does not run")]
    NoManager(Service),
    /// No domain of launchd knows it.
    #[error("{0} is not loaded in any domain of launchd")]
    NotLoaded(Service),
    /// Its property list cannot be named, so it cannot be loaded again.
    #[error("{0} cannot be loaded again: launchd did not tell its property list")]
    NoPlist(Service),
    /// The supervisor refused, or did not answer.
    #[error("the supervisor of {service} did not {what}")]
    Supervisor {
        /// The service.
        service: Service,
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        #[source]
        cause: CommandError,
    },
    /// The drop-in could not be written or taken away.
    #[error("the file {path}, which holds the service, cannot be {what}")]
    File {
        /// The file.
        path: String,
        /// written, read or removed.
        what: &'static str,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// There is a file in its place that guardian did not write.
    #[error("{0} is not guardian's own; it was left alone")]
    Foreign(String),
}

/// How a service is now, if it is the own one of gateways with these processes. Changes nothing.
pub(crate) async fn before(
    service: &Service,
    processes: &BTreeSet<Identity>,
) -> Result<Before, ServiceError> {
    // Before the supervisor is asked: what it starts meanwhile is none of these.
    let lines: Vec<Line> = processes.iter().map(line).collect();
    if cfg!(target_os = "macos") {
        launchd::before(service, &lines).await
    } else {
        systemd::before(service, &lines).await
    }
}

/// Keeps the supervisor from starting the service, and has it stopped. Does not wait for its end.
pub(crate) async fn raise(before: &Before) -> Result<(), ServiceError> {
    match &before.supervisor {
        Supervisor::Systemd(state) => systemd::raise(&before.service, state).await,
        Supervisor::Launchd(state) => launchd::raise(&before.service, state).await,
    }
}

/// Whether the service cannot start and does not run, as the supervisor itself shows.
pub(crate) async fn standing(before: &Before) -> Held {
    match &before.supervisor {
        Supervisor::Systemd(state) => systemd::standing(&before.service, state).await,
        Supervisor::Launchd(state) => launchd::standing(&before.service, state).await,
    }
}

/// Puts the service back as it was; with `start` it runs again if it did. Can be repeated, and done
/// by another process than the one that raised it.
pub(crate) async fn lower(before: &Before, start: bool) -> Result<(), ServiceError> {
    let start = start && before.active;
    match &before.supervisor {
        Supervisor::Systemd(state) => systemd::lower(&before.service, state, start).await,
        Supervisor::Launchd(state) => launchd::lower(&before.service, state, start).await,
    }
}

/// A process as it is now, and what is above it.
fn line(process: &Identity) -> Line {
    Line { kin: kinship::line(process), groups: groups(process.pid) }
}

/// The control groups of a process.
#[cfg(target_os = "linux")]
fn groups(pid: u32) -> Vec<String> {
    use guardian_probes::gateway::procfs;
    procfs::read(pid, "cgroup").map(|cgroup| procfs::control_groups(&cgroup)).unwrap_or_default()
}

/// There are none.
#[cfg(not(target_os = "linux"))]
fn groups(_: u32) -> Vec<String> {
    Vec::new()
}

/// An error, unless a service is a gateway's own.
fn check(service: &Service, products: bool, told: &Told<'_>, lines: &[Line]) -> Result<(), ServiceError> {
    match claim::judge(&service.name, products, told, lines) {
        Own::Yes => Ok(()),
        Own::No(why) => Err(ServiceError::NotTheGateways { service: service.clone(), why }),
        Own::Unknown => Err(ServiceError::Unproven(service.clone())),
    }
}

/// Runs nothing but letters, digits and `others`, does not look like an option, and is short enough.
fn plain(name: &str, others: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len())
        && !name.starts_with(['-', '.'])
        && name.chars().all(|sign| sign.is_ascii_alphanumeric() || others.contains(sign))
}
