//! When strangers may have reached a gateway.

use serde::{Deserialize, Serialize};

/// A time in which a gateway was exposed, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// The last time before it at which the gateway was seen not to be exposed; none if it never was.
    pub from: Option<u64>,
    /// The first time at which every barrier was found standing; none if it is still awaited.
    pub until: Option<u64>,
}

impl Exposure {
    /// Whether it was exposed at this time, as far as is known.
    #[must_use]
    pub fn covers(self, at: u64) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at <= until)
    }
}
