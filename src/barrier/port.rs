//! The port barrier: the gateway's port is taken, so that a gateway that comes back cannot bind it,
//! and whoever comes is told that it is blocked.
//!
//! Only loopback and the specific addresses that gateways had are taken, never a wildcard: nothing
//! becomes reachable that was not. On Linux this keeps others from a wildcard bind as well, even
//! with `SO_REUSEADDR` (socket(7): not where a socket listens). macOS lets a wildcard be bound
//! beside it; there the port answers for guardian on the addresses taken.

mod blocked;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Held;

/// As many connections are answered at a time, on all ports together.
const CONNECTIONS: usize = 64;

/// As many addresses are taken at most.
const ADDRESSES: usize = 256;

/// Connections that wait to be answered or closed.
const BACKLOG: u32 = 64;

/// The addresses that are taken, and those that could not be.
#[derive(Debug)]
pub(crate) struct Ports {
    taken: BTreeMap<SocketAddr, JoinHandle<()>>,
    refused: BTreeSet<SocketAddr>,
    room: Arc<Semaphore>,
}

impl Ports {
    /// None is taken.
    pub(crate) fn new() -> Self {
        Self { taken: BTreeMap::new(), refused: BTreeSet::new(), room: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Takes the ports on loopback and the addresses as bound; what is taken already is kept. Cheap
    /// when nothing is missing. Answers what could not be taken; a host without IPv6 is no failure.
    pub(crate) async fn take(
        &mut self,
        ports: &BTreeSet<u16>,
        bound: &BTreeSet<SocketAddr>,
    ) -> Vec<(SocketAddr, io::Error)> {
        self.taken.retain(|_, answering| !answering.is_finished());
        self.refused.clear();
        let mut failures = Vec::new();
        for at in wanted(ports, bound) {
            if self.taken.contains_key(&at) {
                continue;
            }
            match self.bind(at) {
                Ok(listener) => {
                    let answering = tokio::spawn(blocked::answer(listener, Arc::clone(&self.room)));
                    self.taken.insert(at, answering);
                }
                Err(failure) if is_absent(at, &failure) => {}
                Err(failure) => {
                    self.refused.insert(at);
                    failures.push((at, failure));
                }
            }
        }
        // Others have a turn, so that the first connections are answered at once.
        tokio::task::yield_now().await;
        failures
    }

    /// Whether each port is taken, as of the last time it was tried.
    pub(crate) fn standing(&self, ports: &BTreeSet<u16>) -> Held {
        let stands = |port: &u16| {
            self.holds(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
                && !self.refused.iter().any(|refused| refused.port() == *port)
        };
        if ports.iter().all(stands) { Held::Yes } else { Held::No }
    }

    /// Whether this address is taken by guardian: what answers there is no gateway.
    pub(crate) fn holds(&self, at: SocketAddr) -> bool {
        self.taken.get(&canonical(at)).is_some_and(|answering| !answering.is_finished())
    }

    /// Gives all of them back. They are free when it returns.
    pub(crate) async fn release(&mut self) {
        self.refused.clear();
        let taken = std::mem::take(&mut self.taken);
        for answering in taken.values() {
            answering.abort();
        }
        for answering in taken.into_values() {
            // The socket is closed when its task has ended; how it ended does not matter.
            let _ = answering.await;
        }
    }

    fn bind(&self, at: SocketAddr) -> io::Result<TcpListener> {
        if self.taken.len() >= ADDRESSES {
            return Err(io::Error::other("guardian takes no more addresses than it does already"));
        }
        let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the gateway that have not quite ended do not keep guardian out.
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG)
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        for answering in self.taken.values() {
            answering.abort();
        }
    }
}

/// Both loopbacks for every port, also for one that was bound on a wildcard, and each address that
/// is none.
fn wanted(ports: &BTreeSet<u16>, bound: &BTreeSet<SocketAddr>) -> BTreeSet<SocketAddr> {
    let bound: BTreeSet<SocketAddr> = bound.iter().copied().map(canonical).collect();
    let wildcards = bound.iter().filter(|at| at.ip().is_unspecified()).map(SocketAddr::port);
    let loopbacks = ports.iter().copied().chain(wildcards).flat_map(|port| {
        [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]
            .map(|loopback| SocketAddr::new(loopback, port))
    });
    let specific = bound.iter().copied().filter(|at| !at.ip().is_unspecified() && !at.ip().is_multicast());
    // Port 0 would be any port.
    loopbacks.chain(specific).filter(|at| at.port() != 0).collect()
}

/// IPv4 in the clothes of IPv6 is IPv4.
fn canonical(at: SocketAddr) -> SocketAddr {
    match at.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, at.port())),
        IpAddr::V6(_) => at,
    }
}

/// There is no IPv6 loopback on this host, so nothing can listen there.
fn is_absent(at: SocketAddr, failure: &io::Error) -> bool {
    at.is_ipv6()
        && at.ip().is_loopback()
        && (failure.kind() == io::ErrorKind::AddrNotAvailable
            || failure.raw_os_error() == Some(nix::Error::EAFNOSUPPORT as i32))
}

#[cfg(test)]
mod tests;
