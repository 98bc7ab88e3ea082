//! Codes are good once: which were used, and how often somebody had the passphrase and not the code.

use std::collections::VecDeque;
use std::time::Duration;

use super::totp::{Kept, Step};
use crate::sys::clock::Moment;

/// Steps that are remembered: more than anybody uses while their codes are good.
const REMEMBERED: usize = 64;
/// Wrong codes that cost nothing.
const FREE: u32 = 5;
/// After one more, doubled with each, no code is taken for this long,
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// and at most for this long: whoever has the passphrase and tries from anywhere for a whole day
/// guesses a code with three chances in ten thousand.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// Wrong codes are forgotten when none came for this long.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// What is remembered of codes.
#[derive(Debug)]
pub(crate) struct Spent {
    steps: VecDeque<Step>,
    wrong: u32,
    latest: Moment,
}

impl Spent {
    /// At the start of a process. What another one took before it is not known, so that every code
    /// of this moment counts as used.
    pub(crate) fn new(now: Step) -> Self {
        Self { steps: now.around().collect(), wrong: 0, latest: Moment::default() }
    }

    /// Takes a code that came with the right passphrase; whether it is good. It never is again.
    pub(crate) fn take(&mut self, kept: &Kept, given: &str, step: Step, now: Moment) -> bool {
        let found = kept.secret.step_of(given, step);
        // A right code is not taken either, so that nobody can tell by it that one was guessed.
        if now < self.open_at() {
            return false;
        }
        let Some(step) = found.filter(|step| *step != kept.confirmed && !self.steps.contains(step)) else {
            if now.since(self.latest) > FORGOTTEN {
                self.wrong = 0;
            }
            self.wrong = self.wrong.saturating_add(1);
            self.latest = now;
            return false;
        };
        self.wrong = 0;
        if self.steps.len() >= REMEMBERED {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
        true
    }

    fn open_at(&self) -> Moment {
        let Some(beyond) = self.wrong.checked_sub(FREE) else { return Moment::default() };
        self.latest + FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond)).min(LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn kept(confirmed: Step) -> Kept {
        let text = r#"{"v":1,"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","confirmed":0}"#;
        let mut kept: Kept = serde_json::from_str(text).unwrap();
        kept.confirmed = confirmed;
        kept
    }

    fn step(seconds: i64) -> Step {
        Step::at(Timestamp::from_second(seconds).unwrap())
    }

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    /// RFC 6238, appendix B.
    const TIME: i64 = 1_234_567_890;
    const CODE: &str = "005924";
    const LONG_AGO: i64 = 1_000_000;

    #[test]
    fn a_code_is_good_once_even_if_the_clock_is_set_back() {
        let (kept, mut spent) = (kept(step(0)), Spent::new(step(LONG_AGO)));
        assert!(spent.take(&kept, CODE, step(TIME), at(1)));
        for later in [0, 29, -29] {
            assert!(!spent.take(&kept, CODE, step(TIME + later), at(2)), "{later}");
        }
        assert!(!spent.take(&kept, "081804", step(TIME), at(3)), "and one of another time never is");
    }

    #[test]
    fn a_code_that_turned_it_on_or_may_have_been_taken_before_a_restart_is_used() {
        let mut spent = Spent::new(step(LONG_AGO));
        assert!(!spent.take(&kept(step(TIME)), CODE, step(TIME), at(1)));
        for started in [-30, 0, 30] {
            let mut restarted = Spent::new(step(TIME + started));
            assert!(!restarted.take(&kept(step(0)), CODE, step(TIME), at(1)), "{started}");
        }
        assert!(Spent::new(step(TIME - 60)).take(&kept(step(0)), CODE, step(TIME), at(1)));
    }

    #[test]
    fn after_a_few_wrong_codes_none_is_taken_for_ever_longer() {
        let (kept, mut spent) = (kept(step(0)), Spent::new(step(LONG_AGO)));
        for _ in 0..5 {
            assert!(!spent.take(&kept, "000000", step(TIME), at(1)));
        }
        assert!(!spent.take(&kept, CODE, step(TIME), at(1)), "not even the right one");
        assert!(spent.take(&kept, CODE, step(TIME), at(2)), "which was not used up by that");
        let mut now = 10;
        let mut tried = 0;
        while now < 10 + 24 * 3600 {
            tried += u32::from(now >= spent.open_at().since_boot().as_secs());
            assert!(!spent.take(&kept, "000000", step(TIME), at(now)));
            now += 1;
        }
        // Three steps are good at a time: as many chances in a million.
        assert!((90..=110).contains(&tried), "{tried}");
        let day = Duration::from_hours(24) + Duration::from_secs(1);
        spent.take(&kept, "000000", step(TIME), spent.latest + day);
        assert_eq!(spent.wrong, 1);
    }

    #[test]
    fn no_more_is_remembered_than_is_needed() {
        let (kept, mut spent) = (kept(step(0)), Spent::new(step(LONG_AGO)));
        for minute in 0..1000 {
            let now = step(TIME + minute * 60);
            let code = String::from_utf8(kept.secret.code(now).to_vec()).unwrap();
            assert!(spent.take(&kept, &code, now, at(1)), "{minute}");
            assert!(!spent.take(&kept, &code, now, at(1)), "{minute}");
        }
        assert_eq!(spent.steps.len(), REMEMBERED);
    }
}
