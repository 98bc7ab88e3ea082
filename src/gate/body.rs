//! Bodies on their way: a client's to the gateway, an answer's to the client. Both stop when the
//! watcher stops vouching.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use tokio::sync::mpsc;

use super::fault::Fault;
use super::standing::Standing;
use super::upstream::Upstream;

/// A body no longer than this leaves with its head, in bytes: both fit into one packet.
const SHORT: u64 = 1024 + 256;

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Nobody vouches for the gateway any more.
    #[error("nobody vouches for the gateway any more")]
    Cut,
    /// The other side failed.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// It cannot happen.
    #[error(transparent)]
    Never(#[from] Infallible),
}

/// What a client sends along with its request.
#[derive(Debug)]
pub(crate) struct Upload {
    inner: Incoming,
    standing: Rc<Standing>,
    /// Set where what it sent was framed wrongly or came too slowly.
    fault: Rc<Cell<Option<Fault>>>,
}

impl Upload {
    pub(crate) fn new(inner: Incoming, standing: Rc<Standing>, fault: Rc<Cell<Option<Fault>>>) -> Self {
        Self { inner, standing, fault }
    }
}

/// The fault behind an error of the HTTP library.
fn fault_of(error: &hyper::Error) -> Option<Fault> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(*fault);
        }
        cause = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        loop {
            let frame = match ready!(Pin::new(&mut body.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
                Some(Err(failed)) => {
                    body.fault.set(fault_of(&failed).or(Some(Fault::malformed("the body ends early"))));
                    return Poll::Ready(Some(Err(failed.into())));
                }
            };
            if !body.standing.holds() {
                return Poll::Ready(Some(Err(BodyError::Cut)));
            }
            // Trailers could say what no header may.
            if frame.is_data() {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a client gets.
pub(crate) enum Answer {
    /// A page of the gate's own.
    Own(Full<Bytes>),
    /// What the gateway answers.
    Forwarded(Download),
    /// Lines that come one after another.
    Events(mpsc::Receiver<Bytes>),
}

/// What the gateway answers; its connection is kept when that has been read to its end.
pub(crate) struct Download {
    inner: Incoming,
    /// What was read of it already.
    begun: Option<Frame<Bytes>>,
    sender: Option<SendRequest<Upload>>,
    upstream: Rc<Upstream>,
    standing: Rc<Standing>,
    over: bool,
}

impl Download {
    pub(crate) fn new(
        inner: Incoming,
        sender: Option<SendRequest<Upload>>,
        upstream: Rc<Upstream>,
        standing: Rc<Standing>,
    ) -> Self {
        Self { inner, begun: None, sender, upstream, standing, over: false }
    }

    /// Waits for the beginning of a body that is short by its own word: a head that leaves alone costs its reader a
    /// wake-up more (docs/measurements.md). What is long, or comes bit by bit, is not waited for.
    pub(crate) async fn begin_if_short(&mut self) -> Result<(), hyper::Error> {
        if self.inner.size_hint().exact().is_some_and(|length| (1..=SHORT).contains(&length)) {
            self.begun = poll_fn(|cx| Pin::new(&mut self.inner).poll_frame(cx)).await.transpose()?;
        }
        Ok(())
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.begun.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let rest = self.inner.size_hint();
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(begun + rest),
            // Only what has a length is begun.
            None => rest,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let next = match self.begun.take() {
                Some(begun) => Some(Ok(begun)),
                None => ready!(Pin::new(&mut self.inner).poll_frame(cx)),
            };
            let frame = match next {
                None => {
                    self.over = true;
                    return Poll::Ready(None);
                }
                Some(frame) => frame?,
            };
            if !self.standing.holds() {
                return Poll::Ready(Some(Err(BodyError::Cut)));
            }
            if frame.is_data() {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take()
            && (self.over || self.inner.is_end_stream())
        {
            self.upstream.keep(sender);
        }
    }
}

/// An answer and what happens when it has been given, or nobody takes it any more.
pub(crate) struct Reply<E: FnOnce(u64)> {
    answer: Answer,
    sent: u64,
    end: Option<E>,
}

impl<E: FnOnce(u64)> Reply<E> {
    /// `end` gets the number of bytes that were sent.
    pub(crate) fn new(answer: Answer, end: E) -> Self {
        Self { answer, sent: 0, end: Some(end) }
    }
}

impl<E: FnOnce(u64) + Unpin> Body for Reply<E> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let reply = self.get_mut();
        let frame = match &mut reply.answer {
            Answer::Own(page) => {
                ready!(Pin::new(page).poll_frame(cx)).map(|frame| frame.map_err(BodyError::from))
            }
            Answer::Forwarded(download) => ready!(download.poll(cx)),
            Answer::Events(lines) => ready!(lines.poll_recv(cx)).map(|line| Ok(Frame::data(line))),
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            reply.sent += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Own(page) => page.is_end_stream(),
            Answer::Forwarded(download) => download.begun.is_none() && download.inner.is_end_stream(),
            Answer::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Own(page) => page.size_hint(),
            Answer::Forwarded(download) => download.size_hint(),
            Answer::Events(_) => SizeHint::new(),
        }
    }
}

impl<E: FnOnce(u64)> Drop for Reply<E> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end(self.sent);
        }
    }
}
