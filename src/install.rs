//! Puts Guardian on a machine for good, and takes it off again.
//!
//! What is to be done is a list of steps ([`plan`]), made from where things belong on this machine
//! ([`site`]) and what there is already; it can be read before it is carried out ([`apply`]). What was
//! really added is written down ([`manifest`]), so that exactly that is taken away again.

pub(crate) mod account;
pub(crate) mod apply;
pub(crate) mod manifest;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod site;
pub(crate) mod typed;
pub(crate) mod unit;

use std::path::PathBuf;

use crate::exit;
use crate::sys::durable::WriteError;
use crate::sys::paths::PathsError;
use crate::sys::trusted::TrustError;
use guardian_probes::command::CommandError;

/// Why Guardian is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// There is nobody who would start it.
    #[error(
        "this host does not run systemd, so nothing would start guardian with the machine; start `guardian daemon` \
         and `guardian gate` with whatever starts services here"
    )]
    NoManager,
    /// The manager of this user's services is not there.
    #[error("systemd does not manage services for this user here; sign in as this user, or install as root")]
    NoUserManager,
    /// Root is asked for.
    #[error(
        "without root guardian is installed for one user, and stops only that user's gateway; type: sudo guardian install, or: guardian install --user"
    )]
    NotRoot,
    /// Root is asked for.
    #[error(
        "without root only what `guardian install --user` has installed can be taken off; type: sudo guardian uninstall, or: guardian uninstall --user"
    )]
    NotRootToRemove,
    /// Root has no gateway of its own to look after.
    #[error("root installs for the whole machine; leave --user out")]
    Root,
    /// The services would not know of it.
    #[error(
        "services look in the usual places alone: leave out --config, --state-dir, --runtime-dir and the variables GUARDIAN_CONFIG, GUARDIAN_STATE_DIR and GUARDIAN_RUNTIME_DIR"
    )]
    Elsewhere,
    /// A home is missing.
    #[error("HOME is not set, so there is no place for this user's files")]
    Homeless,
    /// The program itself cannot be found or read.
    #[error("the running program cannot be read")]
    Program(#[source] std::io::Error),
    /// Somebody else could put another program in its place.
    #[error("guardian cannot be run from {path}: somebody else could change it")]
    Untrusted {
        /// Where it would be.
        path: PathBuf,
        /// Why.
        #[source]
        cause: TrustError,
    },
    /// Guardian's own folders cannot be used.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// A file cannot be written or removed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A folder cannot be made or removed.
    #[error("{path} cannot be made, or removed")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A command failed.
    #[error("this did not work: {line}")]
    Command {
        /// As one would type it.
        line: String,
        /// What came of it.
        #[source]
        cause: CommandError,
    },
    /// There is no free number for the gate's user.
    #[error("there is no free user id from 200 to 400 for the gate's user")]
    NoId,
}

impl InstallError {
    /// The exit code that goes with it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NotRoot | Self::NotRootToRemove | Self::Root | Self::Elsewhere => exit::USAGE,
            Self::Untrusted { .. } | Self::Paths(_) => exit::CONFIG,
            _ => exit::FAILURE,
        }
    }
}
