//! The undo journal as the barriers' tasks share it: written before a change is made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use guardian_rules::fact::Service;

use crate::barrier::service::Before;
use crate::sys::crash;
use crate::undo::{Change, Undo, UndoError};

/// One undo journal for several tasks.
#[derive(Debug, Clone)]
pub(super) struct Ledger(Arc<Mutex<Undo>>);

impl Ledger {
    pub(super) fn new(undo: Undo) -> Self {
        Self(Arc::new(Mutex::new(undo)))
    }

    /// Writes a change down before it is made. A disk that refuses does not keep a barrier down.
    pub(super) fn will(&self, change: Change) -> Result<(), UndoError> {
        crash::point("undo-before");
        let written = self.undo().will(change);
        crash::point("undo-after");
        written
    }

    /// Writes down that a change has been taken back. If it cannot be, the change is taken back once
    /// more some day, which does no harm.
    pub(super) fn undone(&self, change: &Change) {
        if let Err(failed) = self.undo().undone(change) {
            tracing::warn!(%failed, "the undo journal cannot be written");
        }
    }

    /// What an earlier watcher has done to the packet filter.
    pub(super) fn firewall(&self) -> Vec<Change> {
        let changes = self.undo().open_changes();
        changes.into_iter().filter(|change| matches!(change, Change::Firewall { .. })).collect()
    }

    /// Services that are not as they were, and how they were.
    pub(super) fn services(&self) -> BTreeMap<Service, Before> {
        let changes = self.undo().open_changes();
        let services = changes.into_iter().filter_map(|change| match change {
            Change::Service(before) => serde_json::from_value::<Before>(before).ok(),
            Change::Firewall { .. } => None,
        });
        services.map(|before| (before.service.clone(), before)).collect()
    }

    /// What is in there is whole after every call, whoever panicked.
    fn undo(&self) -> MutexGuard<'_, Undo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
