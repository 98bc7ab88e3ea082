//! The two ends of a connection, put together.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use crate::listeners::socket::{Socket, State};

/// A connection at a gateway's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The gateway's end.
    pub gateway: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The other end's socket, if this host has it.
    pub other: Option<Socket>,
    /// The other end is an address of this host.
    pub here: bool,
}

impl Link {
    /// The gateway's end and the other one.
    pub(super) fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.gateway, self.remote)
    }
}

/// The connections whose local port is one of these, each with its other end.
///
/// `own` are the addresses of this host beside loopback. Two sockets that are tied to different
/// devices may have the same ends (`SO_BINDTODEVICE`): each of them is taken for the other end.
#[must_use]
pub fn pair(sockets: &[Socket], ports: &BTreeSet<u16>, own: &BTreeSet<IpAddr>) -> Vec<Link> {
    let ends = |socket: &Socket| (socket.local, socket.remote);
    let connected = || sockets.iter().filter(|socket| socket.is_connected());
    let mut by_ends: HashMap<(SocketAddr, SocketAddr), Vec<Socket>> = HashMap::new();
    for socket in connected().filter(|socket| socket.id != 0) {
        by_ends.entry(ends(socket)).or_default().push(*socket);
    }
    let abandoned: HashSet<(SocketAddr, SocketAddr)> =
        sockets.iter().filter(|socket| socket.is_abandoned()).map(ends).collect();
    let mut links: Vec<Link> = connected()
        .filter(|socket| ports.contains(&socket.local.port()))
        .flat_map(|socket| {
            let link = |other| Link { gateway: socket.local, remote: socket.remote, other, here: true };
            let mirrored = (socket.remote, socket.local);
            if let Some(others) = by_ends.get(&mirrored) {
                return others.iter().map(|other| link(Some(*other))).collect();
            }
            if !is_local(socket.remote.ip(), own) {
                return vec![Link { here: false, ..link(None) }];
            }
            // A local program closed its end, and the gateway has not noticed yet; or has not even
            // heard of it, while it does not take what came before. Nobody reads or writes there.
            let is_over = socket.state == State::HalfClosed || abandoned.contains(&mirrored);
            if is_over { Vec::new() } else { vec![link(None)] }
        })
        .collect();
    let other = |link: &Link| link.other.map(|other| other.id);
    links.sort_unstable_by_key(|link| (link.here, link.gateway, link.remote, other(link)));
    links.dedup_by_key(|link| (link.gateway, link.remote, other(link)));
    links
}

/// An address of this host.
#[must_use]
pub fn is_local(address: IpAddr, own: &BTreeSet<IpAddr>) -> bool {
    address.is_loopback() || own.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, remote: &str, id: u64) -> Socket {
        Socket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state: State::Established,
            dual_stack: false,
            device: 0,
            uid: Some(0),
            id,
        }
    }

    fn links(sockets: &[Socket]) -> Vec<Link> {
        pair(sockets, &BTreeSet::from([18789]), &BTreeSet::from(["10.0.0.1".parse().unwrap()]))
    }

    #[test]
    fn the_other_end_is_found_when_it_is_on_this_host() {
        let found = links(&[
            socket("127.0.0.1:40000", "127.0.0.1:18789", 5),
            socket("127.0.0.1:18789", "127.0.0.1:40000", 4),
        ]);
        assert_eq!(found.len(), 1, "the other end is no connection of its own: {found:?}");
        assert!(found[0].here);
        assert_eq!(found[0].other.unwrap().id, 5);
    }

    #[test]
    fn another_host_is_elsewhere_and_comes_first() {
        let found = links(&[
            socket("10.0.0.1:18789", "10.0.0.1:40000", 4),
            socket("10.0.0.1:18789", "10.0.0.9:40000", 6),
        ]);
        assert_eq!(found.iter().map(|link| link.here).collect::<Vec<_>>(), [false, true]);
        assert_eq!(found[1].other, None);
    }

    #[test]
    fn an_end_that_nobody_holds_is_not_found() {
        let found = links(&[
            socket("127.0.0.1:40000", "127.0.0.1:18789", 0),
            socket("127.0.0.1:18789", "127.0.0.1:40000", 4),
        ]);
        assert_eq!((found[0].other, found[0].here), (None, true));
    }

    #[test]
    fn an_end_that_its_owner_has_let_go_of_is_no_peers() {
        let orphan = Socket { state: State::HalfClosed, ..socket("127.0.0.1:40000", "127.0.0.1:18789", 0) };
        let served = socket("127.0.0.1:18789", "127.0.0.1:40000", 4);
        assert_eq!(links(&[orphan, served]), []);
        let held = Socket { id: 5, ..orphan };
        assert_eq!(links(&[held, served]).len(), 1, "half closed, and somebody may still listen");
    }

    #[test]
    fn an_end_that_was_let_go_of_hides_nobody_who_has_the_same_ends() {
        let orphan =
            Socket { state: State::HalfClosed, device: 1, ..socket("127.0.0.1:40000", "127.0.0.1:18789", 0) };
        let other = socket("127.0.0.1:40000", "127.0.0.1:18789", 5);
        let served = socket("127.0.0.1:18789", "127.0.0.1:40000", 4);
        let found = links(&[other, orphan, served]);
        assert_eq!(found.iter().map(|link| link.other.unwrap().id).collect::<Vec<_>>(), [5]);
        let decoy = Socket { device: 1, id: 6, ..other };
        for order in [[other, decoy, served], [decoy, served, other]] {
            let found = links(&order);
            assert_eq!(found.iter().map(|link| link.other.unwrap().id).collect::<Vec<_>>(), [5, 6]);
        }
    }

    #[test]
    fn half_a_connection_counts_while_its_other_end_may_listen() {
        let half = |remote| Socket { state: State::HalfClosed, ..socket("10.0.0.1:18789", remote, 4) };
        assert!(links(&[half("10.0.0.1:40000")]).is_empty(), "its other end was here, and is gone");
        assert_eq!(links(&[half("10.0.0.9:40000")]).len(), 1, "another host's end cannot be seen");
        let other = Socket { state: State::HalfClosed, ..socket("10.0.0.1:40000", "10.0.0.1:18789", 5) };
        assert_eq!(links(&[half("10.0.0.1:40000"), other]).len(), 1);
    }

    #[test]
    fn an_end_in_an_address_this_host_does_not_list_is_here_if_its_socket_is() {
        let found = links(&[
            socket("10.7.7.7:40000", "10.7.7.8:18789", 5),
            socket("10.7.7.8:18789", "10.7.7.7:40000", 4),
        ]);
        assert!(found[0].here);
    }

    #[test]
    fn a_connection_to_the_same_port_elsewhere_is_none_of_this_gateway() {
        assert!(links(&[socket("10.0.0.1:40000", "10.0.0.9:18789", 5)]).is_empty());
    }
}
