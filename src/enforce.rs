//! Brings the host in line with the circuit, and holds it there.
//!
//! It is told what is to be so, not what to do: what already stands is only looked at, what does
//! not is raised, again and again. So a trip is held, a restart picks up where the last watcher
//! was cut off, and nothing depends on what happened before.
//!
//! The packet filter, the supervisors and the processes have a task each: what one of them waits
//! for holds up no other. They have a thread of their own, so that a watcher that waits for the disk
//! or computes keeps none of them down.

mod endings;
mod ledger;
mod pause;
mod processes;
mod services;
mod wall;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::ledger::Ledger;
use crate::barrier::firewall::wall::Wall;
use crate::barrier::{Barrier, Held, Target};
use crate::sys::clock::Moment;
use crate::undo::Undo;

/// How often what stands is looked at while the circuit is open.
const HOLD: Duration = Duration::from_millis(500);
/// The same while it is not.
const REST: Duration = Duration::from_secs(5);
/// A look at the wall counts for so long to whoever leans on it: it is looked at every [`REST`], unless something hangs.
const STALE: Duration = Duration::from_secs(7);
/// As long is waited for what they are at when the watcher ends: longer than a tool may take.
const LAST: Duration = Duration::from_secs(12);

/// What is to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Orders {
    /// The packet filter; none where it is not to be used.
    pub(crate) wall: Option<Wall>,
    /// Gateways are to be cut off or stopped: live connections are ended too.
    pub(crate) open: bool,
    /// Gateways are not to run.
    pub(crate) stopped: bool,
    /// Services that were stopped are started again when they are let go.
    pub(crate) restart: bool,
    /// Connections of this host's users whom the wall does not admit.
    pub(crate) others: Others,
    /// Somebody is no doubt for no other reason than the wall.
    pub(crate) leaning: Leaning,
    /// What belongs to gateways.
    pub(crate) target: Target,
    /// A gateway answers there that is in none of this host's processes, so that none can be ended for it.
    pub(crate) elsewhere: Option<SocketAddr>,
}

/// What becomes of connections of users of this host whom a wall does not admit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Others {
    /// They are left: whom it is to admit is not known before the first whole picture.
    #[default]
    Stay,
    /// They are ended.
    Go,
}

/// Whether what was concluded leans on a wall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Leaning {
    /// It would be the same without one.
    #[default]
    Nobody,
    /// Somebody is excused by it: that it goes is to be known soon.
    Somebody,
}

impl Orders {
    /// How long what stands is left alone.
    fn rest(&self) -> Duration {
        if self.open { HOLD } else { REST }
    }

    /// The same for the wall.
    fn wall_rest(&self) -> Duration {
        if self.leaning == Leaning::Somebody { HOLD } else { self.rest() }
    }
}

/// What one task found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The orders that it is about; none before the first look.
    pub(crate) orders: Option<Orders>,
    /// The barriers that were to stand, and whether they do.
    held: BTreeMap<Barrier, Held>,
    /// What went wrong, a sentence a barrier.
    trouble: BTreeMap<Barrier, String>,
    /// When it was looked.
    at: Moment,
}

impl Found {
    /// The wall of these orders stands.
    fn stands(&self, orders: &Orders) -> bool {
        orders.wall.is_some()
            && self.orders.as_ref().is_some_and(|by| by.wall == orders.wall)
            && self.held.get(&Barrier::Firewall) == Some(&Held::Yes)
    }
}

/// What is so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    wall: Found,
    /// How often one was put up so far.
    raised: u64,
    services: Found,
    processes: Found,
}

impl Report {
    fn parts(&self) -> [&Found; 3] {
        [&self.wall, &self.services, &self.processes]
    }

    /// The barriers that are to stand while the circuit is open. What has not been looked at since
    /// it is, is not known.
    pub(crate) fn held(&self, wanted: &Orders) -> BTreeMap<Barrier, Held> {
        let mut held = BTreeMap::new();
        if wanted.wall.is_some() {
            held.insert(Barrier::Firewall, Held::Unknown);
        }
        if wanted.stopped {
            held.insert(Barrier::Process, Held::Unknown);
        }
        if wanted.stopped && !wanted.target.services.is_empty() {
            held.insert(Barrier::Service, Held::Unknown);
        }
        let since = |by: &Orders| by.open && by.stopped == wanted.stopped;
        let parts = self.parts().into_iter().filter(|found| found.orders.as_ref().is_some_and(since));
        held.extend(parts.flat_map(|found| found.held.iter().map(|(barrier, held)| (*barrier, *held))));
        held
    }

    /// Whether this wall stands. What was found of another one says nothing of it.
    pub(crate) fn wall(&self, wanted: &Wall) -> Held {
        let same = self.wall.orders.as_ref().is_some_and(|by| by.wall.as_ref() == Some(wanted));
        let held = self.wall.held.get(&Barrier::Firewall).filter(|_| same);
        held.copied().unwrap_or(Held::Unknown)
    }

    /// There is no wall, as ordered.
    pub(crate) fn has_no_wall(&self) -> bool {
        let Found { orders, trouble, .. } = &self.wall;
        trouble.is_empty() && orders.as_ref().is_some_and(|by| by.wall.is_none())
    }

    /// Whether this wall stands, for whoever leans on it now, and how often one was put up: it may have been lost, and
    /// stand again, before anybody heard of it.
    pub(crate) fn wall_at(&self, wanted: &Wall, now: Moment) -> (Held, u64) {
        let fresh = now.since(self.wall.at) <= STALE;
        (if fresh { self.wall(wanted) } else { Held::Unknown }, self.raised)
    }

    /// When the last of the barriers was found to stand, if the circuit is open and all of them do.
    pub(crate) fn blocked_at(&self, wanted: &Orders) -> Option<Moment> {
        let held = self.held(wanted);
        // Where no process can be ended, it is the packet filter that blocks.
        let walled = wanted.elsewhere.is_some() && held.get(&Barrier::Firewall) == Some(&Held::Yes);
        let stands = |(barrier, held)| held == Held::Yes || (walled && barrier == Barrier::Process);
        let stand = held.into_iter().all(stands);
        (wanted.open && stand).then(|| self.parts().into_iter().map(|found| found.at).max()).flatten()
    }

    /// What went wrong, a sentence each.
    pub(crate) fn trouble(&self) -> impl Iterator<Item = &str> {
        self.parts().into_iter().flat_map(|found| found.trouble.values().map(String::as_str))
    }
}

/// The tasks, and how to talk with them.
pub(crate) struct Enforcer {
    /// What is to be so.
    pub(crate) orders: watch::Sender<Orders>,
    /// What is so.
    pub(crate) report: watch::Receiver<Report>,
    tasks: [AbortHandle; 3],
}

impl Enforcer {
    /// Starts the tasks with what is to be so from the beginning: what an earlier watcher has left
    /// standing is not touched unless it should not be there.
    ///
    /// At `endings` is written down who is being ended.
    pub(crate) fn start(undo: Undo, endings: PathBuf, first: Orders) -> io::Result<Self> {
        let (orders, told) = watch::channel(first);
        let (tell, report) = watch::channel(Report::default());
        let ledger = Ledger::new(undo);
        let own = runtime::Builder::new_current_thread().enable_all().build()?;
        let tasks = [
            own.spawn(wall::Work::new(ledger.clone()).run(told.clone(), tell.clone())),
            own.spawn(services::Work::new(ledger).run(told.clone(), tell.clone())),
            own.spawn(processes::Work::new(endings).run(told, tell)),
        ];
        let handles = tasks.each_ref().map(tokio::task::JoinHandle::abort_handle);
        // It ends with its tasks, and they do when nobody gives orders any more.
        std::thread::Builder::new().name("barriers".to_owned()).spawn(move || {
            own.block_on(async {
                for task in tasks {
                    // One that panicked is told by its handle.
                    let _ = task.await;
                }
            });
        })?;
        Ok(Self { orders, report, tasks: handles })
    }

    /// Lets the tasks come to an end, and waits for them so long: whoever comes next must not find
    /// them at work. What they hold stays held.
    pub(crate) async fn end(self) {
        drop(self.orders);
        let begun = std::time::Instant::now();
        while self.tasks.iter().any(|task| !task.is_finished()) && begun.elapsed() < LAST {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All of it works.
    pub(crate) fn is_alive(&self) -> bool {
        self.tasks.iter().all(|task| !task.is_finished())
    }
}

/// Waits for other orders, at most so long; none if nobody gives orders any more.
async fn next(told: &mut watch::Receiver<Orders>, rest: Duration) -> Option<()> {
    match tokio::time::timeout(rest, told.changed()).await {
        Ok(Err(_)) => None,
        Ok(Ok(())) | Err(_) => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::barrier::firewall::wall::Stance;

    fn orders(open: bool, port: u16) -> Orders {
        let wall = Wall { ports: BTreeSet::from([port]), ..Wall::empty(Stance::Block) };
        Orders {
            wall: Some(wall),
            open,
            stopped: false,
            restart: false,
            others: Others::Stay,
            leaning: Leaning::Nobody,
            target: Target::default(),
            elsewhere: None,
        }
    }

    fn found(orders: Orders, held: Held) -> Found {
        let held = BTreeMap::from([(Barrier::Firewall, held)]);
        Found { orders: Some(orders), held, ..Found::default() }
    }

    fn enforcer(scratch: &crate::sys::scratch::Scratch) -> Enforcer {
        let nothing = Orders { wall: None, ..orders(false, 1) };
        Enforcer::start(Undo::open(&scratch.paths).unwrap(), scratch.paths.endings(), nothing).unwrap()
    }

    #[tokio::test]
    async fn a_watcher_that_ends_leaves_no_task_at_work() {
        let scratch = crate::sys::scratch::Scratch::new();
        let enforcer = enforcer(&scratch);
        let tasks = enforcer.tasks.clone();
        assert!(enforcer.is_alive());
        let begun = std::time::Instant::now();
        enforcer.end().await;
        assert!(tasks.iter().all(AbortHandle::is_finished));
        assert!(begun.elapsed() < LAST, "nothing was going on");
    }

    #[tokio::test]
    async fn one_task_that_dies_is_noticed() {
        let scratch = crate::sys::scratch::Scratch::new();
        let enforcer = enforcer(&scratch);
        enforcer.tasks[0].abort();
        for _ in 0..500 {
            if !enforcer.is_alive() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a barrier nobody looks after goes unnoticed");
    }

    #[test]
    fn what_was_found_of_another_wall_says_nothing_of_this_one() {
        let (old, new) = (orders(true, 1), orders(true, 2));
        let report = Report { wall: found(old.clone(), Held::Yes), ..Report::default() };
        assert_eq!(report.wall(old.wall.as_ref().unwrap()), Held::Yes);
        assert_eq!(report.wall(new.wall.as_ref().unwrap()), Held::Unknown);
        assert!(!report.wall.stands(&new) && report.wall.stands(&old));
        assert_eq!(Report::default().wall(old.wall.as_ref().unwrap()), Held::Unknown);
    }

    #[test]
    fn a_wall_is_gone_when_that_was_done_and_not_when_it_was_ordered() {
        let wanted = Orders { wall: None, ..orders(false, 1) };
        let mut report = Report { wall: found(orders(false, 1), Held::Yes), ..Report::default() };
        assert!(!report.has_no_wall() && !Report::default().has_no_wall());
        report.wall = Found { orders: Some(wanted), ..Found::default() };
        assert!(report.has_no_wall());
        report.wall.trouble.insert(Barrier::Firewall, "it cannot be taken away".to_owned());
        assert!(!report.has_no_wall());
    }

    #[test]
    fn what_was_found_too_long_ago_is_nothing_to_lean_on() {
        let by = orders(false, 1);
        let wall = by.wall.clone().unwrap();
        let report = Report { wall: found(by, Held::Yes), raised: 3, ..Report::default() };
        let after = |seconds| Moment::default() + Duration::from_secs(seconds);
        assert_eq!(report.wall_at(&wall, after(6)), (Held::Yes, 3));
        assert_eq!(report.wall_at(&wall, after(8)), (Held::Unknown, 3));
        assert!(STALE > REST, "or nothing is ever fresh");
    }

    #[test]
    fn a_wall_that_somebody_leans_on_is_looked_at_more_often() {
        let leaning = Orders { leaning: Leaning::Somebody, ..orders(false, 1) };
        assert_eq!((leaning.wall_rest(), leaning.rest()), (HOLD, REST));
        assert_eq!(orders(false, 1).wall_rest(), REST);
    }

    #[test]
    fn nothing_is_blocked_until_every_task_has_looked_since_the_circuit_opened() {
        let by = Orders { stopped: true, ..orders(true, 1) };
        let mut report = Report { wall: found(by.clone(), Held::Yes), ..Report::default() };
        assert_eq!(report.held(&by)[&Barrier::Process], Held::Unknown);
        assert_eq!(report.blocked_at(&by), None);
        let ended = BTreeMap::from([(Barrier::Process, Held::Yes)]);
        report.processes = Found { orders: Some(orders(false, 1)), held: ended, ..Found::default() };
        assert_eq!(report.blocked_at(&by), None, "the processes are as they were before");
        report.processes.orders = Some(by.clone());
        assert!(report.blocked_at(&by).is_some());
        report.wall.held.insert(Barrier::Firewall, Held::Unknown);
        assert_eq!(report.blocked_at(&by), None);
    }

    #[test]
    fn where_no_process_can_be_ended_it_is_the_packet_filter_that_blocks() {
        let door = "0.0.0.0:8080".parse().ok();
        let by = Orders { stopped: true, elsewhere: door, ..orders(true, 1) };
        let lives = || BTreeMap::from([(Barrier::Process, Held::No)]);
        let mut report = Report { wall: found(by.clone(), Held::Yes), ..Report::default() };
        report.processes = Found { orders: Some(by.clone()), held: lives(), ..Found::default() };
        assert!(report.blocked_at(&by).is_some());
        assert_eq!(report.held(&by)[&Barrier::Process], Held::No, "and it is said");
        report.wall.held.insert(Barrier::Firewall, Held::No);
        assert_eq!(report.blocked_at(&by), None);
        let here = Orders { elsewhere: None, ..by };
        report.wall.held.insert(Barrier::Firewall, Held::Yes);
        assert_eq!(report.blocked_at(&here), None, "a process of this host that lives on is no block");
    }
}
