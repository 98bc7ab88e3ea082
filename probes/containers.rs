//! Asks container engines which ports they publish.

use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Engine;
use guardian_rules::snapshot::ProbeId;

use crate::probe::{Ground, Probe};

/// Asks container engines which ports they publish.
#[derive(Debug, Default)]
pub struct Containers;

impl Probe for Containers {
    type Facts = Vec<Engine>;
    const ID: ProbeId = ProbeId::Containers;
    const CADENCE: Duration = Duration::from_secs(10);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, _ground: Ground) -> Result<Self::Facts, Blindness> {
        Ok(Vec::new())
    }
}
