//! Who is connected to a gateway.

use std::net::SocketAddr;

use crate::fact::Attribution;

/// A connection to a gateway's port: established, or half closed while a process still holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The gateway's end.
    pub gateway: SocketAddr,
    /// The other end, IPv4-mapped addresses unwrapped.
    pub remote: SocketAddr,
    /// Where the other end is.
    pub origin: Origin,
}

/// Where a connection comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Another host.
    Elsewhere,
    /// This host: the processes that hold the other end, and their connections with other hosts.
    Here {
        /// Who holds the other end.
        owner: Attribution,
        /// Connections that the same processes have with other hosts, a few at most.
        flows: Vec<Flow>,
    },
}

/// A connection of a local process with another host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// This host's end.
    pub local: SocketAddr,
    /// The other host's end.
    pub remote: SocketAddr,
    /// The process accepted it: its local port is one that it listens on.
    pub inbound: bool,
}
