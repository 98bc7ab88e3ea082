//! Brings the host in line with the circuit, and holds it there.
//!
//! It is told what is to be so, not what to do: what already stands is only looked at, what does
//! not is raised, again and again. So a trip is held, a restart picks up where the last watcher
//! was cut off, and nothing depends on what happened before.

use std::collections::BTreeMap;
use std::time::Duration;

use guardian_rules::fact::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::barrier::firewall::Firewall;
use crate::barrier::firewall::wall::Wall;
use crate::barrier::port::Ports;
use crate::barrier::process::{self, Ending};
use crate::barrier::service::{self, Before};
use crate::barrier::{Barrier, Held, Target};
use crate::sys::clock::{self, Moment};
use crate::sys::crash;
use crate::undo::{Change, Undo};

/// How often what stands is looked at while the circuit is open.
const HOLD: Duration = Duration::from_millis(500);
/// The same while it is not.
const REST: Duration = Duration::from_secs(5);
/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// The longest pause between two ends of a gateway that is revived behind a wall that stands.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What is to be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// The packet filter; none where it is not to be used.
    pub(crate) wall: Option<Wall>,
    /// Gateways are to be cut off or stopped: live connections are ended too.
    pub(crate) open: bool,
    /// Gateways are not to run.
    pub(crate) stopped: bool,
    /// Services that were stopped are started again when they are let go.
    pub(crate) restart: bool,
    /// What belongs to gateways.
    pub(crate) target: Target,
}

/// What is so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The orders that it is about.
    pub(crate) orders: Orders,
    /// The barriers that were to stand, and whether they do.
    pub(crate) held: BTreeMap<Barrier, Held>,
    /// What went wrong, a sentence a barrier.
    pub(crate) trouble: BTreeMap<Barrier, String>,
    /// When it was looked.
    pub(crate) at: Moment,
}

impl Report {
    /// Every barrier that was to stand does.
    pub(crate) fn holds(&self) -> bool {
        self.held.values().all(|held| *held == Held::Yes)
    }
}

/// The task, and how to talk with it.
pub(crate) struct Enforcer {
    /// What is to be so.
    pub(crate) orders: watch::Sender<Orders>,
    /// What is so.
    pub(crate) report: watch::Receiver<Report>,
    task: JoinHandle<()>,
}

impl Enforcer {
    /// Starts the task.
    pub(crate) fn start(undo: Undo) -> Self {
        let (orders, told) = watch::channel(Orders::default());
        let (tell, report) = watch::channel(Report::default());
        let task = tokio::spawn(Work::new(undo).run(told, tell));
        Self { orders, report, task }
    }

    /// It works.
    pub(crate) fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }
}

struct Work {
    undo: Undo,
    firewall: Firewall,
    wall: Option<Wall>,
    /// An earlier watcher has left a wall.
    left: bool,
    services: BTreeMap<Service, Before>,
    ports: Ports,
    ending: Option<JoinHandle<Ending>>,
    pause: Pause,
    trouble: BTreeMap<Barrier, String>,
}

impl Work {
    fn new(undo: Undo) -> Self {
        let changes = undo.open_changes();
        let left = changes.iter().any(|change| matches!(change, Change::Firewall { .. }));
        let token = changes.iter().find_map(|change| match change {
            Change::Firewall { token } => token.clone(),
            Change::Service(_) => None,
        });
        let services = changes
            .into_iter()
            .filter_map(|change| match change {
                Change::Service(before) => serde_json::from_value::<Before>(before).ok(),
                Change::Firewall { .. } => None,
            })
            .map(|before| (before.service.clone(), before))
            .collect();
        Self {
            undo,
            firewall: Firewall::resumed(token),
            wall: None,
            left,
            services,
            ports: Ports::new(),
            ending: None,
            pause: Pause::default(),
            trouble: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut told: watch::Receiver<Orders>, tell: watch::Sender<Report>) {
        // Until it is told, nothing is to be so: what an earlier watcher has left stands.
        if told.changed().await.is_err() {
            return;
        }
        loop {
            let orders = told.borrow_and_update().clone();
            let report = self.bring_about(orders).await;
            let rest = if report.orders.open { HOLD } else { REST };
            tell.send_replace(report);
            tokio::select! {
                changed = told.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn bring_about(&mut self, orders: Orders) -> Report {
        self.trouble.clear();
        let mut held = BTreeMap::new();
        if let Some(standing) = self.wall(&orders).await {
            held.insert(Barrier::Firewall, standing);
        }
        if orders.stopped {
            self.stop(&orders, &mut held).await;
        } else {
            self.let_go(orders.restart).await;
        }
        Report { orders, held, trouble: self.trouble.clone(), at: clock::moment() }
    }

    async fn wall(&mut self, orders: &Orders) -> Option<Held> {
        let Some(wall) = &orders.wall else {
            if self.wall.take().is_some() || std::mem::take(&mut self.left) {
                let lowered = self.firewall.lower().await.map_err(|failed| failed.to_string());
                if lowered.is_ok() {
                    self.forget_firewall();
                }
                self.note(Barrier::Firewall, lowered);
            }
            return None;
        };
        let same = self.wall.as_ref() == Some(wall);
        if !same || self.firewall.standing().await != Held::Yes {
            self.will(Barrier::Firewall, Change::Firewall { token: None });
            crash::point("firewall-before");
            let raised = self.firewall.raise(wall).await.map_err(|failed| failed.to_string());
            crash::point("firewall-after");
            self.wall = raised.is_ok().then(|| wall.clone());
            if let Some(token) = self.firewall.token() {
                self.will(Barrier::Firewall, Change::Firewall { token: Some(token) });
            }
            self.note(Barrier::Firewall, raised);
            if orders.open && self.wall.is_some() {
                let cut = self.firewall.cut(&wall.ports).await.map_err(|failed| failed.to_string());
                self.note(Barrier::Firewall, cut);
                crash::point("cut-after");
            }
        }
        Some(if self.wall.is_some() { self.firewall.standing().await } else { Held::No })
    }

    /// The supervisor first, then the processes, then the port.
    async fn stop(&mut self, orders: &Orders, held: &mut BTreeMap<Barrier, Held>) {
        if !orders.target.services.is_empty() || !self.services.is_empty() {
            held.insert(Barrier::Service, self.hold_services(orders).await);
        }
        held.insert(Barrier::Process, self.end_processes(orders).await);
        if self.wall.is_none() {
            crash::point("port-before");
            let refused = self.ports.take(&orders.target.ports, &orders.target.bound).await;
            crash::point("port-after");
            if let Some((at, why)) = refused.first() {
                self.trouble.insert(Barrier::Port, format!("{at} cannot be taken: {why}"));
            }
            held.insert(Barrier::Port, self.ports.standing(&orders.target.ports));
        } else {
            self.ports.release().await;
        }
    }

    async fn hold_services(&mut self, orders: &Orders) -> Held {
        for service in &orders.target.services {
            if self.services.contains_key(service) {
                continue;
            }
            match service::before(service).await {
                Ok(before) => {
                    self.services.insert(service.clone(), before);
                }
                Err(failed) => {
                    self.trouble.insert(Barrier::Service, failed.to_string());
                }
            }
        }
        let mut standing = Held::Yes;
        for before in self.services.values().cloned().collect::<Vec<_>>() {
            let mut held = service::standing(&before).await;
            if held != Held::Yes {
                match serde_json::to_value(&before) {
                    Ok(value) => self.will(Barrier::Service, Change::Service(value)),
                    Err(failed) => self.note(Barrier::Service, Err(failed.to_string())),
                }
                crash::point("service-before");
                let raised = service::raise(&before).await.map_err(|failed| failed.to_string());
                crash::point("service-after");
                self.note(Barrier::Service, raised);
                held = service::standing(&before).await;
            }
            standing = standing.min_of(held);
        }
        // A service that could not even be looked at is not held.
        if self.trouble.contains_key(&Barrier::Service) { standing.min_of(Held::Unknown) } else { standing }
    }

    async fn end_processes(&mut self, orders: &Orders) -> Held {
        if self.ending.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(ending) = self.ending.take()
            && let Ok(ending) = ending.await
            && let Some((left, why)) = ending.left.first()
        {
            self.trouble.insert(Barrier::Process, format!("{} lives on: {why}", left.name));
        }
        let alive: Vec<_> =
            orders.target.processes.iter().filter(|it| process::gone(it) != Held::Yes).cloned().collect();
        if alive.is_empty() {
            return Held::Yes;
        }
        if let Some(anothers) = alive.iter().find(|it| !process::may_end(it)) {
            let why = format!("{} belongs to another user, and only root could end it", anothers.name);
            self.trouble.insert(Barrier::Process, why);
        }
        let behind_a_wall = self.wall.is_some();
        if self.ending.is_none() && self.pause.is_over(clock::moment(), behind_a_wall) {
            let targets = alive.into_iter().collect();
            self.ending = Some(tokio::spawn(async move {
                crash::point("process-before");
                let ending = process::end(&targets, GRACE).await;
                crash::point("process-after");
                ending
            }));
        }
        Held::No
    }

    /// Takes back what was done to services and ports.
    async fn let_go(&mut self, restart: bool) {
        self.ports.release().await;
        self.pause = Pause::default();
        for (service, before) in std::mem::take(&mut self.services) {
            crash::point("lower-before");
            match service::lower(&before, restart).await {
                Ok(()) => {
                    if let Ok(value) = serde_json::to_value(&before) {
                        self.undone(&Change::Service(value));
                    }
                }
                Err(failed) => {
                    self.trouble.insert(Barrier::Service, failed.to_string());
                    self.services.insert(service, before);
                }
            }
            crash::point("lower-after");
        }
    }

    fn note(&mut self, barrier: Barrier, result: Result<(), String>) {
        if let Err(why) = result {
            tracing::warn!(?barrier, %why, "a barrier cannot be raised");
            self.trouble.insert(barrier, why);
        }
    }

    /// Writes a change down before it is made. A disk that refuses does not keep a barrier down.
    fn will(&mut self, barrier: Barrier, change: Change) {
        crash::point("undo-before");
        if let Err(failed) = self.undo.will(change) {
            self.note(barrier, Err(failed.to_string()));
        }
        crash::point("undo-after");
    }

    fn forget_firewall(&mut self) {
        for change in self.undo.open_changes() {
            if matches!(change, Change::Firewall { .. }) {
                self.undone(&change);
            }
        }
    }

    fn undone(&mut self, change: &Change) {
        if let Err(failed) = self.undo.undone(change) {
            tracing::warn!(%failed, "the undo journal cannot be written");
        }
    }
}

/// The pause between two ends of a gateway that something keeps reviving. Without a wall every
/// moment counts; behind one a supervisor must not be fought at its own speed.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Moment>,
    length: Duration,
}

impl Pause {
    fn is_over(&mut self, now: Moment, behind_a_wall: bool) -> bool {
        if behind_a_wall && self.until.is_some_and(|until| now < until) {
            return false;
        }
        self.length = (self.length * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
        self.until = Some(now + self.length);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn behind_a_wall_a_revived_gateway_is_ended_ever_more_seldom() {
        let mut pause = Pause::default();
        let ends: Vec<u64> = (0..600).filter(|second| pause.is_over(at(*second), true)).collect();
        assert_eq!(ends[..6], [0, 1, 3, 7, 15, 31]);
        assert!(ends.len() < 20, "ten minutes of it: {ends:?}");
        assert!(ends.windows(2).all(|two| two[1] - two[0] <= LONGEST_PAUSE.as_secs()));
    }

    #[test]
    fn without_a_wall_every_moment_counts() {
        let mut pause = Pause::default();
        assert!((0..20).all(|second| pause.is_over(at(second), false)));
    }
}
