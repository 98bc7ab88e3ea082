//! Asks tunnels and VPN daemons what they publish.

use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Tunnel;
use guardian_rules::snapshot::ProbeId;

use crate::probe::{Ground, Probe};

/// Asks tunnels and VPN daemons what they publish.
#[derive(Debug, Default)]
pub struct Tunnels;

impl Probe for Tunnels {
    type Facts = Vec<Tunnel>;
    const ID: ProbeId = ProbeId::Tunnels;
    const CADENCE: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, _ground: Ground) -> Result<Self::Facts, Blindness> {
        Ok(Vec::new())
    }
}
