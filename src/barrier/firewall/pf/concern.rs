//! Which of pf's states are connections to a gateway.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::barrier::firewall::wall::Wall;

/// A connection that a gateway's place takes part in: the local end, or that of a peer on this host.
pub(crate) fn concerns(local: SocketAddr, peer: SocketAddr, wall: &Wall, own: &BTreeSet<IpAddr>) -> bool {
    let address = peer.ip().to_canonical();
    wall.holds(local) || (wall.holds(peer) && (address.is_loopback() || own.contains(&address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::firewall::wall::Stance;

    #[test]
    fn both_ends_of_a_connection_on_this_host_concern_a_gateway() {
        let own = BTreeSet::from(["192.0.2.1".parse().unwrap()]);
        let doors = ["127.0.0.2:5432", "[::]:6000"].map(|it| it.parse().unwrap()).into();
        let wall = Wall { ports: BTreeSet::from([18789]), doors, ..Wall::empty(Stance::Block) };
        let concern =
            |local: &str, peer: &str| concerns(local.parse().unwrap(), peer.parse().unwrap(), &wall, &own);
        assert!(concern("192.0.2.1:18789", "198.51.100.7:40000"));
        assert!(concern("127.0.0.1:40000", "127.0.0.1:18789"));
        assert!(concern("[::1]:40000", "[::1]:18789"));
        assert!(concern("192.0.2.1:40000", "[::ffff:192.0.2.1]:18789"));
        // On a shared port only the gateway's own place does.
        assert!(concern("127.0.0.1:40000", "127.0.0.2:5432") && concern("127.0.0.2:5432", "127.0.0.1:4"));
        assert!(concern("[::1]:6000", "[::1]:4") && !concern("127.0.0.1:6000", "127.0.0.1:4"));
        assert!(!concern("127.0.0.1:40000", "127.0.0.1:5432"));
        // Somebody else's gateway.
        assert!(!concern("192.0.2.1:40000", "198.51.100.7:18789"));
        assert!(!concern("127.0.0.1:40000", "127.0.0.1:8080"));
    }
}
