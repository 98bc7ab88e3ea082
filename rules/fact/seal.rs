//! What keeps programs of this host from its gateways.

use std::collections::BTreeSet;

/// Guardian's own packet filter, as it was read back: on loopback nobody but these users gets a new connection to these
/// ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The ports that it holds, on every address.
    pub ports: BTreeSet<u16>,
    /// The users that it admits.
    pub admitted: BTreeSet<u32>,
}
