//! Sockets that wait for connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::address::unmap;
use crate::blindness::Blindness;

/// The processes that hold a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribution {
    /// Process ids, lowest first; never empty. Forked workers share one socket.
    Named(Vec<u32>),
    /// The holder cannot be named, and why.
    Unnamed(Blindness),
}

impl Attribution {
    /// The process ids that are known.
    #[must_use]
    pub fn pids(&self) -> &[u32] {
        match self {
            Self::Named(pids) => pids,
            Self::Unnamed(_) => &[],
        }
    }
}

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Address and port as bound, IPv4-mapped addresses unwrapped, link-local ones with their scope
    /// id. `[::]` with `dual_stack` also takes IPv4.
    pub bound: SocketAddr,
    /// An IPv6 wildcard without `IPV6_V6ONLY`.
    pub dual_stack: bool,
    /// The interface the socket is tied to (`SO_BINDTODEVICE`), if it is.
    pub device: Option<String>,
    /// The user that opened the socket, where the kernel tells.
    pub uid: Option<u32>,
    /// The kernel's number of the socket (Linux: the inode), 0 where there is none.
    pub socket: u64,
    /// Who holds it.
    pub owner: Attribution,
}

impl Listener {
    /// The address is a wildcard: every address of the host.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.bound.ip().is_unspecified()
    }

    /// Bound to loopback alone.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        unmap(self.bound.ip()).is_loopback()
    }

    /// Whether a connection to `address` would arrive at this socket.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        let address = unmap(address);
        match self.bound.ip() {
            IpAddr::V4(own) => address.is_ipv4() && (own.is_unspecified() || IpAddr::V4(own) == address),
            IpAddr::V6(own) if own.is_unspecified() => address.is_ipv6() || self.dual_stack,
            IpAddr::V6(own) => IpAddr::V6(own) == address,
        }
    }

    /// The addresses as a person reads them: a dual-stack wildcard as both wildcards.
    #[must_use]
    pub fn as_bound(&self) -> Vec<SocketAddr> {
        if self.is_wildcard() && self.dual_stack && self.bound.is_ipv6() {
            let port = self.bound.port();
            vec![
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
                SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            ]
        } else {
            vec![self.bound]
        }
    }
}

/// What the second witness of the listening sockets says of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// Sockets that only the first witness reports, in two looks around the second's.
    pub only_first: Vec<SocketAddr>,
    /// Sockets that only the second witness reports.
    pub only_second: Vec<SocketAddr>,
}
