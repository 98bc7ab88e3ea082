//! Where the packet filter sends connections that come to this host.

use std::fmt;
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
    /// The cards that take what a neighbour sends to 127/8 himself, in order; those on which there are guests of this
    /// host alone are left out, for container engines set the switch there.
    pub open_cards: Vec<String>,
}

/// A rule that gives arriving connections another destination: they need no listening socket
/// where they arrive.
///
/// What narrows it is kept where it is understood for certain; the rest counts as matching.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirect {
    /// Where it sends them; none if that is not understood.
    pub to: Option<Destination>,
    /// The addresses they must come to; any if empty.
    pub arriving_at: Vec<IpAddr>,
    /// The interfaces they must come in by; any if empty.
    pub arriving_on: Vec<String>,
    /// Where they must come from; anywhere if empty.
    pub from: Vec<IpNet>,
    /// What answers there without credentials, where that is a guest of this host: a container, a
    /// virtual machine.
    pub guest: Option<Access>,
    /// The rule itself, cut to a line: `ip nat prerouting: tcp dport 8080 dnat to 127.0.0.1:18789`.
    pub text: String,
}

/// Where a redirect sends connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The address. An unspecified one: this host, at the address they came to.
    pub ip: IpAddr,
    /// The first and the last port: one of them, if they differ.
    pub ports: (u16, u16),
}

impl Destination {
    /// The address and port, if there is but one.
    #[must_use]
    pub fn only(&self) -> Option<SocketAddr> {
        let (first, last) = self.ports;
        (first == last).then(|| SocketAddr::new(self.ip, first))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.ports;
        write!(f, "{}", SocketAddr::new(self.ip, first))?;
        if last == first { Ok(()) } else { write!(f, "-{last}") }
    }
}
