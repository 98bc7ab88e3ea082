//! The packet filter: the gateways' ports are reached by those the policy allows, or by nobody.
//!
//! On Linux this is the nft table `inet guardian`, on macOS the pf anchor `com.guardian`. Nothing
//! else of the host's packet filter is touched, and nothing is left when it is lowered. It has the
//! kernel tell what stands, not what was sent.

// Rules are built and answers read on every platform's tests.
#[cfg(any(target_os = "linux", test))]
pub(crate) mod nft;
#[cfg(any(target_os = "macos", test))]
pub(crate) mod pf;
#[cfg(any(target_os = "linux", test))]
pub(crate) mod sockets;
pub(crate) mod wall;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::collections::BTreeSet;

use nix::unistd::Uid;

use super::Held;
use guardian_probes::command::CommandError;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;
use wall::Wall;

/// The packet filter of this host.
#[derive(Debug, Default)]
pub(crate) struct Firewall(platform::Firewall);

/// Why the packet filter did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    /// Only root may change it.
    #[error("the packet filter is root's alone; start guardian as root to use it")]
    NotRoot,
    /// A program failed.
    #[error("{what}")]
    Command {
        /// What did not happen, as a sentence.
        what: &'static str,
        /// Why.
        #[source]
        cause: CommandError,
    },
    /// A program said something that cannot be read.
    #[error("what {program} says of the packet filter cannot be read")]
    Unreadable {
        /// The program.
        program: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was raised, but something else is there.
    #[error("the packet filter does not hold what it was given: {0}")]
    Otherwise(&'static str),
    /// The system refused.
    #[error("{what}")]
    Refused {
        /// What did not happen, as a sentence.
        what: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Connections live on. pf does not tell.
    #[cfg(target_os = "linux")]
    #[error("{0} connections to the gateway could not be ended; they are refused from now on")]
    Alive(usize),
}

impl Firewall {
    /// One that has not been raised.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One that takes over from an earlier guardian, whose token was written down.
    pub(crate) fn resumed(token: Option<String>) -> Self {
        Self(platform::Firewall::resumed(token))
    }

    /// Whether this host has a packet filter that would take our rules. Changes nothing.
    pub(crate) async fn usable() -> Result<(), FirewallError> {
        only_root()?;
        platform::usable().await
    }

    /// Puts a wall up in place of the last one, at once, and remembers what the kernel shows of it.
    pub(crate) async fn raise(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        only_root()?;
        self.0.raise(wall).await
    }

    /// Whether what was raised last is still there as it was then.
    pub(crate) async fn standing(&mut self) -> Held {
        self.0.standing().await
    }

    /// Ends connections of which the local end is at one of a wall's places, or that of a peer on this
    /// host is.
    pub(crate) async fn cut(&self, wall: &Wall) -> Result<(), FirewallError> {
        only_root()?;
        if wall.ports.is_empty() && wall.doors.is_empty() {
            return Ok(());
        }
        platform::cut(wall).await
    }

    /// Notes who of this host's users is connected before a wall goes up: a user whom it refuses loses
    /// the connection at the next packet, and then only the gateway's end is left to be found.
    pub(crate) async fn note_visitors(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        only_root()?;
        self.0.note_visitors(wall).await
    }

    /// Ends the connections of users of this host whom a wall that stands does not admit, those noted
    /// before included. On macOS they cannot be told from others; there the wall refuses new ones alone.
    pub(crate) async fn evict(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        only_root()?;
        self.0.evict(wall).await
    }

    /// Takes away whatever is there of ours. It is no failure if nothing is, and takes no raise.
    pub(crate) async fn lower(&mut self) -> Result<(), FirewallError> {
        let token = self.token();
        self.lower_with(token.as_deref()).await
    }

    /// The same for one whose token was written down.
    pub(crate) async fn lower_with(&mut self, token: Option<&str>) -> Result<(), FirewallError> {
        only_root()?;
        self.0.lower(token).await
    }

    /// What keeps the packet filter enabled for us, to be written into the undo journal. Only pf
    /// has such a thing.
    pub(crate) fn token(&self) -> Option<String> {
        self.0.token()
    }
}

fn only_root() -> Result<(), FirewallError> {
    if Uid::effective().is_root() { Ok(()) } else { Err(FirewallError::NotRoot) }
}

/// This host's own addresses, for telling whether a peer is on it.
fn own_addresses() -> Result<BTreeSet<std::net::IpAddr>, FirewallError> {
    let found = guardian_probes::interfaces::read().map_err(|blindness| FirewallError::Refused {
        what: "the addresses of this host cannot be listed",
        cause: blindness.to_string().into(),
    })?;
    Ok(found.into_iter().map(|it| it.address).collect())
}
