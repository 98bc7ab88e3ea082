//! Asks a router what it carries to this host.

use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Router as Facts;
use guardian_rules::snapshot::ProbeId;

use crate::probe::{Ground, Probe};

/// Asks a router what it carries to this host.
#[derive(Debug, Default)]
pub struct Router;

impl Probe for Router {
    type Facts = Vec<Facts>;
    const ID: ProbeId = ProbeId::Router;
    const CADENCE: Duration = Duration::from_mins(1);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, _ground: Ground) -> Result<Self::Facts, Blindness> {
        Ok(Vec::new())
    }
}
