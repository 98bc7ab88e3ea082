//! What the owner allows.

use ipnet::IpNet;
use std::net::IpAddr;

use crate::address::{Scope, unmap};
use crate::fact::InterfaceAddress;

/// Where a gateway listens that was not told otherwise.
pub const USUAL_PORT: u16 = 18789;

/// The policy in force at the moment of the judgement: allowances that have ended are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Ports to treat as gateway ports besides those of the gateways found.
    pub ports: Vec<u16>,
    /// Networks allowed beside loopback and VPN.
    pub networks: Vec<AllowedNetwork>,
    /// Ways of publishing that are allowed, by a program's name or one of [`way`](crate::way).
    pub paths: Vec<AllowedPath>,
    /// As many suspicious requests of a kind in five minutes move the verdict; none if zero.
    pub suspicious: u32,
}

/// A network the owner has allowed in writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedNetwork {
    /// Which addresses.
    pub network: IpNet,
    /// Why, in the owner's words.
    pub reason: String,
}

/// A way of publishing that the owner has allowed in writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedPath {
    /// Its name.
    pub path: String,
    /// Why, in the owner's words.
    pub reason: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self { ports: vec![USUAL_PORT], networks: Vec::new(), paths: Vec::new(), suspicious: 100 }
    }
}

impl Policy {
    /// Whether this address of the host may take connections for a gateway.
    #[must_use]
    pub fn allows_own(&self, own: &InterfaceAddress) -> bool {
        own.scope() <= Scope::Vpn || self.names(own.address)
    }

    /// Whether an address is in a network that the owner has written down.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> bool {
        let address = unmap(address);
        self.networks.iter().any(|allowed| allowed.network.contains(&address))
    }
}
