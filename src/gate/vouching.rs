//! What the watcher says: the lease of the moment, and the signal that cuts what lives on it.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::admit::vouched;
use crate::control::ControlError;
use crate::control::client::{Client, Stream};
use crate::lease::Lease;
use crate::sys::clock;
use crate::sys::paths::Paths;

/// A lease is believed for no longer than this, whatever it says.
const LONGEST: Duration = Duration::from_secs(30);
/// Between two attempts to reach the watcher.
const AGAIN: Duration = Duration::from_millis(200);

/// The lease of the moment.
#[derive(Debug)]
pub(crate) struct Vouching {
    lease: Cell<Option<Lease>>,
    /// Changes whenever a lease is lost or narrowed, or a credential or an allowance ends: whatever was admitted
    /// looks whether it still stands.
    cut: watch::Sender<()>,
    /// How often that has happened.
    cuts: Cell<u64>,
    /// How often credentials or allowances have ended.
    endings: Cell<u64>,
}

impl Vouching {
    /// Nobody has vouched yet.
    pub(crate) fn new() -> Self {
        Self {
            lease: Cell::new(None),
            cut: watch::Sender::new(()),
            cuts: Cell::new(0),
            endings: Cell::new(0),
        }
    }

    /// The lease that lets a client at this address through now.
    pub(crate) fn for_client(&self, remote: IpAddr) -> Option<Lease> {
        vouched(self.lease.get(), remote, clock::moment())
    }

    /// The lease, live or not.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.lease.get()
    }

    /// How many cuts there were. Whoever runs within a task that hears of every cut, as each
    /// connection's does, compares two of these and needs no signal of their own.
    pub(crate) fn count(&self) -> u64 {
        self.cuts.get()
    }

    /// How often credentials or allowances have ended.
    pub(crate) fn endings(&self) -> u64 {
        self.endings.get()
    }

    /// Credentials or allowances have ended.
    pub(crate) fn end(&self) {
        self.endings.set(self.endings.get() + 1);
        self.cut.send_replace(());
    }

    /// Tells of every cut and ending from now on.
    pub(crate) fn cuts(&self) -> watch::Receiver<()> {
        self.cut.subscribe()
    }

    /// What the watcher says now. A lease that was lost, or is for fewer than before, cuts.
    pub(crate) fn set(&self, lease: Option<Lease>) {
        let before = self.lease.replace(lease.map(bounded));
        let lost = match (before, lease) {
            (Some(_), None) => true,
            (Some(before), Some(now)) => before.reach != now.reach,
            (None, _) => false,
        };
        if lost {
            self.cuts.set(self.cuts.get() + 1);
            self.cut.send_replace(());
        }
    }

    /// Follows the watcher, for ever. Whatever goes wrong, nobody vouches until it is mended.
    pub(crate) async fn follow(&self, paths: &Paths) {
        loop {
            let told = self.listen(paths).await;
            self.set(None);
            tracing::warn!("nobody vouches for the gateway: {told}");
            sleep(AGAIN).await;
        }
    }

    async fn listen(&self, paths: &Paths) -> ControlError {
        let mut leases = match Client::connect(paths).await {
            Ok(client) => match client.leases().await {
                Ok(leases) => leases,
                Err(failed) => return failed,
            },
            Err(failed) => return failed,
        };
        loop {
            match self.next(&mut leases).await {
                Ok(lease) => self.set(lease),
                Err(failed) => return failed,
            }
        }
    }

    /// The next lease; none when the one there is lapses first.
    async fn next(&self, leases: &mut Stream<Option<Lease>>) -> Result<Option<Lease>, ControlError> {
        let Some(lease) = self.lease.get() else { return leases.next().await };
        let left = lease.left(clock::moment());
        tokio::select! {
            biased;
            next = leases.next() => next,
            () = sleep_until(Instant::now() + left) => Ok(None),
        }
    }
}

fn bounded(lease: Lease) -> Lease {
    lease.until_at_most(clock::moment() + LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::effect::Reach;

    fn lease(reach: Reach, milliseconds: u64) -> Lease {
        Lease::new(reach, 1, clock::moment() + Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_lease_that_is_lost_or_narrowed_cuts_and_a_renewed_one_does_not() {
        let vouching = Vouching::new();
        let mut cuts = vouching.cuts();
        let mut cut = |lease| {
            vouching.set(lease);
            let cut = cuts.has_changed().unwrap();
            cuts.mark_unchanged();
            cut
        };
        assert!(!cut(Some(lease(Reach::Allowed, 600))));
        assert!(!cut(Some(lease(Reach::Allowed, 900))));
        assert!(cut(Some(lease(Reach::Loopback, 900))));
        assert!(cut(None));
        assert!(!cut(None));
    }

    #[test]
    fn no_lease_is_believed_for_years() {
        let vouching = Vouching::new();
        vouching.set(Some(Lease { reach: Reach::Allowed, serial: 1, expires: u64::MAX }));
        let lease = vouching.lease().unwrap();
        assert!(lease.left(clock::moment()) <= LONGEST);
    }
}
