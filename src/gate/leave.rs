//! Networks that the policy allows at the gate, each until its end.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::sys::clock::{Moment, Now};

/// One of them.
#[derive(Debug)]
struct Leave {
    network: IpNet,
    until: Timestamp,
    /// The same on a clock that nobody sets.
    ends: Moment,
    /// Once ended it stays so, whatever a clock says later.
    ended: Cell<bool>,
}

/// All of them. Whoever sweeps says what time it is.
#[derive(Debug, Default)]
pub(crate) struct Leaves(Vec<Leave>);

impl Leaves {
    pub(crate) fn new(networks: impl IntoIterator<Item = (IpNet, Timestamp)>, now: Now) -> Self {
        let leave = |(network, until): (IpNet, Timestamp)| {
            let left = Duration::try_from(until.duration_since(now.wall)).unwrap_or_default();
            Leave { network, until, ends: now.moment + left, ended: Cell::new(left.is_zero()) }
        };
        Self(networks.into_iter().map(leave).collect())
    }

    /// Whether one that has not ended covers an address, in its own family.
    pub(crate) fn cover(&self, address: IpAddr) -> bool {
        self.0.iter().any(|leave| !leave.ended.get() && leave.network.contains(&address))
    }

    /// Ends those that are not among these any more; whether there were any.
    pub(crate) fn keep(&self, still: &[(IpNet, Timestamp)]) -> bool {
        let mut ended = false;
        for leave in self.0.iter().filter(|leave| !leave.ended.get()) {
            if !still.contains(&(leave.network, leave.until)) {
                tracing::warn!("{} is not allowed any more: its allowance was taken away", leave.network);
                leave.ended.set(true);
                ended = true;
            }
        }
        ended
    }

    /// Ends those whose time has come, by whichever clock comes to it first; whether there were any.
    pub(crate) fn sweep(&self, now: Now) -> bool {
        let mut ended = false;
        for leave in self.0.iter().filter(|leave| !leave.ended.get()) {
            if now.wall >= leave.until || now.moment >= leave.ends {
                tracing::warn!("{} is not allowed any more: its allowance has ended", leave.network);
                leave.ended.set(true);
                ended = true;
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: i64 = 1_000_000;

    fn leaves(now: Now) -> Leaves {
        let network = |text: &str| text.parse().unwrap();
        let (until, later) = (Timestamp::from_second(UNTIL), Timestamp::from_second(UNTIL + 500));
        Leaves::new(
            [(network("192.168.1.0/24"), until.unwrap()), (network("fd00::/64"), later.unwrap())],
            now,
        )
    }

    /// So long after the boot, and so long before the end.
    fn now(moment: u64, left: i64) -> Now {
        Now {
            moment: Moment::after_boot(Duration::from_secs(moment)),
            wall: Timestamp::from_second(UNTIL - left).unwrap(),
        }
    }

    fn covers(leaves: &Leaves) -> [bool; 2] {
        ["192.168.1.9", "fd00::9"].map(|address| leaves.cover(address.parse().unwrap()))
    }

    #[test]
    fn an_allowance_lets_in_until_its_end_and_another_goes_on() {
        let leaves = leaves(now(100, 60));
        assert!(!leaves.cover("192.168.2.9".parse().unwrap()));
        assert!(!leaves.sweep(now(159, 1)) && covers(&leaves) == [true, true]);
        assert!(leaves.sweep(now(160, 0)) && covers(&leaves) == [false, true]);
        assert!(!leaves.sweep(now(161, -1)), "told once");
        assert!(leaves.sweep(now(660, -500)) && covers(&leaves) == [false, false]);
    }

    #[test]
    fn a_clock_that_is_set_back_revives_nothing_and_adds_nothing() {
        let ended = leaves(now(100, 60));
        assert!(ended.sweep(now(160, 0)));
        assert!(!ended.sweep(now(161, 9999)) && covers(&ended) == [false, true]);
        let running = leaves(now(100, 60));
        assert!(!running.sweep(now(130, 9999)));
        assert!(running.sweep(now(160, 9999)) && covers(&running) == [false, true]);
    }

    #[test]
    fn a_clock_that_is_set_forward_ends_it_and_one_that_had_ended_never_begins() {
        let early = leaves(now(100, 60));
        assert!(early.sweep(now(101, 0)));
        assert_eq!(covers(&leaves(now(100, 0))), [false, true]);
    }
}
