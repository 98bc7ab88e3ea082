//! A TCP socket as the kernel describes it, before anybody is asked who holds it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// What a connection can still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for connections.
    Listen,
    /// Open in both directions.
    Established,
    /// One side has said its last word: FIN-WAIT-1, FIN-WAIT-2 or CLOSE-WAIT of RFC 9293. Data may
    /// still flow the other way.
    HalfClosed,
    /// Opening, closing or closed.
    Other,
}

/// A TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// This end; IPv4-mapped addresses unwrapped, link-local addresses with their scope id.
    pub local: SocketAddr,
    /// The other end; unspecified for a listener.
    pub remote: SocketAddr,
    /// What it can do.
    pub state: State,
    /// An IPv6 wildcard that also takes IPv4. Told for listeners only.
    pub dual_stack: bool,
    /// The interface it is tied to, 0 for none. Set by `SO_BINDTODEVICE`, and by the kernel for
    /// link-local addresses.
    pub device: u32,
    /// The user that opened it, where the kernel tells.
    pub uid: Option<u32>,
    /// The kernel's number of it; 0 when no process holds it (not yet accepted, or abandoned).
    pub id: u64,
}

impl Socket {
    /// Whether data can still arrive at a process: established, or half closed and not abandoned.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self.state {
            State::Established => true,
            State::HalfClosed => self.id != 0,
            State::Listen | State::Other => false,
        }
    }

    /// Whether the process that had it has closed it, or ended, while the system still says its last
    /// words to the other end.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.state == State::HalfClosed && self.id == 0
    }
}

/// An end of a socket: unwraps IPv4-mapped addresses, and gives link-local ones the scope without
/// which nobody can connect to them.
#[must_use]
pub fn end(address: IpAddr, port: u16, device: u32) -> SocketAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if is_link_local(v6) => SocketAddrV6::new(v6, port, 0, device).into(),
        other => SocketAddr::new(other, port),
    }
}

/// A unicast link-local address, `fe80::/10` of RFC 4291.
#[must_use]
pub fn is_link_local(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    first & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_the_ipv4_address_it_carries() {
        assert_eq!(end("::ffff:127.0.0.1".parse().unwrap(), 80, 0), "127.0.0.1:80".parse().unwrap());
        assert_eq!(end("::ffff:0.0.0.0".parse().unwrap(), 80, 0), "0.0.0.0:80".parse().unwrap());
    }

    #[test]
    fn only_a_link_local_address_carries_its_interface() {
        assert_eq!(end("fe80::1".parse().unwrap(), 80, 3), "[fe80::1%3]:80".parse().unwrap());
        assert_eq!(end("fd00::1".parse().unwrap(), 80, 3), "[fd00::1]:80".parse().unwrap());
    }
}
