//! Time: moments for decisions, timestamps for people.
//!
//! Decisions are made on a clock that nobody can set and that counts time asleep, so that a lease
//! does not outlive a suspend. Timestamps are shown and written down, and end allowances.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// A clock that goes otherwise by this much was set.
const SET: SignedDuration = SignedDuration::from_secs(1);

/// A moment since boot; time asleep counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// A moment this long after boot.
    #[cfg(test)]
    pub(crate) const fn after_boot(duration: Duration) -> Self {
        Self(duration)
    }

    /// The time since boot.
    pub(crate) const fn since_boot(self) -> Duration {
        self.0
    }

    /// The moment that was this long before; at the earliest that of the boot.
    pub(crate) const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }

    /// The time since an earlier moment; none if that is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Both clocks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// For decisions.
    pub(crate) moment: Moment,
    /// For people.
    pub(crate) wall: Timestamp,
}

impl Now {
    /// When this was, for people: as the clock said then, so that whoever is told twice is told the same. A clock that
    /// was set since is followed.
    pub(crate) fn shown(self, now: Self) -> Timestamp {
        let passed = SignedDuration::try_from(now.moment.since(self.moment)).unwrap_or(SignedDuration::MAX);
        let reckoned = now.wall.checked_sub(passed).unwrap_or(self.wall);
        if reckoned.duration_since(self.wall).abs() < SET { self.wall } else { reckoned }
    }
}

/// What time it is.
pub(crate) fn now() -> Now {
    Now { moment: moment(), wall: Timestamp::now() }
}

/// The moment by `CLOCK_BOOTTIME` (`clock_gettime(2)`), on macOS by `CLOCK_MONOTONIC`, which there
/// goes on while the system sleeps.
pub(crate) fn moment() -> Moment {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    #[expect(clippy::expect_used, reason = "the clock is there since Linux 2.6.39 and macOS 10.12")]
    let time = clock_gettime(CLOCK).expect("the system has a clock");
    Moment(Duration::from(time))
}

/// How long the system has been awake since boot, by `CLOCK_MONOTONIC` (`clock_gettime(2)`), on macOS
/// by `CLOCK_UPTIME_RAW`.
pub(crate) fn awake() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);
    #[expect(clippy::expect_used, reason = "the clock is there since Linux 2.6 and macOS 10.12")]
    let time = clock_gettime(CLOCK).expect("the system has a clock");
    Duration::from(time)
}

/// What tells this boot from every other one; none if the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// What tells this boot from every other one; none if the system does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn boot_id() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_shown_as_it_was_read_and_follows_a_clock_that_was_set() {
        let at = |moment: u64, wall: i64| Now {
            moment: Moment::after_boot(Duration::from_millis(moment)),
            wall: Timestamp::from_millisecond(wall).unwrap(),
        };
        let event = at(1000, 50_999);
        for (now, shown) in [
            (at(1000, 50_999), 50_999),
            (at(6000, 55_998), 50_999),
            (at(6000, 56_004), 50_999),
            (at(6000, 155_999), 150_999),
            (at(6000, 5_999), 999),
        ] {
            assert_eq!(event.shown(now), Timestamp::from_millisecond(shown).unwrap(), "{now:?}");
        }
    }

    #[test]
    fn moments_go_forward_and_never_count_backwards() {
        let first = moment();
        let second = moment();
        assert!(second >= first);
        assert_eq!(first.since(second + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!((first + Duration::from_secs(2)).since(first), Duration::from_secs(2));
    }
}
