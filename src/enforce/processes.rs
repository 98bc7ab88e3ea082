//! The gateways' processes, ended, and where no packet filter stands, their ports, taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guardian_rules::fact::Service;
use tokio::sync::{oneshot, watch};

use super::endings::Endings;
use super::pause::Pause;
use super::{Found, Orders, Report, next};
use crate::barrier::port::Ports;
use crate::barrier::process::{self, Ending};
use crate::barrier::{Barrier, Held, Identity};
use crate::sys::clock;
use crate::sys::crash;

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// The supervisor comes first; but a silent one must not keep what it started alive.
const SUPERVISOR_FIRST: Duration = Duration::from_millis(500);
/// As many ends go on at the same time.
const ENDS: usize = 8;

pub(super) struct Work {
    endings: Endings,
    /// The record of an earlier watcher could not be read.
    amiss: Option<String>,
    ports: Ports,
    ends: Vec<End>,
    pause: Pause,
    /// Services that have been waited for already.
    waited_for: BTreeSet<Service>,
    trouble: BTreeMap<Barrier, String>,
}

/// Those whom an end concerns: its targets, and what it found to descend from them.
type Concerned = Arc<Mutex<BTreeSet<Identity>>>;

/// An end that goes on, in a thread of its own: one that a process drags out keeps no other waiting.
struct End {
    of: Concerned,
    outcome: oneshot::Receiver<Ending>,
}

impl End {
    fn concerns(&self, process: &Identity) -> bool {
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.iter().any(|it| it.pid == process.pid && it.birth == process.birth)
    }
}

impl Work {
    pub(super) fn new(endings: PathBuf) -> Self {
        let (endings, amiss) = Endings::open(endings);
        Self {
            endings,
            amiss,
            ports: Ports::new(),
            ends: Vec::new(),
            pause: Pause::default(),
            waited_for: BTreeSet::new(),
            trouble: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut told: watch::Receiver<Orders>, tell: watch::Sender<Report>) {
        let mut others = tell.subscribe();
        loop {
            let orders = told.borrow_and_update().clone();
            let held = if orders.stopped {
                self.wait_for_others(&orders, &mut others).await;
                let behind_a_wall = others.borrow().wall.stands(&orders);
                self.stop(&orders, behind_a_wall).await
            } else {
                self.let_go().await;
                BTreeMap::new()
            };
            let (rest, trouble) = (orders.rest(), std::mem::take(&mut self.trouble));
            let found = Found { orders: Some(orders), held, trouble, at: clock::moment() };
            tell.send_modify(|report| report.processes = found);
            if next(&mut told, rest).await.is_none() {
                return;
            }
        }
    }

    /// The packet filter and the supervisors come first, but not for long, and each of them once.
    async fn wait_for_others(&mut self, orders: &Orders, others: &mut watch::Receiver<Report>) {
        let new = orders.target.services.iter().any(|service| !self.waited_for.contains(service));
        let ready = |report: &Report| {
            let services = &orders.target.services;
            let done = |by: &Orders| by.stopped && services.is_subset(&by.target.services);
            (orders.wall.is_none() || report.wall.orders.as_ref().is_some_and(|by| by.wall == orders.wall))
                && (!new || report.services.orders.as_ref().is_some_and(done))
        };
        // Too late, or nobody there: it goes on alone.
        let _ = tokio::time::timeout(SUPERVISOR_FIRST, others.wait_for(ready)).await;
        self.waited_for.clone_from(&orders.target.services);
    }

    async fn stop(&mut self, orders: &Orders, behind_a_wall: bool) -> BTreeMap<Barrier, Held> {
        let mut held = BTreeMap::from([(Barrier::Process, self.end(orders, behind_a_wall))]);
        if behind_a_wall {
            self.ports.release().await;
        } else {
            crash::point("port-before");
            let refused = self.ports.take(&orders.target.ports, &orders.target.bound).await;
            crash::point("port-after");
            if let Some((at, why)) = refused.first() {
                self.trouble.insert(Barrier::Port, format!("{at} cannot be taken: {why}"));
            }
            held.insert(Barrier::Port, self.ports.standing(&orders.target.ports));
        }
        held
    }

    fn end(&mut self, orders: &Orders, behind_a_wall: bool) -> Held {
        self.gather();
        let lives = |it: &&Identity| process::gone(it) != Held::Yes;
        let mut alive: BTreeSet<Identity> = orders.target.processes.iter().filter(lives).cloned().collect();
        // What descends from those that have ended already, of an earlier watcher's endings too.
        for left in self.endings.left() {
            if !alive.iter().any(|it| it.pid == left.pid && it.birth == left.birth) {
                alive.insert(left);
            }
        }
        if let Some(amiss) = &self.amiss {
            self.trouble.insert(Barrier::Process, amiss.clone());
        }
        if let Some(at) = orders.elsewhere {
            let door =
                if behind_a_wall { "the packet filter holds that door" } else { "nothing holds that door" };
            let why = format!(
                "whatever answers as a gateway at {at} is in no process that can be ended here (a container, a \
                 virtual machine, another machine): {door}; stop it where it runs"
            );
            self.trouble.insert(Barrier::Process, why);
        }
        if alive.is_empty() {
            return if orders.elsewhere.is_some() { Held::No } else { Held::Yes };
        }
        if let Some(anothers) = alive.iter().find(|it| !process::may_end(it)) {
            let why = format!("{} belongs to another user, and only root could end it", anothers.name);
            self.trouble.insert(Barrier::Process, why);
        }
        let untouched = |it: &Identity| !self.ends.iter().any(|end| end.concerns(it));
        let targets: BTreeSet<Identity> = alive.into_iter().filter(untouched).collect();
        if !targets.is_empty() && self.ends.len() < ENDS && self.pause.is_over(clock::moment(), behind_a_wall)
        {
            match begin(targets, self.endings.clone()) {
                Ok(end) => self.ends.push(end),
                Err(why) => {
                    self.trouble.insert(Barrier::Process, format!("no process can be ended: {why}"));
                }
            }
        }
        Held::No
    }

    /// Takes in the ends that are over.
    fn gather(&mut self) {
        let trouble = &mut self.trouble;
        self.ends.retain_mut(|end| match end.outcome.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            Err(oneshot::error::TryRecvError::Closed) => false,
            Ok(ending) => {
                if let Some((left, why)) = ending.left.first() {
                    trouble.insert(Barrier::Process, format!("{} lives on: {why}", left.name));
                }
                false
            }
        });
    }

    async fn let_go(&mut self) {
        self.ports.release().await;
        self.endings.clear();
        self.pause = Pause::default();
        self.waited_for.clear();
        self.gather();
    }
}

/// Threads that read files for somebody may hang, all of them; this one is nobody else's.
fn begin(targets: BTreeSet<Identity>, endings: Endings) -> std::io::Result<End> {
    let (tell, outcome) = oneshot::channel();
    let of: Concerned = Arc::new(Mutex::new(targets.clone()));
    let concerned = Arc::clone(&of);
    std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        crash::point("process-before");
        let ending = process::end(&targets, GRACE, |processes| {
            let processes: Vec<&Identity> = processes.collect();
            // A disk that refuses does not keep anybody alive.
            if let Err(failed) = endings.add(processes.iter().copied()) {
                tracing::warn!(%failed, "a watcher that starts again would not know them");
            }
            let mut concerned = concerned.lock().unwrap_or_else(PoisonError::into_inner);
            concerned.extend(processes.into_iter().cloned());
        });
        crash::point("process-after");
        // Whoever asked may have gone.
        let _ = tell.send(ending);
    })?;
    Ok(End { of, outcome })
}
