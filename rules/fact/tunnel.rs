//! What tunnels and VPN daemons say they publish.

use crate::blindness::Blindness;
use crate::fact::Guest;

/// A process that carries connections from a service elsewhere to ports of this host. There may be
/// several facts of one process: what it is known to publish, and that there may be more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tunnel {
    /// The process.
    pub pid: u32,
    /// Its program: "ngrok", "tailscaled".
    pub program: String,
    /// Whom it serves unless it is told otherwise.
    pub kind: TunnelKind,
    /// What it publishes of this host, or why that cannot be told.
    pub publishes: Result<Vec<Publication>, Blindness>,
}

/// Whom a tunnel serves by nature, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TunnelKind {
    /// Whoever has the address: ngrok, cloudflared, frp.
    Public,
    /// The members of a VPN, and the internet only if told so: tailscaled.
    Vpn,
    /// Who signs in to its owner's account, and everybody only if told so: VS Code's tunnels.
    Account,
    /// Nobody, unless it was told so where it does not show any more: an ssh whose arguments are no longer to be read, or whose
    /// files were changed after it started, or lie where nobody else may look.
    Seldom,
}

/// A port of this host that a tunnel publishes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Publication {
    /// The name that an allowance has for this way of publishing: the program's, or one of [`way`](crate::way).
    pub path: String,
    /// Who can come in.
    pub audience: Audience,
    /// Where they come in, as the tunnel says: `https://x.ngrok.app`.
    pub public: String,
    /// The port of this host that it carries to, by loopback or an own address; of a guest of this host, if it carries there.
    pub to_port: u16,
    /// The guest of this host that it carries to.
    pub guest: Option<Guest>,
}

/// Who can come in by a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// The members of a VPN.
    Vpn,
    /// Everybody.
    Internet,
}
