//! A listener of our own that must be in every answer.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use guardian_rules::blindness::{Blindness, Cause};
use nix::sys::socket::{Backlog, listen};

use super::socket::Socket;

/// A listener on loopback that takes no connections. A list without it is not the whole list.
pub struct Canary {
    /// Kept open, never accepted from.
    _listener: TcpListener,
    address: SocketAddr,
}

/// The canaries of this process: each probe that reads the list has one of its own.
static ALL: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

impl Canary {
    /// Binds it to 127.0.0.1 and a port of the kernel's choice.
    pub fn bind() -> Result<Self, Blindness> {
        Self::try_bind().map_err(|error| {
            Blindness::new(
                Cause::Interrupted,
                format!("no listener of our own can be bound to 127.0.0.1 to try the view on: {error}"),
            )
        })
    }

    fn try_bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Nobody is served here: the shortest queue there is.
        listen(&listener, Backlog::new(1)?)?;
        let address = listener.local_addr()?;
        ALL.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
        Ok(Self { _listener: listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket in a list that is the canary, or why the list cannot be believed.
    pub fn find<'a>(&self, sockets: &'a [Socket]) -> Result<&'a Socket, Blindness> {
        sockets.iter().find(|socket| socket.local == self.address).ok_or_else(|| {
            Blindness::new(
                Cause::Interrupted,
                format!("our own listener on {} is missing in the list of sockets", self.address),
            )
        })
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        ALL.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

/// The addresses of this process's canaries.
#[must_use]
pub fn all() -> BTreeSet<SocketAddr> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
