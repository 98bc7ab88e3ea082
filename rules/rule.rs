//! The rules, one a file. Each is a pure function of the scene; no finding means no.

pub(crate) mod announced;
pub(crate) mod bound_beyond_allowed;
pub(crate) mod config_incomplete;
pub(crate) mod container_published;
pub(crate) mod foreign_peer;
pub(crate) mod forwarder_attached;
pub(crate) mod gateway_as_root;
pub(crate) mod home_shared;
pub(crate) mod nat_published;
pub(crate) mod open_without_credentials;
pub(crate) mod paired_while_exposed;
pub(crate) mod panel_republished;
pub(crate) mod probe_blind;
pub(crate) mod reachable_beyond_allowed;
pub(crate) mod revived_while_open;
pub(crate) mod router_mapped;
pub(crate) mod secrets_readable;
pub(crate) mod side_door_open;
pub(crate) mod suspicious_requests;
pub(crate) mod tunnel_published;
pub(crate) mod witnesses_disagree;

use crate::address::Scope;
use crate::fact::InterfaceAddress;

/// Who can reach an address of this host: `192.168.1.5 (private network, wlan0): everyone on the local network`.
fn audience(address: &InterfaceAddress, scope: Scope) -> String {
    let on = if address.interface.is_empty() { String::new() } else { format!(", {}", address.interface) };
    format!("{} ({scope}{on}): {}", address.address, scope.audience())
}

/// The audiences of several addresses, the widest first, a few at most.
fn audiences(addresses: &[(InterfaceAddress, Scope)]) -> Vec<String> {
    const FEW: usize = 8;
    let mut widest_first: Vec<_> = addresses.iter().collect();
    widest_first.sort_by_key(|(_, scope)| std::cmp::Reverse(*scope));
    let mut lines: Vec<String> =
        widest_first.iter().take(FEW).map(|(address, scope)| audience(address, *scope)).collect();
    if addresses.len() > FEW {
        lines.push(format!("and {} addresses more", addresses.len() - FEW));
    }
    lines
}
