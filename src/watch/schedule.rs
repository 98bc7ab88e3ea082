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

/// Each of these looks again when the other has seen something.
fn is_circle(probe: ProbeId, on: ProbeId) -> bool {
    (probe, on) == (ProbeId::Listeners, ProbeId::Reach)
}

/// Those whose new facts it is no use to wait for: they look again and again by themselves.
fn never_waited_for(probe: ProbeId, on: ProbeId) -> bool {
    is_circle(probe, on) || probe == ProbeId::Owner
}

/// The schedule of all probes.
#[derive(Debug)]
pub(crate) struct Schedule {
    slots: BTreeMap<ProbeId, Slot>,
}

/// How probes stood at some moment: the version of what each had seen, and when that look began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(BTreeMap<ProbeId, (u64, Moment)>);

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
    /// It was made to look again for what had gone since.
    repeated: bool,
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
            repeated: false,
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

    /// Whether what a probe has met was gone before anybody could say what it was. Then it looks again before
    /// there is a picture, once: what comes and goes all the time is told as what it is.
    pub(crate) fn came_to_nothing(&mut self, probe: ProbeId, gone: bool) {
        if let Some(slot) = self.slots.get_mut(&probe) {
            if gone && !slot.repeated {
                (slot.forced, slot.finished) = (true, false);
            }
            slot.repeated = gone;
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

    /// How all of them stand.
    pub(crate) fn looks(&self) -> Looks {
        let of = |(probe, slot): (&ProbeId, &Slot)| Some((*probe, (slot.version, slot.looked?)));
        Looks(self.slots.iter().filter_map(of).collect())
    }

    /// When the look began, of those that `before` rested on, that was the last not to see what has changed since;
    /// none if nothing has. What changed because another did is not what changed.
    pub(crate) fn unseen_at(&self, before: &Looks) -> Option<Moment> {
        let changed = |probe: &ProbeId| {
            let version = self.slots.get(probe).map(|slot| slot.version);
            before.0.get(probe).is_some_and(|(was, _)| version != Some(*was))
        };
        let follows =
            |probe: ProbeId| builds_on(probe).iter().any(|on| !is_circle(probe, *on) && changed(on));
        before.0.iter().filter(|(probe, _)| changed(probe) && !follows(**probe)).map(|(_, (_, at))| *at).min()
    }

    fn versions(&self, probe: ProbeId) -> impl Iterator<Item = u64> {
        builds_on(probe).iter().filter_map(|on| self.slots.get(on)).map(|slot| slot.version)
    }
}

#[cfg(test)]
mod tests;
