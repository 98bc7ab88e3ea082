//! Which of pf's states are connections to a gateway.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// A connection that a gateway's port takes part in: the local one, or that of a peer on this host.
pub(crate) fn concerns(
    local: SocketAddr,
    peer: SocketAddr,
    ports: &BTreeSet<u16>,
    own: &BTreeSet<IpAddr>,
) -> bool {
    let address = peer.ip().to_canonical();
    ports.contains(&local.port())
        || (ports.contains(&peer.port()) && (address.is_loopback() || own.contains(&address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_connection_on_this_host_concern_a_gateway() {
        let (ports, own) = (BTreeSet::from([18789]), BTreeSet::from(["192.0.2.1".parse().unwrap()]));
        let concern =
            |local: &str, peer: &str| concerns(local.parse().unwrap(), peer.parse().unwrap(), &ports, &own);
        assert!(concern("192.0.2.1:18789", "198.51.100.7:40000"));
        assert!(concern("127.0.0.1:40000", "127.0.0.1:18789"));
        assert!(concern("[::1]:40000", "[::1]:18789"));
        assert!(concern("192.0.2.1:40000", "[::ffff:192.0.2.1]:18789"));
        // Somebody else's gateway.
        assert!(!concern("192.0.2.1:40000", "198.51.100.7:18789"));
        assert!(!concern("127.0.0.1:40000", "127.0.0.1:8080"));
    }
}
