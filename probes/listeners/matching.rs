//! Sockets of one list found again in another.

use std::collections::{HashMap, HashSet};

use super::socket::Socket;

/// A socket as a process holds it.
pub(crate) trait Seen {
    /// The process.
    fn pid(&self) -> u32;
    /// The socket as the process's descriptor shows it.
    fn socket(&self) -> &Socket;
}

/// The holders of the sockets wanted, lowest process id first, one a process.
///
/// A socket is known by the kernel's handle. Where no process shows the handle, as when the kernel
/// tells each reader another one, it is known by its two ends instead.
pub(crate) fn matched<H: Seen>(wanted: &[Socket], seen: Vec<H>) -> HashMap<u64, Vec<H>> {
    let handles: HashSet<u64> = seen.iter().map(|holder| holder.socket().id).collect();
    let wanted_handles: HashSet<u64> = wanted.iter().map(|socket| socket.id).collect();
    let strays: HashMap<_, u64> = wanted
        .iter()
        .filter(|socket| !handles.contains(&socket.id))
        .map(|socket| ((socket.local, socket.remote), socket.id))
        .collect();
    let mut found: HashMap<u64, Vec<H>> = HashMap::new();
    for holder in seen {
        let socket = holder.socket();
        let id = if wanted_handles.contains(&socket.id) {
            socket.id
        } else if let Some(id) = strays.get(&(socket.local, socket.remote)) {
            *id
        } else {
            continue;
        };
        let holders = found.entry(id).or_default();
        if holders.iter().all(|other| other.pid() != holder.pid()) {
            holders.push(holder);
        }
    }
    for holders in found.values_mut() {
        holders.sort_by_key(Seen::pid);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listeners::socket::State;

    struct Held(u32, Socket);

    impl Seen for Held {
        fn pid(&self) -> u32 {
            self.0
        }

        fn socket(&self) -> &Socket {
            &self.1
        }
    }

    fn socket(port: u16, id: u64) -> Socket {
        Socket {
            local: ([127, 0, 0, 1], port).into(),
            remote: ([0, 0, 0, 0], 0).into(),
            state: State::Listen,
            dual_stack: false,
            device: 0,
            uid: None,
            id,
        }
    }

    fn pids(wanted: &[Socket], seen: Vec<Held>, id: u64) -> Vec<u32> {
        matched(wanted, seen).get(&id).map(|held| held.iter().map(Seen::pid).collect()).unwrap_or_default()
    }

    #[test]
    fn a_shared_socket_has_each_of_its_holders_once() {
        let shared = socket(80, 1);
        let seen = vec![Held(9, shared), Held(3, shared), Held(9, shared), Held(4, socket(81, 2))];
        assert_eq!(pids(&[shared], seen, 1), [3, 9]);
    }

    #[test]
    fn sockets_that_share_an_address_are_told_apart_by_their_handles() {
        let both = [socket(80, 1), socket(80, 2)];
        let seen = || vec![Held(3, both[0]), Held(4, both[1])];
        assert_eq!(pids(&both, seen(), 1), [3]);
        assert_eq!(pids(&both, seen(), 2), [4]);
    }

    #[test]
    fn a_socket_whose_handle_nobody_shows_is_known_by_its_ends() {
        assert_eq!(pids(&[socket(80, 1)], vec![Held(3, socket(80, 77)), Held(4, socket(81, 78))], 1), [3]);
    }

    #[test]
    fn a_socket_that_nobody_holds_has_no_holder() {
        assert!(pids(&[socket(80, 1)], vec![Held(4, socket(81, 78))], 1).is_empty());
    }
}
