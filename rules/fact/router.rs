//! Ports that a router of the local network carries to this host.

use std::net::{IpAddr, SocketAddr};

use crate::blindness::Blindness;

/// A router that lets programs open ports (`UPnP`: `WANIPConnection`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Router {
    /// Where it was asked.
    pub at: SocketAddr,
    /// This host sends what is for the internet there, as far as that can be told: other devices may say
    /// anything of a way from the internet.
    pub is_the_way_out: bool,
    /// Its address on the internet, if it tells.
    pub public: Option<IpAddr>,
    /// The ports it carries to addresses of this host, or why it does not tell.
    pub mappings: Result<Vec<Mapping>, Blindness>,
}

/// A port of the router that leads to this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The port on the internet's side.
    pub external: u16,
    /// Where it leads.
    pub to: SocketAddr,
    /// What the program that asked for it called it, cut to a line.
    pub text: String,
}
