//! When gateways were exposed: whoever was paired then stays in when the exposure ends.

use guardian_rules::fact::Exposure;
use jiff::{SignedDuration, Timestamp};

/// As many are told apart.
const MOST: usize = 16;
/// Older ones fall away.
const AGE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A gateway is exposed; it was not when it was looked at that time, if ever.
pub(super) fn begin(exposures: &mut Vec<Exposure>, clean: Option<Timestamp>) {
    if exposures.iter().any(|it| it.until.is_none()) {
        return;
    }
    exposures.push(Exposure { from: clean.map(milliseconds), until: None });
    // Two become one rather than none: nobody gets out of sight by being followed by others.
    while exposures.len() > MOST
        && let [first, second, ..] = exposures.as_mut_slice()
    {
        second.from = first.from;
        exposures.remove(0);
    }
}

/// Whatever is exposed is blocked now.
pub(super) fn end(exposures: &mut [Exposure], now: Timestamp) {
    for exposure in exposures.iter_mut().filter(|it| it.until.is_none()) {
        exposure.until = Some(milliseconds(now).max(exposure.from.unwrap_or(0)));
    }
}

/// Forgets those that ended long ago.
pub(super) fn forget(exposures: &mut Vec<Exposure>, now: Timestamp) {
    let oldest = milliseconds(now.saturating_sub(AGE).unwrap_or(Timestamp::MIN));
    exposures.retain(|it| it.until.is_none_or(|until| until >= oldest));
}

fn milliseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_exposure_lasts_from_the_last_clean_look_to_the_block() {
        let mut exposures = Vec::new();
        begin(&mut exposures, Some(at(100)));
        assert!(exposures[0].covers(100_000) && exposures[0].covers(999_000_000));
        end(&mut exposures, at(101));
        end(&mut exposures, at(500));
        assert_eq!(exposures, [Exposure { from: Some(100_000), until: Some(101_000) }]);
        assert!(!exposures[0].covers(99_999) && !exposures[0].covers(101_001));
    }

    #[test]
    fn one_without_a_clean_look_before_it_may_have_begun_at_any_time() {
        let mut exposures = Vec::new();
        begin(&mut exposures, None);
        assert!(exposures[0].covers(0));
    }

    #[test]
    fn the_latest_are_kept_for_a_month() {
        let mut exposures = Vec::new();
        for second in 0..40 {
            begin(&mut exposures, Some(at(second)));
            begin(&mut exposures, Some(at(100)));
            end(&mut exposures, at(41));
        }
        assert_eq!((exposures.len(), exposures[0].from), (MOST, Some(0)), "none is lost");
        forget(&mut exposures, at(41 + 29 * 24 * 3600));
        assert_eq!(exposures.len(), MOST);
        forget(&mut exposures, at(42 + 30 * 24 * 3600));
        assert!(exposures.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_an_exposure_that_covers_its_beginning() {
        let mut exposures = Vec::new();
        begin(&mut exposures, Some(at(100)));
        end(&mut exposures, at(50));
        assert!(exposures[0].covers(100_000));
    }
}
