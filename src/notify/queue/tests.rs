use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::notify::message::tests::{stamped, trip};

fn at(seconds: u64) -> Moment {
    Moment::after_boot(Duration::from_secs(seconds))
}

fn tripped(id: i64, findings: usize) -> Stamped {
    stamped(Notice::Tripped(trip(id, findings)))
}

fn news(id: i64, findings: usize) -> Stamped {
    stamped(Notice::News(trip(id, findings)))
}

/// Somebody's recovery, each its own.
fn recovering(second: i64) -> Stamped {
    let at = trip(second, 0).at;
    Stamped { at, notice: Notice::Recovering("ana".to_owned()) }
}

#[test]
fn a_trip_is_told_once_however_often_it_comes() {
    let mut queue = Queue::new(Schedule::USUAL);
    assert_eq!(queue.push(tripped(1, 1), at(0)), Pushed::Waits);
    assert_eq!(queue.push(tripped(1, 1), at(0)), Pushed::Counted);
    let delivery = queue.take(at(0)).unwrap();
    assert_eq!(delivery.count, 2);
    queue.delivered(delivery.serial);
    assert_eq!(queue.push(tripped(1, 1), at(1)), Pushed::Counted);
    assert_eq!(queue.push(news(1, 1), at(1)), Pushed::Counted);
    assert_eq!((queue.take(at(2)), queue.due()), (None, None));
}

#[test]
fn news_that_waits_with_its_trip_is_one_message_that_says_what_happened() {
    let mut queue = Queue::new(Schedule::USUAL);
    queue.push(tripped(1, 1), at(0));
    assert_eq!(queue.push(news(1, 3), at(1)), Pushed::Merged);
    let delivery = queue.take(at(1)).unwrap();
    assert_eq!((delivery.notice, delivery.count), (tripped(1, 3), 2));
    queue.delivered(delivery.serial);
    assert_eq!(queue.push(news(1, 4), at(2)), Pushed::Waits);
    assert_eq!(queue.take(at(2)).unwrap().notice, news(1, 4));
}

#[test]
fn news_waits_while_its_trip_is_being_told_and_another_trip_does_not() {
    let mut queue = Queue::new(Schedule::USUAL);
    queue.push(tripped(1, 1), at(0));
    let first = queue.take(at(0)).unwrap();
    assert_eq!(queue.push(news(1, 2), at(0)), Pushed::Waits);
    queue.push(tripped(2, 1), at(0));
    assert_eq!(queue.take(at(0)).unwrap().notice, tripped(2, 1));
    assert_eq!(queue.take(at(0)), None);
    // The trip was not told: what goes on in its place says so.
    assert_eq!(queue.failed(first.serial, at(9)), Failed::Superseded);
    assert_eq!(queue.take(at(9)).unwrap().notice, tripped(1, 2));
}

#[test]
fn failures_are_tried_again_ever_later_and_for_a_day() {
    let mut queue = Queue::new(Schedule::USUAL);
    queue.push(tripped(1, 1), at(0));
    let mut now = at(0);
    let mut pauses = Vec::new();
    loop {
        let delivery = queue.take(now).unwrap();
        match queue.failed(delivery.serial, now) {
            Failed::Again(pause) => {
                pauses.push(pause.as_secs());
                now = now + pause;
                assert_eq!(queue.due(), Some(now));
            }
            Failed::GivenUp => break,
            Failed::Superseded => panic!("nothing supersedes it"),
        }
    }
    assert_eq!(pauses[..7], [1, 5, 30, 120, 600, 600, 600]);
    assert!(now.since(at(0)) <= Duration::from_hours(24) && now.since(at(0)) > Duration::from_hours(23));
    assert_eq!((queue.due(), queue.take(now)), (None, None));
}

#[test]
fn on_a_desktop_only_what_is_critical_is_tried_again() {
    let mut queue = Queue::new(Schedule { only_critical: true, ..Schedule::USUAL });
    queue.push(recovering(1), at(0));
    queue.push(tripped(1, 1), at(0));
    let critical = queue.take(at(0)).unwrap();
    let other = queue.take(at(0)).unwrap();
    assert_eq!((&critical.notice, &other.notice), (&tripped(1, 1), &recovering(1)));
    assert_eq!(queue.failed(critical.serial, at(0)), Failed::Again(Duration::from_secs(1)));
    assert_eq!(queue.failed(other.serial, at(0)), Failed::GivenUp);
}

#[test]
fn what_is_not_critical_makes_room_and_gets_none_from_what_is() {
    let mut queue = Queue::new(Schedule::USUAL);
    queue.push(recovering(7), at(0));
    for id in 1..64 {
        assert_eq!(queue.push(tripped(id, 1), at(0)), Pushed::Waits);
    }
    assert!(
        matches!(queue.push(tripped(64, 1), at(0)), Pushed::Displaced(key) if key.starts_with("recovering"))
    );
    assert_eq!(queue.push(recovering(8), at(0)), Pushed::Refused);
    assert_eq!(queue.push(tripped(65, 1), at(0)), Pushed::Displaced(key(&tripped(1, 1))));
    // What was put out is not taken for told.
    assert!(matches!(queue.push(tripped(1, 1), at(0)), Pushed::Displaced(_)));
}

#[derive(Debug, Clone)]
enum Step {
    Push(Stamped),
    Take,
    Deliver(usize),
    Fail(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let notice = prop_oneof![
        (0i64..90, 0usize..4).prop_map(|(id, findings)| tripped(id, findings)),
        (0i64..90, 0usize..4).prop_map(|(id, findings)| news(id, findings)),
        (0i64..90).prop_map(recovering),
    ];
    let step = prop_oneof![
        6 => notice.prop_map(Step::Push),
        2 => Just(Step::Take),
        1 => (0usize..8).prop_map(Step::Deliver),
        1 => (0usize..8).prop_map(Step::Fail),
        1 => (0u64..700).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..400)
}

/// Takes a notice in, and sees that no critical one goes while another could.
fn push(queue: &mut Queue, notice: Stamped, now: Moment) -> Result<(), TestCaseError> {
    let critical = |queue: &Queue| queue.entries.iter().filter(|entry| entry.is_critical()).count();
    let others = queue.entries.iter().any(|entry| !entry.is_critical() && entry.state != State::Flying);
    let before = critical(queue);
    let pushed = queue.push(notice, now);
    prop_assert!(!others || (critical(queue) >= before && pushed != Pushed::Refused), "{pushed:?}");
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_queue_is_bounded_in_order_and_critical_ones_outlast_others(steps in steps()) {
        let mut queue = Queue::new(Schedule::USUAL);
        let mut now = at(0);
        let mut flying: Vec<Delivery> = Vec::new();
        for step in steps {
            match step {
                Step::Push(notice) => push(&mut queue, notice, now)?,
                Step::Take => if let Some(delivery) = queue.take(now) {
                    let same = key(&delivery.notice);
                    prop_assert!(flying.iter().all(|other| key(&other.notice) != same));
                    prop_assert!(delivery.count >= 1);
                    flying.push(delivery);
                } else {
                    prop_assert!(queue.due().is_none_or(|due| due > now));
                },
                Step::Deliver(nth) => if nth < flying.len() {
                    queue.delivered(flying.remove(nth).serial);
                },
                Step::Fail(nth) => if nth < flying.len() {
                    queue.failed(flying.remove(nth).serial, now);
                },
                Step::Pass(seconds) => now = now + Duration::from_secs(seconds),
            }
            prop_assert!(queue.entries.len() <= WAITING && queue.known.len() <= KNOWN);
            let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
            for entry in queue.entries.iter().filter(|entry| entry.state != State::Flying) {
                *keys.entry(&entry.key).or_default() += 1;
            }
            prop_assert!(keys.values().all(|count| *count == 1), "{:?}", keys);
        }
    }

    #[test]
    fn pauses_never_shrink_and_none_goes_past_a_day(failures in 1u32..200, age in 0u64..100_000) {
        let age = Duration::from_secs(age);
        let without_end = Schedule { until: Duration::MAX, ..Schedule::USUAL };
        let pause = without_end.pause(failures, age).unwrap();
        prop_assert!(without_end.pause(failures + 1, age).unwrap() >= pause);
        let expected = (age + pause <= Duration::from_hours(24)).then_some(pause);
        prop_assert_eq!(Schedule::USUAL.pause(failures, age), expected);
    }
}
