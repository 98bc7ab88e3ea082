//! Whether a gateway that is cut off is cut off indeed.
//!
//! Two things show it: the packet filter reads back as it was put up, and since then no connection
//! to a place that it holds came through. A look that began before the wall stood says nothing, nor
//! does one at a place that is somebody else's.

use std::time::Duration;

use guardian_rules::fact::Reached;

use crate::breaker::PROOF;
use crate::sys::clock::Moment;

/// A wall that reads back as it was put up is worth more patience than none.
const PATIENCE: Duration = PROOF.saturating_mul(5);

/// What is known of the wall of the present state.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// Since when it stands; none while it does not.
    stands: Option<Moment>,
    /// Since when it does not; none while it does.
    fallen: Option<Moment>,
    /// Since when nothing has shown that it holds; none while that is shown.
    unproven: Option<Moment>,
    /// A connection came through though it stands.
    pierced: bool,
    /// A gateway's answer did, at a place that it holds.
    answered: bool,
}

impl Isolation {
    /// Another state has another wall.
    pub(super) fn begun(now: Moment) -> Self {
        Self { stands: None, fallen: Some(now), unproven: Some(now), pierced: false, answered: false }
    }

    /// The wall was looked at. Answers whether it stands now and did not before.
    pub(super) fn wall(&mut self, stands: bool, now: Moment) -> bool {
        if stands {
            self.fallen = None;
        } else {
            self.stands = None;
            self.fallen.get_or_insert(now);
        }
        let newly = stands && self.stands.is_none();
        if newly {
            self.stands = Some(now);
        }
        newly
    }

    /// A look at the places that the wall holds, and when it began and ended. Answers whether it
    /// proves that nobody gets through.
    pub(super) fn reached<'a>(
        &mut self,
        answers: impl Iterator<Item = &'a Reached>,
        began: Moment,
        now: Moment,
    ) -> bool {
        if !self.stood_at(began) {
            return false;
        }
        let answers: Vec<&Reached> = answers.collect();
        self.pierced = answers.contains(&&Reached::Accepted);
        let shut = |answer: &Reached| matches!(answer, Reached::Refused | Reached::Absent);
        let refused = !self.answered && !answers.is_empty() && answers.into_iter().all(shut);
        if refused {
            self.unproven = None;
        } else {
            self.unproven.get_or_insert(now);
        }
        refused
    }

    /// Whether it stood already when a look began.
    pub(super) fn stood_at(&self, began: Moment) -> bool {
        self.stands.is_some_and(|stands| began >= stands)
    }

    /// Whether somebody whom the wall holds gave a gateway's answer, in a look that began while it stood.
    pub(super) fn answered(&mut self, answered: bool, now: Moment) {
        self.answered = answered;
        if answered {
            self.unproven.get_or_insert(now);
        }
    }

    /// Something came through though it stands.
    pub(super) fn is_pierced(&self) -> bool {
        self.pierced || self.answered
    }

    /// It has been doubtful for too long.
    pub(super) fn is_lost(&self, now: Moment) -> bool {
        let lasts = |since: Option<Moment>, most| since.is_some_and(|since| now.since(since) >= most);
        lasts(self.fallen, PROOF) || lasts(self.unproven, if self.is_pierced() { PROOF } else { PATIENCE })
    }
}

#[cfg(test)]
mod tests {
    use guardian_rules::blindness::Blindness;

    use super::*;

    const REFUSED: &[Reached] = &[Reached::Refused, Reached::Refused];
    const PIERCED: &[Reached] = &[Reached::Refused, Reached::Accepted];

    fn at(milliseconds: u64) -> Moment {
        Moment::after_boot(Duration::from_millis(milliseconds))
    }

    /// A wall that stands since the first tenth of a second.
    fn standing() -> Isolation {
        let mut isolation = Isolation::begun(at(0));
        assert!(isolation.wall(true, at(100)), "newly");
        assert!(!isolation.wall(true, at(200)), "as before");
        isolation
    }

    #[test]
    fn a_wall_that_stands_and_that_nothing_came_through_is_proven_and_never_lost() {
        let mut isolation = standing();
        assert!(isolation.reached(REFUSED.iter(), at(150), at(160)));
        assert!(!isolation.is_lost(at(1_000_000)));
    }

    #[test]
    fn a_wall_that_does_not_come_to_stand_is_lost() {
        let mut isolation = Isolation::begun(at(0));
        assert!(!isolation.wall(false, at(100)));
        assert!(!isolation.is_lost(at(1999)) && isolation.is_lost(at(2000)));
        assert!(!isolation.reached(REFUSED.iter(), at(50), at(60)), "without a wall a refusal is chance");
    }

    #[test]
    fn a_connection_that_comes_through_a_wall_that_stands_loses_it_soon() {
        let mut isolation = standing();
        assert!(isolation.reached(REFUSED.iter(), at(150), at(160)));
        assert!(!isolation.reached(PIERCED.iter(), at(1000), at(1010)));
        assert!(!isolation.is_lost(at(3009)) && isolation.is_lost(at(3010)));
        assert!(isolation.reached(REFUSED.iter(), at(3020), at(3030)), "and then no more");
        assert!(!isolation.is_lost(at(3040)));
    }

    #[test]
    fn whoever_is_held_and_answers_as_a_gateway_loses_the_wall_though_every_place_refuses() {
        let mut isolation = standing();
        isolation.answered(false, at(150));
        assert!(isolation.reached(REFUSED.iter(), at(150), at(160)) && !isolation.is_pierced());
        isolation.answered(true, at(1000));
        assert!(isolation.is_pierced());
        assert!(!isolation.reached(REFUSED.iter(), at(1100), at(1110)), "an answer weighs more");
        assert!(!isolation.is_lost(at(2999)) && isolation.is_lost(at(3000)));
        isolation.answered(false, at(3010));
        assert!(isolation.reached(REFUSED.iter(), at(3020), at(3030)) && !isolation.is_lost(at(9000)));
    }

    #[test]
    fn what_was_heard_before_the_wall_stood_does_not_count() {
        let isolation = standing();
        assert!(!isolation.stood_at(at(99)) && isolation.stood_at(at(100)));
        assert!(!Isolation::begun(at(0)).stood_at(at(1)), "it does not stand");
    }

    #[test]
    fn a_look_that_began_before_the_wall_stood_says_nothing() {
        let mut isolation = standing();
        assert!(!isolation.reached(PIERCED.iter(), at(99), at(300)));
        assert!(!isolation.is_lost(at(2300)), "it was not pierced");
    }

    #[test]
    fn a_wall_that_nobody_could_try_is_lost_in_the_end() {
        let unknown = [Reached::Unknown(Blindness::timed_out("after 1 s"))];
        for answers in [&[][..], &unknown] {
            let mut isolation = standing();
            assert!(!isolation.reached(answers.iter(), at(150), at(160)));
            assert!(!isolation.is_lost(at(9999)) && isolation.is_lost(at(10_000)));
        }
    }

    /// Look-alikes that come and go change the wall all the time.
    #[test]
    fn a_wall_that_is_put_up_anew_again_and_again_is_not_lost_for_that() {
        let mut isolation = standing();
        for turn in 1..50 {
            let now = turn * 1000;
            isolation.wall(false, at(now));
            assert!(isolation.wall(true, at(now + 50)));
            assert!(isolation.reached(REFUSED.iter(), at(now + 60), at(now + 70)));
            assert!(!isolation.is_lost(at(now + 900)), "{turn}");
        }
    }
}
