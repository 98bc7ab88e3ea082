//! Whether what was admitted may go on: nothing was cut since, the credential is still good, and its source
//! is still allowed.

use std::cell::Cell;
use std::rc::Rc;

use super::admit::Permit;
use super::{Client, Gate};
use crate::sys::clock;

/// A request or a WebSocket that was admitted, for as long as it is under way.
#[derive(Debug)]
pub(crate) struct Standing {
    gate: Rc<Gate>,
    permit: Permit,
    client: Client,
    /// Cuts before it was admitted.
    cuts: u64,
    /// Endings since which its own credential and source were looked at.
    endings: Cell<u64>,
}

impl Standing {
    pub(super) fn new(gate: &Rc<Gate>, permit: Permit, client: &Client) -> Rc<Self> {
        let (cuts, endings) = (gate.vouching.count(), Cell::new(gate.vouching.endings()));
        Rc::new(Self { gate: Rc::clone(gate), permit, client: client.clone(), cuts, endings })
    }

    /// By whom.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Whether it may go on, the lease of this very moment included. Whoever runs within a task that
    /// hears of every cut, as each connection's does, asks when it is woken and needs no signal.
    pub(crate) fn holds(&self) -> bool {
        self.is_uncut() && self.gate.vouching.for_client(self.client.remote).is_some()
    }

    /// Whether no cut and no ending is known that concerns it: cheaper, and for every turn of a task.
    pub(crate) fn is_uncut(&self) -> bool {
        let vouching = &self.gate.vouching;
        if vouching.count() != self.cuts {
            return false;
        }
        let endings = vouching.endings();
        if endings != self.endings.get() {
            if !self.client.is_allowed()
                || !self.gate.books.borrow().stands(self.permit.caller(), clock::moment())
            {
                return false;
            }
            self.endings.set(endings);
        }
        true
    }
}
