//! The control socket: how commands, the gate and the notifier talk to the daemon.
//!
//! A Unix socket that every local user may open. Who is at the other end is what the kernel says.
//! One question a connection: a line of JSON, and a line or a stream of lines as the answer.
//! Everything is bounded in size, count and time, on both sides.

pub(crate) mod alone;
pub(crate) mod client;
pub(crate) mod gates;
mod line;
mod peer;
pub(crate) mod protocol;
mod seats;
pub(crate) mod server;

use std::io;
use std::path::{Path, PathBuf};

use crate::exit;
use crate::sys::paths::PathsError;
use crate::sys::trusted::TrustError;
use protocol::Kind;

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody listens in any of the places.
    #[error("no daemon is running (nobody answers at {})", shown(.0))]
    NoDaemon(Vec<PathBuf>),
    /// Somebody listens, and the connection fails.
    #[error("the daemon cannot be reached at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Somebody listens who should not.
    #[error("user {uid} answers at {} in place of the daemon", path.display())]
    Impostor {
        /// The socket.
        path: PathBuf,
        /// Who.
        uid: u32,
    },
    /// No answer in time.
    #[error("the daemon does not answer")]
    Silent,
    /// It hung up.
    #[error("the daemon hung up")]
    Closed,
    /// Its answer makes no sense.
    #[error("the daemon's answer is not understood: {0}")]
    Garbled(String),
    /// It answers that it cannot.
    #[error("{said}")]
    Told {
        /// What kind of failure.
        kind: Kind,
        /// A sentence.
        said: String,
    },
    /// The folders cannot be used.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// There is one daemon already.
    #[error("a daemon is running already; it holds {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// What a daemon has done is being taken back.
    #[error("a guardian rescue is under way; it holds {}", .0.display())]
    Rescuing(PathBuf),
    /// The lock could be somebody else's.
    #[error("the lock that keeps a second daemon away cannot be used")]
    Untrusted(#[from] TrustError),
    /// Something lies where the socket has to be.
    #[error("{} is in the way: it is no socket of this user, or somebody answers there", .0.display())]
    InTheWay(PathBuf),
    /// The socket cannot be made.
    #[error("the control socket cannot be made at {}", path.display())]
    Unmade {
        /// The socket, or its lock.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl ControlError {
    /// The exit code that goes with it: of whom the daemon is not heard, nothing is known.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Paths(_) | Self::Untrusted(_) => exit::CONFIG,
            Self::AlreadyRunning(_) | Self::Rescuing(_) | Self::InTheWay(_) | Self::Unmade { .. } => {
                exit::FAILURE
            }
            _ => exit::BLIND,
        }
    }

    fn unmade(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::Unmade { path: path.clone(), cause }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
