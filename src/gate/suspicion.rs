//! Who tries the gate's lock: refusals that are no mistake when there are many, counted over the last
//! minutes for the watcher.

use std::net::IpAddr;
use std::time::Duration;

use guardian_rules::fact::{Intent, Suspicion};

use super::refusal::Refusal;
use crate::sys::clock::Moment;

/// A count's finest time, and how many of them are five minutes.
const STEP: Duration = Duration::from_secs(10);
const STEPS: usize = 30;

/// What a refusal says of whoever was refused, if anything.
pub(crate) fn intent_of(refusal: Refusal) -> Option<Intent> {
    match refusal {
        Refusal::Wrong | Refusal::Locked(_) => Some(Intent::Guessing),
        Refusal::Host | Refusal::Origin | Refusal::Worker => Some(Intent::Rebinding),
        // A browser without a session asks for the sign-in page; a program goes on with its token; a lease
        // can be missing for anybody.
        Refusal::Missing | Refusal::Ended | Refusal::Budget(_) | Refusal::Blocked | Refusal::Source => None,
    }
}

/// The refusals of the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct Suspicions {
    of: [Recent; Intent::ALL.len()],
}

#[derive(Debug, Default)]
struct Recent {
    /// Of each step, in a ring.
    counts: [u32; STEPS],
    /// The step that was counted last.
    step: u64,
    last: Option<IpAddr>,
}

impl Recent {
    /// Forgets the steps that have passed.
    fn roll(&mut self, now: Moment) {
        let step = now.since_boot().as_secs() / STEP.as_secs();
        let passed = step.saturating_sub(self.step).min(STEPS as u64);
        for past in 1..=passed {
            if let Some(count) = self.counts.get_mut(place(self.step + past)) {
                *count = 0;
            }
        }
        // After so many all are empty, whatever their numbers.
        self.step = self.step.max(step);
    }

    fn note(&mut self, from: IpAddr, now: Moment) {
        self.roll(now);
        self.last = Some(from);
        if let Some(count) = self.counts.get_mut(place(self.step)) {
            *count = count.saturating_add(1);
        }
    }

    fn count(&mut self, now: Moment) -> u32 {
        self.roll(now);
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Where a step is in the ring.
fn place(step: u64) -> usize {
    usize::try_from(step % STEPS as u64).unwrap_or(0)
}

impl Suspicions {
    /// Somebody was refused.
    pub(crate) fn note(&mut self, intent: Intent, from: IpAddr, now: Moment) {
        if let Some(recent) = self.of.get_mut(intent as usize) {
            recent.note(from, now);
        }
    }

    /// What there is to report.
    pub(crate) fn report(&mut self, now: Moment) -> Vec<Suspicion> {
        let all = Intent::ALL.into_iter().zip(&mut self.of);
        all.filter_map(|(intent, recent)| {
            let count = recent.count(now);
            let last = recent.last.filter(|_| count > 0)?;
            Some(Suspicion { intent, count, last })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    fn counts(suspicions: &mut Suspicions, now: Moment) -> Vec<(Intent, u32)> {
        suspicions.report(now).into_iter().map(|it| (it.intent, it.count)).collect()
    }

    #[test]
    fn each_kind_is_counted_for_five_minutes() {
        let mut suspicions = Suspicions::default();
        assert_eq!(suspicions.report(at(1000)), []);
        for _ in 0..3 {
            suspicions.note(Intent::Guessing, HERE, at(1000));
        }
        suspicions.note(Intent::Probing, HERE, at(1100));
        assert_eq!(counts(&mut suspicions, at(1100)), [(Intent::Guessing, 3), (Intent::Probing, 1)]);
        assert_eq!(counts(&mut suspicions, at(1289)), [(Intent::Guessing, 3), (Intent::Probing, 1)]);
        assert_eq!(counts(&mut suspicions, at(1300)), [(Intent::Probing, 1)]);
        assert_eq!(counts(&mut suspicions, at(1_000_000)), []);
    }

    #[test]
    fn what_anybody_is_refused_for_is_no_suspicion() {
        for (refusal, intent) in [
            (Refusal::Wrong, Some(Intent::Guessing)),
            (Refusal::Ended, None),
            (Refusal::Locked(STEP), Some(Intent::Guessing)),
            (Refusal::Host, Some(Intent::Rebinding)),
            (Refusal::Origin, Some(Intent::Rebinding)),
            (Refusal::Missing, None),
            (Refusal::Blocked, None),
            (Refusal::Budget(STEP), None),
            (Refusal::Source, None),
        ] {
            assert_eq!(intent_of(refusal), intent, "{refusal:?}");
        }
    }

    proptest! {
        /// Whatever the times: never more than were noted, never fewer than those of the last 290 seconds.
        #[test]
        fn a_count_is_that_of_the_last_minutes(mut times in prop::collection::vec(0_u64..2000, 0..200)) {
            times.sort_unstable();
            let mut suspicions = Suspicions::default();
            for time in &times {
                suspicions.note(Intent::Guessing, HERE, at(*time));
            }
            let now = times.last().copied().unwrap_or(0);
            let sure = times.iter().filter(|time| now - **time <= 290).count();
            let most = times.iter().filter(|time| now - **time < 300).count();
            let counted = counts(&mut suspicions, at(now)).first().map_or(0, |(_, count)| *count as usize);
            prop_assert!(sure <= counted && counted <= most, "{sure} <= {counted} <= {most}");
        }
    }
}
