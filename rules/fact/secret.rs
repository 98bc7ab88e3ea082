//! What a gateway's process can read of people's secrets.

use std::path::PathBuf;

/// A secret of a person that is within a process's reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret {
    /// The file, folder or socket.
    pub path: PathBuf,
    /// What it is, for a sentence: "SSH keys".
    pub what: String,
}
