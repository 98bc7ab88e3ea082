//! Where the packet filter sends connections that come to this host.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::blindness::Blindness;
use crate::fact::Access;

/// What the packet filter does to arriving connections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirects {
    /// Its redirects, or why they cannot be read: that takes root.
    pub rules: Result<Vec<Redirect>, Blindness>,
    /// Whether packets of other hosts may be sent to 127/8 at all: Linux refuses unless
    /// `net.ipv4.conf.*.route_localnet` is set. None where the system has no such switch.
    pub reaches_loopback: Option<bool>,
}

/// A rule that gives arriving connections another destination: they need no listening socket
/// where they arrive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirect {
    /// Where it sends them. An unspecified address: to this host, at the address they came to.
    pub to: SocketAddr,
    /// The address they must come to, if the rule names one.
    pub arriving_at: Option<IpAddr>,
    /// The interface they must come in by, if the rule names one.
    pub arriving_on: Option<String>,
    /// Where they must come from, if the rule names it.
    pub from: Option<IpNet>,
    /// What answers there without credentials, where that is a guest of this host: a container, a
    /// virtual machine.
    pub guest: Option<Access>,
    /// The rule itself, cut to a line: `ip nat prerouting: tcp dport 8080 dnat to 127.0.0.1:18789`.
    pub text: String,
}
