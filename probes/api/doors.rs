//! The sockets on which a program may be asked.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use guardian_rules::fact::{Attribution, Listener};
use guardian_rules::observation::Observation;

/// Sockets that are asked; a program has one or two.
const MAX_DOORS: usize = 8;

/// Where to ask a program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Doors {
    /// Who answers there is the program.
    pub(crate) proven: Vec<SocketAddr>,
    /// Who answers there may be the program: its word accuses and does not clear.
    pub(crate) doubtful: Vec<SocketAddr>,
}

/// The sockets that these processes hold, and those on the `usual` ports whose holders cannot be
/// named.
pub(crate) fn doors(
    listeners: &Observation<Vec<Listener>>,
    holders: &BTreeSet<u32>,
    usual: RangeInclusive<u16>,
) -> Doors {
    let known: Vec<&Listener> = listeners.known().into_iter().flatten().collect();
    let is_theirs = |listener: &Listener| {
        !listener.owner.pids().is_empty() && listener.owner.pids().iter().all(|pid| holders.contains(pid))
    };
    let mut doors = Doors::default();
    for listener in &known {
        let at = asked_at(listener);
        let held = listener.owner.pids().iter().any(|pid| holders.contains(pid));
        let may_be = matches!(listener.owner, Attribution::Unnamed(_)) && usual.contains(&at.port());
        // Whoever else takes connections there may be the one that answers.
        let proven = held
            && listeners.seen().is_some()
            && known
                .iter()
                .all(|other| other.bound.port() != at.port() || !other.covers(at.ip()) || is_theirs(other));
        if proven {
            doors.proven.push(at);
        } else if held || may_be {
            doors.doubtful.push(at);
        }
    }
    for doors in [&mut doors.proven, &mut doors.doubtful] {
        doors.sort_by_key(|at| (!at.ip().is_loopback(), *at));
        doors.dedup();
        doors.truncate(MAX_DOORS);
    }
    doors
}

fn asked_at(listener: &Listener) -> SocketAddr {
    let loopback: IpAddr = match listener.bound {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if listener.is_wildcard() { SocketAddr::new(loopback, listener.bound.port()) } else { listener.bound }
}

#[cfg(test)]
mod tests {
    use guardian_rules::blindness::Blindness;

    use super::*;

    fn socket(bound: &str, holders: &[u32]) -> Listener {
        let owner = match holders {
            [] => Attribution::Unnamed(Blindness::denied("another user's")),
            holders => Attribution::Named(holders.to_vec()),
        };
        let bound = bound.parse().unwrap();
        Listener { bound, dual_stack: false, device: None, uid: None, socket: 0, owner }
    }

    fn of(listeners: Vec<Listener>) -> Doors {
        doors(&Observation::Seen(listeners), &BTreeSet::from([7, 8]), 4040..=4049)
    }

    fn at(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn a_tunnels_own_sockets_are_asked_loopback_first() {
        let found = of(vec![
            socket("192.0.2.7:80", &[7]),
            socket("0.0.0.0:4100", &[7, 8]),
            socket("[::]:4100", &[8]),
            socket("127.0.0.1:5000", &[9]),
        ]);
        assert_eq!(found.proven, at(&["127.0.0.1:4100", "[::1]:4100", "192.0.2.7:80"]));
        assert_eq!(found.doubtful, []);
    }

    #[test]
    fn a_socket_that_others_share_proves_nothing() {
        assert_eq!(of(vec![socket("127.0.0.1:4040", &[7, 9])]).proven, []);
        let both = of(vec![socket("0.0.0.0:4040", &[7]), socket("127.0.0.1:4040", &[9])]);
        assert_eq!((both.proven, both.doubtful), (at(&[]), at(&["127.0.0.1:4040"])));
        let unnamed = of(vec![socket("127.0.0.1:4040", &[7]), socket("127.0.0.1:4040", &[])]);
        assert_eq!((unnamed.proven, unnamed.doubtful), (at(&[]), at(&["127.0.0.1:4040"])));
    }

    #[test]
    fn where_holders_cannot_be_named_the_usual_ports_may_be_the_tunnels() {
        let found = of(vec![
            socket("127.0.0.1:4041", &[]),
            socket("127.0.0.1:80", &[]),
            socket("127.0.0.1:4042", &[9]),
        ]);
        assert_eq!((found.proven, found.doubtful), (at(&[]), at(&["127.0.0.1:4041"])));
    }

    #[test]
    fn what_was_seen_earlier_proves_nothing() {
        let earlier = Observation::Seen(vec![socket("127.0.0.1:4040", &[7])]);
        let blind = earlier.followed_by(Err(Blindness::timed_out("no answer")));
        let found = doors(&blind, &BTreeSet::from([7]), 4040..=4049);
        assert_eq!((found.proven, found.doubtful), (at(&[]), at(&["127.0.0.1:4040"])));
    }
}
