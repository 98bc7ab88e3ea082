//! Why a request is not forwarded.

use std::time::Duration;

/// The reasons, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No live lease: the watcher does not vouch for the gateway.
    Blocked,
    /// The client's address is not let through.
    Source,
    /// A host that this gate is not.
    Host,
    /// A page of another site asks, or one that does not say which.
    Origin,
    /// A service worker's script.
    Worker,
    /// Too many requests.
    Budget(Duration),
    /// Too many wrong credentials before.
    Locked(Duration),
    /// No credential.
    Missing,
    /// A wrong one.
    Wrong,
    /// A token that was right once: it has ended, or was revoked.
    Ended,
}

impl Refusal {
    /// The HTTP status.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Blocked => 503,
            Self::Source | Self::Origin | Self::Worker => 403,
            // RFC 9110, 15.5.20: misdirected.
            Self::Host => 421,
            Self::Budget(_) | Self::Locked(_) => 429,
            Self::Missing | Self::Wrong | Self::Ended => 401,
        }
    }

    /// A word for logs and counters.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Source => "source",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Worker => "service-worker",
            Self::Budget(_) => "budget",
            Self::Locked(_) => "locked",
            Self::Missing => "no-credential",
            Self::Wrong => "wrong-credential",
            Self::Ended => "ended-credential",
        }
    }

    /// When to ask again, in whole seconds.
    pub(crate) fn retry_after(self) -> Option<u64> {
        let up = |wait: Duration| wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        match self {
            Self::Blocked => Some(5),
            Self::Budget(wait) | Self::Locked(wait) => Some(up(wait).max(1)),
            _ => None,
        }
    }
}
