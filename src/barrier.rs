//! What stands between a gateway and the world while the circuit is open.
//!
//! Every barrier can be raised, asked whether it stands, and lowered. It counts as standing when a
//! look proves it, not when a command has ended well. Whatever it changes on the host is written
//! into the undo journal first.

pub(crate) mod firewall;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod service;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use guardian_rules::fact::Service;
use serde::{Deserialize, Serialize};

/// The barriers, in the order in which they are raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Barrier {
    /// The lock file, which supervisors honour.
    Lock,
    /// The packet filter.
    Firewall,
    /// The gateway's supervisor.
    Service,
    /// The gateway's processes.
    Process,
    /// The gateway's port, taken.
    Port,
}

impl Barrier {
    /// As reports spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Firewall => "firewall",
            Self::Service => "service",
            Self::Process => "process",
            Self::Port => "port",
        }
    }
}

/// Whether a barrier stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Held {
    /// A look proved it.
    Yes,
    /// It does not, or what it holds back has come through.
    No,
    /// It cannot be told.
    Unknown,
}

impl Held {
    /// As reports spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }

    /// The worse of two: no, then unknown, then yes.
    pub(crate) fn min_of(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

/// What the barriers act on: all that is known to belong to gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Ports by which one comes to a gateway.
    pub(crate) ports: BTreeSet<u16>,
    /// Their places on ports on which somebody else listens as well, elsewhere.
    #[serde(default)]
    pub(crate) doors: BTreeSet<SocketAddr>,
    /// Where one comes to a gateway that is in none of this host's processes: what carries it, and its own place where
    /// that is a guest of this host. Held while the circuit is open.
    #[serde(default)]
    pub(crate) carried: BTreeSet<SocketAddr>,
    /// Addresses that gateways listen on, as bound.
    pub(crate) bound: BTreeSet<SocketAddr>,
    /// Their processes.
    pub(crate) processes: BTreeSet<Identity>,
    /// Users whose sockets they are.
    #[serde(default)]
    pub(crate) users: BTreeSet<u32>,
    /// Their supervisors.
    pub(crate) services: BTreeSet<Service>,
    /// Their configuration files, to be reviewed when they do not run any more.
    pub(crate) configs: BTreeSet<PathBuf>,
}

/// A process, told from any other one that has or will have its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Process id.
    pub(crate) pid: u32,
    /// Start time in seconds since the epoch, as the process table shows it.
    pub(crate) started: u64,
    /// The same in the system's own, finest unit: clock ticks after boot on Linux, microseconds since
    /// the epoch on macOS. None until [`process::pin`] has looked.
    #[serde(default)]
    pub(crate) birth: Option<u64>,
    /// Numeric user, if known.
    pub(crate) uid: Option<u32>,
    /// For a sentence: `openclaw-gateway (pid 812, user ana)`.
    pub(crate) name: String,
}
