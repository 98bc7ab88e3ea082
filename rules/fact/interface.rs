//! Addresses of this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address::{Scope, scope_of, unmap};

const TAILNETS: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0), 48)),
];

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

    /// The same for a VPN's address that stands alone for a network which its routes alone know: Tailscale's are
    /// 100.64.0.0/10 and `fd7a:115c:a1e0::/48` (its documentation, "IP address types").
    #[must_use]
    pub fn members_have(&self, address: IpAddr) -> Option<u8> {
        let (own, address) = (unmap(self.address), unmap(address));
        let network = TAILNETS.iter().find(|network| network.contains(&own) && network.contains(&address))?;
        (self.prefix == network.max_prefix_len()).then(|| network.prefix_len())
    }

    /// Who can reach this address.
    #[must_use]
    pub fn scope(&self) -> Scope {
        scope_of(&self.interface, self.tunnel, self.address)
    }
}
