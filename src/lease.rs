//! A lease: for how long, and for whom, the gate may forward. It ends by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::breaker::effect::Reach;
use crate::sys::clock::Moment;

/// Leave to forward until a moment of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// For whom.
    pub(crate) reach: Reach,
    /// Grows with every lease that this daemon mints.
    pub(crate) serial: u64,
    /// When it ends, in milliseconds since boot; time asleep counts.
    pub(crate) expires: u64,
}

impl Lease {
    /// A lease that ends at a moment.
    pub(crate) fn new(reach: Reach, serial: u64, expires: Moment) -> Self {
        let expires = u64::try_from(expires.since_boot().as_millis()).unwrap_or(u64::MAX);
        Self { reach, serial, expires }
    }

    /// It has not ended.
    pub(crate) fn is_live(&self, now: Moment) -> bool {
        !self.left(now).is_zero()
    }

    /// How long it lasts from now on.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        Duration::from_millis(self.expires).saturating_sub(now.since_boot())
    }

    /// The same, ending at that moment if it would end later.
    pub(crate) fn until_at_most(self, end: Moment) -> Self {
        Self { expires: self.expires.min(Self::new(self.reach, self.serial, end).expires), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_at_its_moment_and_not_after() {
        let at = |milliseconds| Moment::after_boot(Duration::from_millis(milliseconds));
        let lease = Lease::new(Reach::Allowed, 1, at(600));
        assert!(lease.is_live(at(0)) && lease.is_live(at(599)));
        assert!(!lease.is_live(at(600)) && !lease.is_live(at(u64::MAX)));
        assert!(
            lease.until_at_most(at(300)).is_live(at(299)) && !lease.until_at_most(at(300)).is_live(at(300))
        );
        assert_eq!(lease.until_at_most(at(900)), lease);
    }
}
