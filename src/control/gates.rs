//! How many gates follow the daemon: one that runs takes its leases all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The gates of the owner's, or of the gate's own user. What others ask makes them no gate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates(Arc<AtomicUsize>);

/// A gate takes leases for as long as this is kept.
#[derive(Debug)]
pub(super) struct Following(Gates);

impl Gates {
    pub(super) fn follow(&self) -> Following {
        self.0.fetch_add(1, Ordering::Relaxed);
        Following(self.clone())
    }

    /// Whether one takes leases at this moment.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
