//! Addresses of this host.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::address::{Scope, scope_of, unmap};

/// An address of this host and the interface that has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// The interface, as the system names it.
    pub interface: String,
    /// The interface's number, for addresses that need a scope id.
    pub index: Option<u32>,
    /// The address.
    pub address: IpAddr,
    /// Length of the network prefix in bits.
    pub prefix: u8,
    /// The kernel itself says that the interface is a VPN's, whatever its name is.
    pub tunnel: bool,
}

impl InterfaceAddress {
    /// Whether a socket address is this one: link-local addresses are told apart by their scope id,
    /// which is the interface's number, where both are known.
    #[must_use]
    pub fn is_at(&self, address: SocketAddr) -> bool {
        let same_interface = match (address, self.index) {
            (SocketAddr::V6(v6), Some(index)) => v6.scope_id() == 0 || v6.scope_id() == index,
            _ => true,
        };
        same_interface && unmap(self.address) == unmap(address.ip())
    }

    /// As many leading bits of an address are this interface's network's; none if it is not in it, or everybody is.
    #[must_use]
    pub fn network_has(&self, address: IpAddr) -> Option<u8> {
        let network = IpNet::new(unmap(self.address), self.prefix).ok()?;
        (self.prefix > 0 && network.contains(&unmap(address))).then_some(self.prefix)
    }

    /// Who can reach this address.
    #[must_use]
    pub fn scope(&self) -> Scope {
        scope_of(&self.interface, self.tunnel, self.address)
    }
}
