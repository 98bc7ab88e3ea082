//! What this host tells its networks of a gateway.

use std::net::IpAddr;

use crate::blindness::Blindness;

/// A gateway that announces itself by mDNS (RFC 6762), or may do so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Announcement {
    /// The gateway's process, if it can be told.
    pub pid: Option<u32>,
    /// What is announced; or why that cannot be told, though something suggests that it is.
    pub heard: Result<Heard, Blindness>,
}

/// An announcement that was heard on this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// The kind of service: `_openclaw-gw._tcp`.
    pub service: String,
    /// The port that it leads to, if it says so.
    pub port: Option<u16>,
    /// The names of what else it tells, each cut to a word: `cliPath`, `sshPort`.
    pub tells: Vec<String>,
    /// The addresses of this host on whose networks it is announced, lowest first.
    pub on: Vec<IpAddr>,
}
