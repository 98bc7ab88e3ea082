//! What an installation has added to a machine, so that exactly that is taken away again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::InstallError;
use crate::sys::durable;
use crate::sys::paths::Paths;
use crate::sys::trusted;

/// The version of the file.
const VERSION: u8 = 1;
/// The longest file, in bytes.
const LIMIT: u64 = 64 * 1024;

/// What was added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    v: u8,
    /// The program, if it was copied.
    pub(crate) program: Option<PathBuf>,
    /// The gate's user was made.
    pub(crate) account: bool,
    /// Folders that were not there, the outer ones first.
    pub(crate) folders: Vec<PathBuf>,
}

impl Manifest {
    /// The one of an earlier installation. Without one, or with one that cannot be trusted, nothing is
    /// known to have been added.
    pub(crate) fn read(paths: &Paths) -> Self {
        let read = trusted::read_bounded(&paths.manifest(), LIMIT).ok();
        let manifest: Option<Self> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        manifest.filter(|it| it.v == VERSION).unwrap_or(Self { v: VERSION, ..Self::default() })
    }

    pub(crate) fn write(&self, paths: &Paths) -> Result<(), InstallError> {
        // Nothing in it fails to be JSON.
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(durable::replace(&paths.manifest(), &bytes, 0o644)?)
    }
}
