//! A client's connection, between the socket and the HTTP library.
//!
//! Bytes are handed on only once they have been checked: a head when it is complete, sound and let in, a
//! body as far as it is framed soundly. A request that is refused never reaches the library; it is answered
//! here, in its turn. What follows a request for a WebSocket is held back until the answer shows whether
//! there is one.
//!
//! Every wait has an end: for a head, for a body, for a client that does not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answering::Answering;
use super::chunk::Chunks;
use super::fault::Fault;
use super::threshold::Threshold;

mod checks;

/// A first request comes within this time, and a head from its first byte to its last.
const HEAD: Duration = Duration::from_secs(10);
/// Between two requests.
const IDLE: Duration = Duration::from_secs(75);
/// Between two parts of a body.
const BODY: Duration = Duration::from_secs(30);
/// A client that takes nothing for this long is gone.
const STALLED: Duration = Duration::from_mins(1);
/// After a refusal, for a client that still sends: closing at once would take the answer from it.
const LINGER: Duration = Duration::from_secs(1);
/// What is read and thrown away meanwhile, in bytes.
const LINGER_MOST: usize = 1024 * 1024;
/// What a client may send ahead while its WebSocket is not there yet, in bytes.
const AHEAD: usize = 16 * 1024;
/// One read, in bytes.
const READ: usize = 16 * 1024;

const TOO_SLOW: Fault = Fault::new(408, "the request did not come in time");

/// A connection as the HTTP library sees it.
#[derive(Debug)]
pub(crate) struct Wire<S, T> {
    io: S,
    threshold: T,
    /// Read and not handed on yet.
    held: BytesMut,
    /// As many bytes of `held` are checked.
    clear: usize,
    /// As many bytes of an incomplete head need not be looked at again.
    seen: usize,
    at: At,
    /// What of an answer of the threshold's is not written yet.
    out: BytesMut,
    /// There is such an answer, and it may still be on its way.
    answers: bool,
    /// Shut down for writing, and heard out.
    shut: bool,
    answering: Arc<Answering>,
    /// There was no request yet.
    first: bool,
    /// What is awaited comes by `until`.
    awaits: Awaits,
    until: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    lingered: usize,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// Nothing yet.
    Nothing,
    /// The first request.
    First,
    /// Another request, or the end of an answer.
    Next,
    /// The rest of a head.
    Head,
    /// The next part of a body.
    Body,
}

#[derive(Debug)]
enum At {
    /// Before or in a head.
    Head,
    /// In a body of which so much is to come.
    Length(u64),
    /// In a body in chunks; so much data came.
    Chunked(Chunks, u64),
    /// A WebSocket is asked for, and not answered.
    Asked,
    /// It was answered with 101: what comes is no HTTP.
    Tunnel,
    /// A body is none; nothing more is read of this client.
    Broken,
    /// A request was refused, and its answer is the last.
    Refused,
    /// Shut down for writing; the client is heard out.
    Lingering,
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Threshold> Wire<S, T> {
    /// A connection; `answering` is told of the end of every answer.
    pub(crate) fn new(io: S, answering: Arc<Answering>, threshold: T) -> Self {
        Self {
            io,
            threshold,
            held: BytesMut::new(),
            clear: 0,
            seen: 0,
            at: At::Head,
            out: BytesMut::new(),
            answers: false,
            shut: false,
            answering,
            first: true,
            awaits: Awaits::Nothing,
            until: Instant::now(),
            timer: None,
            stalled: None,
            lingered: 0,
        }
    }

    /// The socket of a WebSocket, and what the client sent ahead of it; none of any other connection.
    pub(crate) fn into_tunnel(self) -> Option<(S, BytesMut)> {
        matches!(self.at, At::Tunnel).then_some((self.io, self.held))
    }

    /// Writes what is left of an answer of the threshold's.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let wrote = Pin::new(&mut self.io).poll_write(cx, &self.out);
            match ready!(self.not_stalled(cx, wrote))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.out.advance(count),
            }
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        ready!(self.not_stalled(cx, flushed))?;
        // A connection that waits holds no memory for it.
        self.out = BytesMut::new();
        self.answers = false;
        self.answering.rests(Instant::now());
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket; how many bytes came, none at its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            let came = buffer.filled();
            self.held.extend_from_slice(came);
            Poll::Ready(Ok(came.len()))
        })
    }
}

thread_local! {
    /// Reads go through one buffer, so that a connection that waits holds none.
    static SCRATCH: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; READ].into_boxed_slice());
}

fn poll_timer(timer: &mut Option<Pin<Box<Sleep>>>, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
    if timer.deadline() != until {
        timer.as_mut().reset(until);
    }
    timer.as_mut().poll(cx)
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Threshold + Unpin> Read for Wire<S, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        loop {
            if wire.answers {
                ready!(wire.poll_answer(cx))?;
            }
            if wire.clear > 0 {
                let count = wire.clear.min(buffer.remaining());
                buffer.put_slice(wire.held.get(..count).unwrap_or_default());
                wire.held.advance(count);
                wire.clear -= count;
                return Poll::Ready(Ok(()));
            }
            // The next request waits until this one is answered: what it asks may be another protocol.
            let waits =
                matches!(wire.at, At::Head) && !wire.held.is_empty() && wire.answering.poll_under_way(cx);
            if !waits && !wire.held.is_empty() && wire.check()? {
                continue;
            }
            match wire.at {
                _ if waits && wire.held.len() >= AHEAD => return Poll::Pending,
                At::Refused => return Poll::Ready(Ok(())),
                At::Broken | At::Lingering => return Poll::Pending,
                At::Asked if wire.held.len() >= AHEAD => return Poll::Pending,
                _ => {}
            }
            match wire.poll_fill(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) if wire.awaits == Awaits::Body => wire.awaits = Awaits::Nothing,
                Poll::Ready(_) => {}
                Poll::Pending if waits => return Poll::Pending,
                Poll::Pending => return wire.poll_wait(cx),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Threshold> Wire<S, T> {
    /// Nothing came: waits for as long as it may. A head has its time from its first bytes, a body
    /// from its latest.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (awaits, limit) = match self.at {
            At::Head if !self.held.is_empty() => (Awaits::Head, HEAD),
            At::Head if self.first => (Awaits::First, HEAD),
            At::Head => (Awaits::Next, IDLE),
            At::Length(_) | At::Chunked(..) => (Awaits::Body, BODY),
            At::Asked | At::Tunnel | At::Broken | At::Refused | At::Lingering => return Poll::Pending,
        };
        if self.awaits != awaits {
            // An empty line before a request is no request: it does not earn more time.
            // Nor does the next one: the wait goes on as the one for a head that it was.
            let same = self.awaits == Awaits::Head && matches!(awaits, Awaits::First | Awaits::Next);
            if !same {
                self.awaits = awaits;
                self.until = Instant::now() + limit;
            }
        }
        loop {
            ready!(poll_timer(&mut self.timer, self.until, cx));
            match awaits {
                Awaits::Head => {
                    self.refuse(TOO_SLOW);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Awaits::Body => {
                    self.at = At::Broken;
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, TOO_SLOW)));
                }
                // The timer is not set anew for every request: it looks when it has run out.
                Awaits::Next if self.answering.idle_since() + IDLE > Instant::now() => {
                    self.until = self.answering.idle_since() + IDLE;
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Something is to be written: 101 makes a tunnel of a request for one, any other answer none.
    fn writes(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        if matches!(self.at, At::Asked) {
            self.at = if bytes.starts_with(b"HTTP/1.1 101 ") { At::Tunnel } else { At::Head };
            // Nobody reads what has been held back unless it is told to.
            cx.waker().wake_by_ref();
        }
    }

    fn not_stalled<R>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALLED)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.held.clear();
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(more)) => {
                    self.lingered += more;
                    if self.lingered > LINGER_MOST {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending => return poll_timer(&mut self.timer, self.until, cx).map(Ok),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Threshold + Unpin> Write for Wire<S, T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        wire.writes(bytes, cx);
        let wrote = Pin::new(&mut wire.io).poll_write(cx, bytes);
        wire.not_stalled(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        wire.writes(slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| slice), cx);
        let wrote = Pin::new(&mut wire.io).poll_write_vectored(cx, slices);
        wire.not_stalled(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let flushed = Pin::new(&mut wire.io).poll_flush(cx);
        if flushed.is_ready() {
            wire.answering.flushed();
        }
        if wire.answers {
            // Whether the client takes that is another's question.
            return flushed;
        }
        wire.not_stalled(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.shut {
            return Poll::Ready(Ok(()));
        }
        if !matches!(wire.at, At::Lingering) {
            let shut = Pin::new(&mut wire.io).poll_shutdown(cx);
            ready!(wire.not_stalled(cx, shut))?;
            if matches!(wire.at, At::Head | At::Tunnel) && wire.held.is_empty() {
                wire.shut = true;
                return Poll::Ready(Ok(()));
            }
            wire.at = At::Lingering;
            wire.until = Instant::now() + LINGER;
        }
        ready!(wire.poll_linger(cx))?;
        wire.shut = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
