//! Every listening TCP socket of this host, with the processes that hold it.
//!
//! The system's table of sockets is read at every look; the processes are searched for holders
//! only when it changes. On Linux the kernel is asked for listeners alone, which costs the same on
//! a busy host as on an idle one. A canary must be in every answer, or it is not believed.

use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Listener;
use guardian_rules::snapshot::ProbeId;

use crate::probe::{Ground, Probe, blocking};

pub mod attribution;
pub mod canary;
pub mod dump;
pub mod passwd;
pub mod pcblist;
pub mod sock_diag;
pub mod socket;
pub mod socket_fdinfo;
pub mod table;
pub mod unnamed;
pub mod witness;

mod darwin_socket;
mod fields;
mod inventory;
pub(crate) mod owners;

#[cfg(target_os = "macos")]
pub(crate) mod libproc;
#[cfg(any(target_os = "macos", test))]
mod matching;
#[cfg(target_os = "linux")]
pub mod netlink;

pub use inventory::Inventory;

/// The probe.
#[derive(Default)]
pub struct Listeners {
    inventory: Option<Inventory>,
}

impl Probe for Listeners {
    type Facts = Vec<Listener>;
    const ID: ProbeId = ProbeId::Listeners;
    const CADENCE: Duration = Duration::from_millis(if cfg!(target_os = "linux") { 200 } else { 1000 });
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, _: Ground) -> Result<Vec<Listener>, Blindness> {
        let inventory = self.inventory.take();
        let (inventory, facts) = blocking(move || {
            let mut inventory = match inventory {
                Some(inventory) => inventory,
                None => Inventory::open()?,
            };
            let facts = inventory.look();
            Ok((inventory, facts))
        })
        .await?;
        self.inventory = Some(inventory);
        facts
    }
}

#[cfg(test)]
#[path = "listeners/sock_diag/fixture.rs"]
mod sock_diag_fixture;

#[cfg(test)]
mod tests;
