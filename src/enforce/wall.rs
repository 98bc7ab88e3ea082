//! The packet filter as it is to be. Nothing else is waited for.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::ledger::Ledger;
use super::{Found, Orders, Others, Report, next};
use crate::barrier::firewall::Firewall;
use crate::barrier::firewall::wall::Wall;
use crate::barrier::{Barrier, Held};
use crate::sys::clock;
use crate::sys::crash;
use crate::undo::Change;

pub(super) struct Work {
    ledger: Ledger,
    firewall: Firewall,
    wall: Option<Wall>,
    /// An earlier watcher has left a wall.
    left: bool,
    /// Live connections have been ended since this wall was put up.
    cut: bool,
    /// Those of this host's users whom it does not admit have.
    evicted: bool,
    trouble: BTreeMap<Barrier, String>,
    /// How often a wall was put up, tried is enough.
    raised: u64,
}

impl Work {
    pub(super) fn new(ledger: Ledger) -> Self {
        let changes = ledger.firewall();
        let token = changes.iter().find_map(|change| match change {
            Change::Firewall { token } => token.clone(),
            Change::Service(_) => None,
        });
        Self {
            ledger,
            firewall: Firewall::resumed(token),
            wall: None,
            left: !changes.is_empty(),
            cut: false,
            evicted: false,
            trouble: BTreeMap::new(),
            raised: 0,
        }
    }

    pub(super) async fn run(mut self, mut told: watch::Receiver<Orders>, tell: watch::Sender<Report>) {
        loop {
            let orders = told.borrow_and_update().clone();
            let held = self.bring_about(&orders).await;
            let held = held.map(|held| (Barrier::Firewall, held)).into_iter().collect();
            let (rest, trouble) = (orders.wall_rest(), std::mem::take(&mut self.trouble));
            let evicts = orders.others == Others::Go && !self.evicted;
            let found = Found { orders: Some(orders), held, trouble, at: clock::moment() };
            tell.send_modify(|report| (report.wall, report.raised) = (found, self.raised));
            if evicts {
                // Somebody with very many connections must not keep a trip waiting.
                tokio::select! {
                    biased;
                    changed = told.changed() => if changed.is_ok() { continue } else { return },
                    () = self.evict() => {}
                }
            }
            if next(&mut told, rest).await.is_none() {
                return;
            }
        }
    }

    async fn bring_about(&mut self, orders: &Orders) -> Option<Held> {
        let Some(wall) = &orders.wall else {
            if self.wall.is_some() || self.left {
                self.lower().await;
            }
            return None;
        };
        let mut held =
            if self.wall.as_ref() == Some(wall) { self.firewall.standing().await } else { Held::No };
        if held != Held::Yes {
            if !orders.open
                && let Err(failed) = self.firewall.note_visitors(wall).await
            {
                tracing::debug!(%failed, "who is connected is not known");
            }
            self.raise(wall).await;
            held = if self.wall.is_some() { self.firewall.standing().await } else { Held::No };
        }
        if orders.open && self.wall.is_some() && !self.cut {
            let cut = self.firewall.cut(wall).await.map_err(|failed| failed.to_string());
            self.cut = cut.is_ok();
            self.note(cut);
            crash::point("cut-after");
        }
        Some(held)
    }

    async fn evict(&mut self) {
        let Some(wall) = &self.wall else { return };
        let evicted = self.firewall.evict(wall).await.map_err(|failed| failed.to_string());
        self.evicted = evicted.is_ok();
        self.note(evicted);
    }

    async fn raise(&mut self, wall: &Wall) {
        self.raised += 1;
        self.will(Change::Firewall { token: None });
        crash::point("firewall-before");
        let raised = self.firewall.raise(wall).await.map_err(|failed| failed.to_string());
        crash::point("firewall-after");
        (self.wall, self.cut, self.evicted) = (raised.is_ok().then(|| wall.clone()), false, false);
        if let Some(token) = self.firewall.token() {
            self.will(Change::Firewall { token: Some(token) });
        }
        self.note(raised);
    }

    async fn lower(&mut self) {
        crash::point("wall-lower-before");
        let lowered = self.firewall.lower().await.map_err(|failed| failed.to_string());
        crash::point("wall-lower-after");
        self.left = lowered.is_err();
        if lowered.is_ok() {
            self.wall = None;
            for change in self.ledger.firewall() {
                self.ledger.undone(&change);
            }
        }
        self.note(lowered);
    }

    fn will(&mut self, change: Change) {
        let written = self.ledger.will(change).map_err(|failed| failed.to_string());
        self.note(written);
    }

    fn note(&mut self, result: Result<(), String>) {
        if let Err(why) = result {
            tracing::warn!(%why, "the packet filter");
            self.trouble.insert(Barrier::Firewall, why);
        }
    }
}
