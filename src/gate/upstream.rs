//! Connections to the gateway, kept for the next request.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::Upload;
use super::gather::Gathering;

/// The gateway takes a connection within this time.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections that wait for a request.
const KEPT: usize = 128;
/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// Why the gateway was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// It takes no connection.
    #[error("the gateway at {at} takes no connection")]
    Unreachable {
        /// Where it should be.
        at: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// It does not speak HTTP.
    #[error("the gateway does not answer as it should")]
    Http(#[from] hyper::Error),
    /// It speaks another protocol from here on, and nobody has asked it to.
    #[error("the gateway changes the protocol, and nobody has asked it to")]
    Unasked,
    /// It takes too long.
    #[error("the gateway does not answer in time")]
    Late,
}

/// The gateway, and the connections to it that wait.
#[derive(Debug)]
pub(crate) struct Upstream {
    at: SocketAddr,
    idle: RefCell<Vec<SendRequest<Upload>>>,
}

/// A connection that has taken a request, and whether it is one that had waited.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Upload>,
    /// It may have died of old age meanwhile.
    pub(crate) kept: bool,
}

impl Upstream {
    /// The gateway at an address.
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self { at, idle: RefCell::new(Vec::new()) }
    }

    /// A connection for a request: of those that are ready the one used last, else a new one.
    pub(crate) async fn connection(&self) -> Result<Connection, UpstreamError> {
        match self.ready() {
            Some(sender) => Ok(Connection { sender, kept: true }),
            None => Box::pin(self.fresh()).await,
        }
    }

    /// A connection whose answer was read a moment ago is not ready before its task has run: it stays.
    fn ready(&self) -> Option<SendRequest<Upload>> {
        let mut idle = self.idle.borrow_mut();
        // The latest is the warmest, and the least likely to have been closed.
        let at = idle.iter().rposition(SendRequest::is_ready)?;
        Some(idle.remove(at))
    }

    /// A new connection, that can become a WebSocket.
    pub(crate) async fn fresh(&self) -> Result<Connection, UpstreamError> {
        let unreachable = |cause| UpstreamError::Unreachable { at: self.at, cause };
        let stream = timeout(CONNECT, TcpStream::connect(self.at))
            .await
            .map_err(|_| UpstreamError::Late)?
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LONGEST_HEAD)
            .handshake(TokioIo::new(Gathering(stream)))
            .await?;
        // Ends with the connection; what it fails of, the request that is on it says.
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Connection { sender, kept: false })
    }

    /// Takes a connection back whose answer has been read to its end.
    pub(crate) fn keep(&self, sender: SendRequest<Upload>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= KEPT {
            idle.retain(|sender| !sender.is_closed());
        }
        if idle.len() < KEPT && !sender.is_closed() {
            idle.push(sender);
        }
    }
}
