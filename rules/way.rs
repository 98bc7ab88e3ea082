//! Ways of publishing that an allowance can name (`guardian allow --path`) and that are no program's name.

/// A container engine publishes it.
pub const CONTAINER: &str = "container";
/// A redirect of the packet filter leads to it.
pub const NAT: &str = "nat";
/// A router carries it in.
pub const ROUTER: &str = "router";
/// Tailscale publishes it to everybody.
pub const TAILSCALE_FUNNEL: &str = "tailscale-funnel";
/// Tailscale publishes it within the VPN.
pub const TAILSCALE_SERVE: &str = "tailscale-serve";

/// All of them.
pub const ALL: [&str; 5] = [CONTAINER, NAT, ROUTER, TAILSCALE_FUNNEL, TAILSCALE_SERVE];
