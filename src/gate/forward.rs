//! Hands a request on to the gateway. There is no way to here without a permit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use super::admit::Permit;
use super::body::{Download, Upload};
use super::fault::Fault;
use super::header::{self, Reached};
use super::upstream::{Connection, Upstream, UpstreamError};
use super::vouching::Vouching;

/// An answer begins within this time: an agent may think for long.
const ANSWER: Duration = Duration::from_mins(10);

/// Why a request that was admitted has no answer of the gateway's.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// Nobody vouches any more.
    Cut,
    /// The client's body was at fault.
    Fault(Fault),
    /// The gateway was.
    Upstream(UpstreamError),
}

/// The gateway's answer.
pub(crate) enum Delivered {
    /// One with a body.
    Answer(Response<Download>),
    /// A WebSocket: the head of the answer, and the connection when it is one.
    Socket(Response<()>, OnUpgrade),
}

/// How long the answers of one connection may take to begin. One timer serves all of them: it is set
/// anew when it has run out, and not for every request.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Cell<Instant>,
    timer: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { until: Cell::new(Instant::now()), timer: RefCell::new(None) }
    }

    fn begin(&self) {
        self.until.set(Instant::now() + ANSWER);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get();
        let mut timer = self.timer.borrow_mut();
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

/// What a forward needs beside the request.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) vouching: Rc<Vouching>,
}

impl Forward {
    /// Forwards a request and waits for the answer's head, for as long as the watcher vouches.
    pub(crate) async fn send(
        &self,
        permit: Permit,
        request: Request<Incoming>,
        reached: Reached,
        socket: bool,
        keep_authorization: bool,
        patience: &Patience,
    ) -> Result<Delivered, Undelivered> {
        patience.begin();
        let cuts = self.vouching.count();
        // Whatever happened since it was admitted.
        if !permit.lease().is_live(crate::sys::clock::moment()) {
            return Err(Undelivered::Cut);
        }
        let fault = Rc::new(Cell::new(None));
        let request = self.prepare(request, reached, socket, keep_authorization, &fault);
        let cut = || self.vouching.count() != cuts || self.vouching.for_client(reached.remote).is_none();
        let mut delivering = pin!(self.deliver(request, reached.remote, socket));
        let answered = poll_fn(|cx| {
            // The connection's task is woken by every cut, and this runs within it.
            if self.vouching.count() != cuts {
                return Poll::Ready(Err(Undelivered::Cut));
            }
            match delivering.as_mut().poll(cx) {
                Poll::Ready(Ok(delivered)) => Poll::Ready(Ok(delivered)),
                Poll::Ready(Err(failed)) => Poll::Ready(Err(Undelivered::Upstream(failed))),
                Poll::Pending => patience.poll(cx).map(|()| Err(Undelivered::Upstream(UpstreamError::Late))),
            }
        });
        match answered.await {
            _ if cut() => Err(Undelivered::Cut),
            Err(Undelivered::Upstream(failed)) => {
                Err(fault.get().map_or(Undelivered::Upstream(failed), Undelivered::Fault))
            }
            other => other,
        }
    }

    fn prepare(
        &self,
        request: Request<Incoming>,
        reached: Reached,
        socket: bool,
        keep_authorization: bool,
        fault: &Rc<Cell<Option<Fault>>>,
    ) -> Request<Upload> {
        let (mut parts, body) = request.into_parts();
        header::to_gateway(&mut parts.headers, reached, keep_authorization);
        if socket {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        // A target in absolute form becomes a path; its authority was that of Host.
        if parts.uri.authority().is_some() {
            let path = parts.uri.path_and_query().cloned();
            parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        }
        let upload = Upload::new(body, Rc::clone(&self.vouching), reached.remote, Rc::clone(fault));
        Request::from_parts(parts, upload)
    }

    async fn deliver(
        &self,
        request: Request<Upload>,
        remote: IpAddr,
        socket: bool,
    ) -> Result<Delivered, UpstreamError> {
        let Connection { mut sender, kept } =
            if socket { self.upstream.fresh().await? } else { self.upstream.connection().await? };
        let again = kept && request.body().is_end_stream();
        let mut answer = match sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut failed) => match failed.take_message() {
                // It had died while it waited, and nothing of the request was sent.
                Some(request) if again => {
                    let Connection { sender: fresh, .. } = self.upstream.fresh().await?;
                    sender = fresh;
                    sender.try_send_request(request).await.map_err(TrySendError::into_error)?
                }
                _ => return Err(failed.into_error().into()),
            },
        };
        header::to_client(answer.headers_mut());
        if socket && answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgrade = hyper::upgrade::on(&mut answer);
            return Ok(Delivered::Socket(answer.map(|_| ()), upgrade));
        }
        if answer.status().is_informational() {
            return Err(UpstreamError::Unasked);
        }
        let keep = (!socket).then_some(sender);
        let (upstream, vouching) = (Rc::clone(&self.upstream), Rc::clone(&self.vouching));
        Ok(Delivered::Answer(answer.map(|body| Download::new(body, keep, upstream, vouching, remote))))
    }
}

/// The socket of an upgraded connection to the gateway, and what it sent ahead.
pub(crate) async fn gateway_socket(upgrade: OnUpgrade) -> Option<(TcpStream, BytesMut)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), BytesMut::from(&parts.read_buf[..])))
}
