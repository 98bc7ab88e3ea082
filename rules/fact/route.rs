//! What proxies and forwarders are told to carry, as their configuration or arguments say.

use std::net::SocketAddr;

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
}
