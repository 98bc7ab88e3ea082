//! Hosts to judge, told in a few words: what runs, where it listens, how it answers.
//!
//! ```text
//! host()
//!     .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
//!     .runs(nginx(900).on("0.0.0.0:8088", carrying_the_gateway()))
//! ```
//!
//! Every observation of such a host is seen and whole, and the answers fit the sockets; a test
//! says what differs.

mod announcement;
mod conclusion;
mod host;
mod manner;
mod program;
mod router;

pub(crate) use announcement::*;
pub(crate) use conclusion::Conclusion;
pub(crate) use host::{Host, bare_host, host, snapshot_of, unseen};
pub(crate) use manner::*;
pub(crate) use program::*;
pub(crate) use router::*;

use std::net::{IpAddr, SocketAddr};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Flow, Origin, Peer};

/// An address, as written.
pub(crate) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|_| panic!("no socket address: {address}"))
}

/// An IP address, as written.
pub(crate) fn ip(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|_| panic!("no address: {address}"))
}

/// The system refused to tell.
pub(crate) fn denied() -> Blindness {
    Blindness::denied("no permission")
}

/// Nothing came in time.
pub(crate) fn timed_out() -> Blindness {
    Blindness::timed_out("no answer within 2 s")
}

/// A connection to `gateway` from another host.
pub(crate) fn stranger(remote: &str, gateway: &str) -> Peer {
    Peer { gateway: at(gateway), remote: at(remote), origin: Origin::Elsewhere }
}

/// A connection that a process of this host has accepted from `remote`.
pub(crate) fn serves(remote: &str, local: &str) -> Flow {
    Flow { local: at(local), remote: at(remote), inbound: true }
}

/// A connection that a process of this host has made to `remote`.
pub(crate) fn calls(remote: &str) -> Flow {
    Flow { local: at("192.168.1.5:51000"), remote: at(remote), inbound: false }
}
