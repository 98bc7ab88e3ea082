//! Who looks when, and what is one picture.

use super::*;

fn at(milliseconds: u64) -> Moment {
    Moment::after_boot(Duration::from_millis(milliseconds))
}

fn cadence(probe: ProbeId) -> Duration {
    Duration::from_millis(if probe == ProbeId::Listeners { 200 } else { 1000 })
}

/// Runs whatever is due until nothing is, and says who ran in which order.
fn settle(schedule: &mut Schedule, now: Moment, changes: impl Fn(ProbeId, usize) -> bool) -> Vec<ProbeId> {
    let mut ran: Vec<ProbeId> = Vec::new();
    loop {
        let due = schedule.due(now);
        if due.is_empty() {
            return ran;
        }
        for probe in &due {
            schedule.started(*probe, now);
        }
        for probe in due {
            let before = ran.iter().filter(|earlier| **earlier == probe).count();
            schedule.finished(probe, changes(probe, before));
            ran.push(probe);
        }
        assert!(ran.len() < 100, "it settles: {ran:?}");
    }
}

fn settled() -> Schedule {
    let mut schedule = Schedule::new(cadence);
    settle(&mut schedule, at(0), |_, before| before == 0);
    schedule
}

#[test]
fn a_look_that_left_something_open_is_made_again_soon_and_later_and_later() {
    let mut schedule = Schedule::new(|_| Duration::from_mins(1));
    let begins = |schedule: &mut Schedule, second: u64| {
        schedule.started(ProbeId::Interfaces, at(second * 1000));
        schedule.finished(ProbeId::Interfaces, false);
    };
    let due =
        |schedule: &Schedule, second: u64| schedule.due(at(second * 1000)).contains(&ProbeId::Interfaces);
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        begins(&mut schedule, now);
        schedule.left_open(ProbeId::Interfaces, true);
        assert!(!due(&schedule, now + wait / 2) && due(&schedule, now + wait), "{wait} s");
        now += wait;
    }
    begins(&mut schedule, now);
    schedule.left_open(ProbeId::Interfaces, false);
    assert!(!due(&schedule, now + 50), "all was seen: there is time again");
    begins(&mut schedule, now + 60);
    schedule.left_open(ProbeId::Interfaces, true);
    assert!(due(&schedule, now + 61));
}

#[test]
fn the_first_round_is_whole_when_everybody_has_looked_in_turn() {
    let mut schedule = Schedule::new(cadence);
    assert!(!schedule.is_whole());
    let ran = settle(&mut schedule, at(0), |_, before| before == 0);
    assert!(schedule.is_whole(), "{schedule:?}");
    let last = |probe| ran.iter().rposition(|ran| *ran == probe).unwrap();
    let first = |probe| ran.iter().position(|ran| *ran == probe).unwrap();
    assert!(first(ProbeId::Owner) < first(ProbeId::Panel));
    assert!(
        first(ProbeId::Panel) < first(ProbeId::Access) && first(ProbeId::Access) < last(ProbeId::Handshake)
    );
}

#[test]
fn a_client_that_is_gone_before_it_was_described_is_looked_for_once_more_before_there_is_a_picture() {
    let mut schedule = settled();
    let look = |schedule: &mut Schedule, probe, changed| {
        schedule.started(probe, at(100));
        schedule.finished(probe, changed);
    };
    // A connection is there, and nobody can say whose it is.
    look(&mut schedule, ProbeId::Peers, true);
    look(&mut schedule, ProbeId::Owner, false);
    assert!(schedule.is_whole());
    schedule.came_to_nothing(ProbeId::Peers, true);
    assert!(!schedule.is_whole(), "it may be gone by now");
    assert_eq!(schedule.due(at(101)), [ProbeId::Peers]);
    look(&mut schedule, ProbeId::Peers, true);
    look(&mut schedule, ProbeId::Owner, false);
    schedule.came_to_nothing(ProbeId::Peers, true);
    assert!(schedule.is_whole(), "another one came and went: that is so, and is told");
    look(&mut schedule, ProbeId::Peers, true);
    look(&mut schedule, ProbeId::Owner, false);
    schedule.came_to_nothing(ProbeId::Peers, false);
    assert!(schedule.is_whole());
    schedule.came_to_nothing(ProbeId::Peers, true);
    assert!(!schedule.is_whole(), "all was described in between");
}

#[test]
fn while_nothing_changes_each_looks_at_its_own_cadence() {
    let mut schedule = settled();
    assert_eq!(schedule.due(at(179)), []);
    assert_eq!(schedule.next(at(0)), at(200));
    assert_eq!(settle(&mut schedule, at(200), |_, _| false), [ProbeId::Listeners]);
    assert!(schedule.is_whole());
    let ran = settle(&mut schedule, at(1000), |_, _| false);
    assert_eq!(ran.len(), ProbeId::ALL.len());
}

#[test]
fn whoever_is_nearly_due_looks_with_the_others() {
    let schedule = settled();
    assert_eq!(schedule.due(at(180)), [ProbeId::Listeners]);
    assert_eq!(schedule.due(at(899)), [ProbeId::Listeners]);
    assert_eq!(schedule.due(at(900)), ProbeId::ALL);
}

#[test]
fn a_new_listener_unsettles_what_builds_on_it_at_once() {
    let mut schedule = settled();
    schedule.started(ProbeId::Listeners, at(200));
    schedule.finished(ProbeId::Listeners, true);
    assert!(!schedule.is_whole());
    assert!(schedule.is_settled(ProbeId::Interfaces) && schedule.is_settled(ProbeId::Witness));
    assert!(!schedule.is_settled(ProbeId::Panel));
    let due = schedule.due(at(200));
    assert!(due.contains(&ProbeId::Owner) && due.contains(&ProbeId::Gateway), "{due:?}");
    assert!(!due.contains(&ProbeId::Panel), "whom to ask is not known yet");
    settle(&mut schedule, at(200), |_, _| false);
    assert!(schedule.is_whole());
}

#[test]
fn a_look_under_way_while_its_ground_changes_is_not_enough() {
    let mut schedule = settled();
    schedule.started(ProbeId::Reach, at(1000));
    schedule.started(ProbeId::Listeners, at(1000));
    schedule.finished(ProbeId::Listeners, true);
    schedule.finished(ProbeId::Reach, false);
    assert!(!schedule.is_settled(ProbeId::Reach));
}

#[test]
fn a_look_by_cadence_does_not_unsettle_while_it_is_under_way() {
    let mut schedule = settled();
    schedule.started(ProbeId::Panel, at(1000));
    assert!(schedule.is_whole());
    assert!(!schedule.due(at(5000)).contains(&ProbeId::Panel), "it runs already");
}

#[test]
fn an_accepted_connection_makes_the_listeners_be_listed_again() {
    let mut schedule = settled();
    schedule.started(ProbeId::Reach, at(10));
    schedule.finished(ProbeId::Reach, true);
    assert!(!schedule.is_settled(ProbeId::Listeners));
    assert!(schedule.due(at(10)).contains(&ProbeId::Listeners));
}

#[test]
fn after_a_gap_nothing_counts_until_it_was_seen_again() {
    let mut schedule = settled();
    schedule.doubt_all();
    assert!(ProbeId::ALL.into_iter().all(|probe| !schedule.is_settled(probe)));
    settle(&mut schedule, at(1), |_, _| false);
    assert!(schedule.is_whole());
}

#[test]
fn a_look_that_began_before_everything_was_doubted_does_not_count() {
    let mut schedule = settled();
    schedule.started(ProbeId::Interfaces, at(1000));
    schedule.doubt_all();
    schedule.finished(ProbeId::Interfaces, false);
    assert!(!schedule.is_settled(ProbeId::Interfaces));
    assert!(schedule.due(at(1000)).contains(&ProbeId::Interfaces), "it looks again");
    schedule.started(ProbeId::Interfaces, at(1001));
    schedule.finished(ProbeId::Interfaces, false);
    assert!(schedule.is_settled(ProbeId::Interfaces));
}

#[test]
fn the_router_is_asked_when_a_gateway_comes_within_reach_and_the_picture_stays_whole() {
    let mut schedule = settled();
    schedule.started(ProbeId::Reach, at(500));
    schedule.finished(ProbeId::Reach, true);
    settle(&mut schedule, at(501), |_, _| false);
    schedule.started(ProbeId::Reach, at(600));
    schedule.finished(ProbeId::Reach, true);
    assert!(schedule.due(at(601)).contains(&ProbeId::Router));
    schedule.started(ProbeId::Router, at(601));
    for probe in schedule.due(at(601)) {
        schedule.started(probe, at(601));
        schedule.finished(probe, false);
    }
    assert!(schedule.is_whole(), "it takes seconds, and is not waited for");
}

proptest::proptest! {
    /// Whatever changes when, the picture is whole again once changes end.
    #[test]
    fn it_settles_when_changes_end(changes in proptest::collection::vec((0..ProbeId::ALL.len(), 0_u64..500), 0..40)) {
        let mut schedule = settled();
        let mut now = 0;
        for (probe, pause) in changes {
            now += pause;
            let probe = ProbeId::ALL[probe];
            schedule.started(probe, at(now));
            schedule.finished(probe, true);
            for due in schedule.due(at(now)) {
                schedule.started(due, at(now));
                schedule.finished(due, false);
            }
        }
        settle(&mut schedule, at(now + 10_000), |_, _| false);
        proptest::prop_assert!(schedule.is_whole());
    }
}

#[test]
fn what_is_seen_now_was_unseen_by_the_look_of_the_probe_that_sees_it() {
    let mut schedule = settled();
    let look = |schedule: &mut Schedule, probe, second, changed| {
        schedule.started(probe, at(second));
        schedule.finished(probe, changed);
    };
    look(&mut schedule, ProbeId::Gateway, 4000, false);
    look(&mut schedule, ProbeId::Listeners, 8000, false);
    let before = schedule.looks();
    assert_eq!(schedule.unseen_at(&before), None, "nothing has changed");
    // A configuration: nobody else sees it.
    look(&mut schedule, ProbeId::Gateway, 9000, true);
    assert_eq!(schedule.unseen_at(&before), Some(at(4000)));

    // A listener, and what others see for its sake: their earlier looks say nothing of it.
    let before = schedule.looks();
    for probe in [ProbeId::Listeners, ProbeId::Owner, ProbeId::Panel, ProbeId::Reach, ProbeId::Access] {
        look(&mut schedule, probe, 9200, true);
    }
    assert_eq!(schedule.unseen_at(&before), Some(at(8000)));
    assert_eq!(schedule.unseen_at(&Looks::default()), None, "nobody has looked before");
}
