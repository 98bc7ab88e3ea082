//! Connections to the gateway, kept for the next request.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::Upload;

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

/// A connection to the gateway. Its bytes move while somebody waits for something of it, in that task, and
/// else not at all: it ends with whoever drops it.
pub(crate) struct Line {
    sender: SendRequest<Upload>,
    moving: Box<http1::Connection<TokioIo<TcpStream>, Upload>>,
    over: bool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Line {
    /// Moves what there is to be moved; ready when it has ended. What it failed of, the request that is on it
    /// says.
    pub(crate) fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.over = self.over || Pin::new(&mut *self.moving).poll(cx).is_ready();
        if self.over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Asks, and waits for the head of the answer.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            let _ = self.poll_move(cx);
            // It comes while the bytes move, and nobody has to be woken for it.
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// The socket, once the gateway has granted a WebSocket, and what it sent ahead.
    pub(crate) async fn into_socket(mut self) -> (TcpStream, BytesMut) {
        poll_fn(|cx| self.poll_move(cx)).await;
        let parts = self.moving.into_parts();
        (parts.io.into_inner(), BytesMut::from(&parts.read_buf[..]))
    }
}

/// The gateway, and the connections to it that wait.
#[derive(Debug)]
pub(crate) struct Upstream {
    at: SocketAddr,
    idle: RefCell<Vec<Line>>,
}

impl Upstream {
    /// The gateway at an address.
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self { at, idle: RefCell::new(Vec::new()) }
    }

    /// The connection that was used last, if it is still there: the warmest, and the least likely to have been
    /// closed. It may have died of old age all the same.
    pub(crate) async fn kept(&self) -> Option<Line> {
        poll_fn(|cx| {
            loop {
                let Some(mut line) = self.idle.borrow_mut().pop() else { return Poll::Ready(None) };
                if line.poll_move(cx).is_pending() && line.sender.is_ready() {
                    return Poll::Ready(Some(line));
                }
            }
        })
        .await
    }

    /// A new connection.
    pub(crate) async fn fresh(&self) -> Result<Line, UpstreamError> {
        let unreachable = |cause| UpstreamError::Unreachable { at: self.at, cause };
        let stream = timeout(CONNECT, TcpStream::connect(self.at))
            .await
            .map_err(|_| UpstreamError::Late)?
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) =
            http1::Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(stream)).await?;
        Ok(Line { sender, moving: Box::new(connection), over: false })
    }

    /// Takes a connection back whose answer has been read to its end.
    pub(crate) fn keep(&self, line: Line) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT && !line.over {
            idle.push(line);
        }
    }

    /// Lets go of connections that the gateway has closed.
    pub(crate) fn sweep(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain_mut(|line| line.poll_move(&mut cx).is_pending());
    }
}
