//! The gateways' supervisors, kept from starting them, or let go.
//!
//! A supervisor of a user may be slow, silent or hostile: each is talked with apart, and neither the
//! packet filter nor the end of processes waits for it for long.

use std::collections::BTreeMap;

use guardian_rules::fact::{Manager, Service};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ledger::Ledger;
use super::{Found, Orders, Report, next};
use crate::barrier::service::{self, Before};
use crate::barrier::{Barrier, Held, Target};
use crate::sys::clock;
use crate::sys::crash;
use crate::undo::Change;

/// As many services of one user are held; a gateway has one.
const OF_A_USER: usize = 8;
/// As many are held in all.
const IN_ALL: usize = 64;

pub(super) struct Work {
    ledger: Ledger,
    /// Those that are not as they were, and how they were.
    changed: BTreeMap<Service, Before>,
}

/// What became of one service.
struct Outcome {
    service: Service,
    /// How it was before anything was done to it; none if it is so again, or could not be told.
    before: Option<Before>,
    held: Held,
    trouble: Option<String>,
}

impl Work {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { changed: ledger.services(), ledger }
    }

    pub(super) async fn run(mut self, mut told: watch::Receiver<Orders>, tell: watch::Sender<Report>) {
        loop {
            let orders = told.borrow_and_update().clone();
            let (held, trouble) = if orders.stopped {
                self.hold(&orders.target).await
            } else {
                (None, self.let_go(orders.restart).await)
            };
            let rest = orders.rest();
            let found = Found {
                orders: Some(orders),
                held: held.map(|held| (Barrier::Service, held)).into_iter().collect(),
                trouble: trouble.map(|why| (Barrier::Service, why)).into_iter().collect(),
                at: clock::moment(),
            };
            tell.send_modify(|report| report.services = found);
            if next(&mut told, rest).await.is_none() {
                return;
            }
        }
    }

    async fn hold(&mut self, target: &Target) -> (Option<Held>, Option<String>) {
        let mut all = JoinSet::new();
        for (service, before) in self.to_hold(target) {
            let (ledger, target) = (self.ledger.clone(), target.clone());
            all.spawn(async move { hold(service, before, &target, &ledger).await });
        }
        if all.is_empty() {
            return (None, None);
        }
        let (mut standing, mut trouble) = (Held::Yes, None);
        while let Some(ended) = all.join_next().await {
            let Ok(outcome) = ended else {
                standing = standing.min_of(Held::Unknown);
                continue;
            };
            standing = standing.min_of(outcome.held);
            trouble = trouble.or(outcome.trouble);
            if let Some(before) = outcome.before {
                self.changed.insert(outcome.service, before);
            }
        }
        (Some(standing), trouble)
    }

    /// Those that were changed already, and those that are to be held, so many at a time.
    fn to_hold(&self, target: &Target) -> Vec<(Service, Option<Before>)> {
        let mut of_a_user: BTreeMap<Option<u32>, usize> = BTreeMap::new();
        let changed = self.changed.iter().map(|(service, before)| (service.clone(), Some(before.clone())));
        let new = target.services.iter().filter(|service| !self.changed.contains_key(service));
        let new = new.filter(|service| {
            let user = match service.manager {
                Manager::System => None,
                Manager::User(uid) => Some(uid),
            };
            let count = of_a_user.entry(user).or_default();
            *count += 1;
            user.is_none() || *count <= OF_A_USER
        });
        changed.chain(new.map(|service| (service.clone(), None))).take(IN_ALL).collect()
    }

    /// Takes back what was done; answers what went wrong.
    async fn let_go(&mut self, restart: bool) -> Option<String> {
        let mut all = JoinSet::new();
        for (service, before) in std::mem::take(&mut self.changed) {
            let ledger = self.ledger.clone();
            all.spawn(async move { let_go(service, before, restart, &ledger).await });
        }
        let mut trouble = None;
        while let Some(ended) = all.join_next().await {
            let Ok(outcome) = ended else { continue };
            trouble = trouble.or(outcome.trouble);
            if let Some(before) = outcome.before {
                self.changed.insert(outcome.service, before);
            }
        }
        trouble
    }
}

async fn hold(service: Service, before: Option<Before>, target: &Target, ledger: &Ledger) -> Outcome {
    let before = match before {
        Some(before) => before,
        None => match service::before(&service, &target.processes).await {
            Ok(before) => before,
            Err(failed) => {
                // One that could not even be looked at is not held.
                let trouble = Some(crate::cli::chain(&failed));
                return Outcome { service, before: None, held: Held::Unknown, trouble };
            }
        },
    };
    let (mut held, mut trouble) = (service::standing(&before).await, None);
    if held != Held::Yes {
        let written = match serde_json::to_value(&before) {
            Ok(value) => ledger.will(Change::Service(value)).map_err(|failed| failed.to_string()),
            Err(failed) => Err(failed.to_string()),
        };
        crash::point("service-before");
        let raised = service::raise(&before).await.map_err(|failed| crate::cli::chain(&failed));
        crash::point("service-after");
        trouble = raised.and(written).err();
        held = service::standing(&before).await;
    }
    Outcome { service, before: Some(before), held, trouble }
}

async fn let_go(service: Service, before: Before, restart: bool, ledger: &Ledger) -> Outcome {
    crash::point("lower-before");
    let lowered = service::lower(&before, restart).await.map_err(|failed| crate::cli::chain(&failed));
    if lowered.is_ok()
        && let Ok(value) = serde_json::to_value(&before)
    {
        ledger.undone(&Change::Service(value));
    }
    crash::point("lower-after");
    let before = lowered.is_err().then_some(before);
    Outcome { service, before, held: Held::No, trouble: lowered.err() }
}
