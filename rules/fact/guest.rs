//! Places in the networks of this host's own guests.

use std::net::SocketAddr;

use crate::blindness::Cause;
use crate::fact::Access;

/// A port of a container or a virtual machine of this host, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest {
    /// The port.
    pub at: SocketAddr,
    /// Who gets in there without credentials, as by the gateway's own words.
    pub access: Access,
}

impl Guest {
    /// A gateway answered there.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.access.is_gateway()
    }

    /// Whether a gateway may be there as much as anything else: it did not answer, or was not asked. One that fails, or hangs
    /// up, is one of many things.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(&self.access, Access::Unknown(why) if !matches!(why.cause, Cause::Malformed | Cause::Interrupted))
    }
}
