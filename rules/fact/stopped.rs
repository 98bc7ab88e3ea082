//! What the breaker has put down.

use std::collections::BTreeSet;

/// The gateways do not run because the breaker has stopped them. Whoever runs again was revived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// When it did, in seconds since the epoch. What is older was not started since.
    pub since: u64,
    /// The processes that were to end: ids and start times in seconds since the epoch. One of them
    /// that still lives was not revived.
    pub processes: BTreeSet<(u32, u64)>,
}
