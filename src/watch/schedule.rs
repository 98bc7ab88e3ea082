//! Which probe looks when: at its own cadence, and at once when what it builds on has changed.
//!
//! Every probe's facts have a version, which goes up when they change. A probe is settled when it
//! was started with the present versions of all it builds on. While all are settled, what they have
//! seen is one picture; else only the settled part of it may be used.

use std::collections::BTreeMap;
use std::time::Duration;

use guardian_rules::snapshot::ProbeId;

use crate::sys::clock::Moment;

/// What a probe's answer depends on: when this changes, it looks again at once.
fn builds_on(probe: ProbeId) -> &'static [ProbeId] {
    use ProbeId::{
        Access, Announcements, Containers, Gateway, Handshake, Interfaces, Listeners, Owner, Panel, Peers,
        Reach, Redirects, Router, Routes, Tunnels, Witness,
    };
    match probe {
        // A connection that was taken where nobody is known to listen: the list may be older.
        Listeners => &[Reach],
        // These ask others, and at their own pace.
        Witness | Interfaces | Redirects | Containers | Router | Announcements => &[],
        Owner => &[Listeners, Gateway, Routes, Peers, Tunnels],
        Gateway | Routes | Tunnels => &[Listeners],
        Panel => &[Listeners, Interfaces],
        Access => &[Listeners, Interfaces, Panel],
        Handshake => &[Listeners, Interfaces, Panel, Access],
        Reach => &[Listeners, Interfaces, Gateway],
        Peers => &[Listeners, Interfaces, Gateway],
    }
}

/// Who has to be settled before a probe starts, beside those it builds on.
fn comes_after(probe: ProbeId) -> &'static [ProbeId] {
    match probe {
        // Whom to ask, and what to look for, depends on what a process is.
        ProbeId::Panel | ProbeId::Routes | ProbeId::Tunnels => &[ProbeId::Owner],
        // Who could announce anything.
        ProbeId::Announcements => &[ProbeId::Gateway],
        // Whether there is anything to ask for: which sockets lead to a gateway.
        ProbeId::Router => &[ProbeId::Access],
        _ => &[],
    }
}

/// Who looks at once when this has changed, though the picture is whole without: a router takes
/// seconds to answer, and is asked over the whole local network.
fn wakes(probe: ProbeId) -> &'static [ProbeId] {
    match probe {
        // A gateway's port has come within the network's reach.
        ProbeId::Reach => &[ProbeId::Router],
        ProbeId::Gateway => &[ProbeId::Announcements],
        _ => &[],
    }
}

/// Those whose new facts it is no use to wait for: they look again and again by themselves.
fn never_waited_for(probe: ProbeId, on: ProbeId) -> bool {
    matches!((probe, on), (ProbeId::Listeners, ProbeId::Reach) | (ProbeId::Owner, _))
}

/// The schedule of all probes.
#[derive(Debug)]
pub(crate) struct Schedule {
    slots: BTreeMap<ProbeId, Slot>,
}

#[derive(Debug)]
struct Slot {
    cadence: Duration,
    version: u64,
    look: Look,
    /// It must look again, whatever its inputs.
    forced: bool,
    began: Option<Moment>,
    /// When the look began that was finished last.
    looked: Option<Moment>,
    /// The versions of its inputs at the start of the look under way or last finished.
    basis: Vec<u64>,
    /// It has finished a look with this basis.
    finished: bool,
    /// Looks in a row that left something open.
    open: u32,
}

/// A look that left something open is made again so soon, and later and later while it does: to be
/// blind for longer than the patience opens the circuit, and some probes rest for a minute.
const SOON: Duration = Duration::from_secs(1);

impl Slot {
    /// From the beginning of one look to the next.
    fn pace(&self) -> Duration {
        match self.open.checked_sub(1) {
            None => self.cadence,
            Some(before) => SOON.saturating_mul(2_u32.saturating_pow(before)).min(self.cadence),
        }
    }
}

/// The look that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    None,
    UnderWay,
    /// It counts for nothing: it began before everything was doubted.
    Doubted,
}

impl Schedule {
    /// Nobody has looked yet.
    pub(crate) fn new(cadence: impl Fn(ProbeId) -> Duration) -> Self {
        let slot = |probe| Slot {
            cadence: cadence(probe),
            version: 0,
            look: Look::None,
            forced: true,
            began: None,
            looked: None,
            basis: Vec::new(),
            finished: false,
            open: 0,
        };
        Self { slots: ProbeId::ALL.into_iter().map(|probe| (probe, slot(probe))).collect() }
    }

    /// Other cadences, from the next look on.
    pub(crate) fn set_cadences(&mut self, cadence: impl Fn(ProbeId) -> Duration) {
        for (probe, slot) in &mut self.slots {
            slot.cadence = cadence(*probe);
        }
    }

    /// The probes that are to be started now.
    pub(crate) fn due(&self, now: Moment) -> Vec<ProbeId> {
        let wanted = |probe: &ProbeId, slot: &Slot| {
            // A little early rather than alone: each time that this process wakes has its price.
            let pace = slot.pace().saturating_sub(slot.pace() / 10);
            let by_cadence = slot.began.is_none_or(|began| now.since(began) >= pace);
            slot.look == Look::None && (slot.forced || by_cadence || !self.is_settled(*probe))
        };
        let may_start = |probe: ProbeId| {
            let waits_for = builds_on(probe).iter().filter(|on| !never_waited_for(probe, **on));
            waits_for.chain(comes_after(probe)).all(|on| self.is_settled(*on))
        };
        self.slots
            .iter()
            .filter(|(probe, slot)| wanted(probe, slot) && may_start(**probe))
            .map(|(probe, _)| *probe)
            .collect()
    }

    /// When the next probe is due by its cadence.
    pub(crate) fn next(&self, now: Moment) -> Moment {
        let idle = self.slots.values().filter(|slot| slot.look == Look::None);
        let due = |slot: &Slot| slot.began.map_or(now, |began| began + slot.pace());
        idle.map(due).min().unwrap_or(now + Duration::from_secs(1))
    }

    /// A probe was started with what is known now.
    pub(crate) fn started(&mut self, probe: ProbeId, now: Moment) {
        let basis: Vec<u64> = self.versions(probe).collect();
        if let Some(slot) = self.slots.get_mut(&probe) {
            (slot.look, slot.forced, slot.began) = (Look::UnderWay, false, Some(now));
            if slot.basis != basis {
                (slot.basis, slot.finished) = (basis, false);
            }
        }
    }

    /// A probe has finished its look. `changed`: it brought something else than before.
    pub(crate) fn finished(&mut self, probe: ProbeId, changed: bool) {
        if let Some(slot) = self.slots.get_mut(&probe) {
            slot.finished = slot.look != Look::Doubted;
            slot.look = Look::None;
            slot.looked = slot.began;
            slot.version += u64::from(changed);
            if changed {
                // What is open now may be something else.
                slot.open = slot.open.min(2);
            }
        }
        if changed {
            for woken in wakes(probe) {
                self.hurry(*woken);
            }
        }
    }

    /// Whether what a probe has seen leaves something open.
    pub(crate) fn left_open(&mut self, probe: ProbeId, open: bool) {
        if let Some(slot) = self.slots.get_mut(&probe) {
            slot.open = if open { slot.open.saturating_add(1) } else { 0 };
        }
    }

    /// What a probe has seen was replaced by something else.
    pub(crate) fn changed(&mut self, probe: ProbeId) {
        if let Some(slot) = self.slots.get_mut(&probe) {
            slot.version += 1;
        }
    }

    /// Everything has to be looked at again: time has passed that nobody watched.
    pub(crate) fn doubt_all(&mut self) {
        for slot in self.slots.values_mut() {
            (slot.forced, slot.finished) = (true, false);
            if slot.look == Look::UnderWay {
                slot.look = Look::Doubted;
            }
        }
    }

    /// A probe looks as soon as it can.
    pub(crate) fn hurry(&mut self, probe: ProbeId) {
        if let Some(slot) = self.slots.get_mut(&probe) {
            slot.forced = true;
        }
    }

    /// What a probe has seen fits what the others have seen.
    pub(crate) fn is_settled(&self, probe: ProbeId) -> bool {
        self.slots
            .get(&probe)
            .is_some_and(|slot| slot.finished && slot.basis.iter().copied().eq(self.versions(probe)))
    }

    /// When a probe began the look that it finished last.
    pub(crate) fn looked(&self, probe: ProbeId) -> Option<Moment> {
        self.slots.get(&probe)?.looked
    }

    /// All have seen one picture.
    pub(crate) fn is_whole(&self) -> bool {
        ProbeId::ALL.into_iter().all(|probe| self.is_settled(probe))
    }

    fn versions(&self, probe: ProbeId) -> impl Iterator<Item = u64> {
        builds_on(probe).iter().filter_map(|on| self.slots.get(on)).map(|slot| slot.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::after_boot(Duration::from_millis(milliseconds))
    }

    fn cadence(probe: ProbeId) -> Duration {
        Duration::from_millis(if probe == ProbeId::Listeners { 200 } else { 1000 })
    }

    /// Runs whatever is due until nothing is, and says who ran in which order.
    fn settle(
        schedule: &mut Schedule,
        now: Moment,
        changes: impl Fn(ProbeId, usize) -> bool,
    ) -> Vec<ProbeId> {
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
            first(ProbeId::Panel) < first(ProbeId::Access)
                && first(ProbeId::Access) < last(ProbeId::Handshake)
        );
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
}
