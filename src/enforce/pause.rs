//! The pause between two ends of a gateway that something keeps reviving.

use std::time::Duration;

use crate::sys::clock::Moment;

/// The longest pause between two ends of a gateway that is revived behind a wall that stands.
const LONGEST: Duration = Duration::from_mins(1);

/// Without a wall every moment counts; behind one a supervisor must not be fought at its own speed.
#[derive(Debug, Default)]
pub(super) struct Pause {
    until: Option<Moment>,
    length: Duration,
}

impl Pause {
    /// Whether the next end may come now. If so, the pause before the one after it begins.
    pub(super) fn is_over(&mut self, now: Moment, behind_a_wall: bool) -> bool {
        if behind_a_wall && self.until.is_some_and(|until| now < until) {
            return false;
        }
        self.length = (self.length * 2).clamp(Duration::from_secs(1), LONGEST);
        self.until = Some(now + self.length);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn behind_a_wall_a_revived_gateway_is_ended_ever_more_seldom() {
        let mut pause = Pause::default();
        let ends: Vec<u64> = (0..600).filter(|second| pause.is_over(at(*second), true)).collect();
        assert_eq!(ends[..6], [0, 1, 3, 7, 15, 31]);
        assert!(ends.len() < 20, "ten minutes of it: {ends:?}");
        assert!(ends.windows(2).all(|two| two[1] - two[0] <= LONGEST.as_secs()));
    }

    #[test]
    fn without_a_wall_every_moment_counts() {
        let mut pause = Pause::default();
        assert!((0..20).all(|second| pause.is_over(at(second), false)));
    }
}
