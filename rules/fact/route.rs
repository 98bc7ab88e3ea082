//! What proxies and forwarders are told to carry, as their configuration or arguments say.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::blindness::Blindness;
use crate::fact::Guest;

/// What the proxies, forwarders and tunnels of this host are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instructions {
    /// To carry to a port of this host.
    pub routes: Vec<Route>,
    /// To carry to a guest of this host; each route's port is that guest's.
    pub to_guests: Vec<(Route, Guest)>,
    /// Why processes of other users, which may be told to carry anything, cannot be seen, if they cannot.
    pub hidden: Option<Blindness>,
    /// The processes that say of themselves what they run by, all of it: they carry to no other port of
    /// this host.
    pub outspoken: BTreeSet<u32>,
    /// A proxy, and a port at which it takes connections, or none for any: it may be told to carry them where nobody knows.
    /// Its configuration is not read, or not wholly, or it may run by another one.
    pub vague: BTreeSet<(u32, Option<u16>)>,
    /// A process and a port at which it takes connections: all that it is told to do with them is among the routes. Its
    /// configuration was read to the end, and names a port of this host wherever it leads on from there.
    pub accounted: BTreeSet<(u32, u16)>,
}

/// A proxy's or forwarder's instruction to carry connections to a port of this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The process that has the instruction.
    pub pid: u32,
    /// Its program: "nginx", "ssh".
    pub program: String,
    /// Where it takes connections on this host; empty when they come in elsewhere (`ssh -R`).
    pub listens: Vec<SocketAddr>,
    /// The port of this host that it carries to, by loopback or an own address.
    pub to_port: u16,
    /// Where the instruction stands.
    pub source: RouteSource,
    /// The instruction itself, cut to a line: `proxy_pass http://127.0.0.1:18789`.
    pub text: String,
}

/// Where an instruction stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteSource {
    /// In a configuration file.
    File(std::path::PathBuf),
    /// In the process's arguments.
    Arguments,
    /// In the process itself, which says so.
    Itself,
}
