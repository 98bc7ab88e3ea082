//! Hands a request on to the gateway. There is no way to here without a permit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use super::body::{Download, Upload};
use super::fault::Fault;
use super::gather::Gathering;
use super::header::{self, Reached};
use super::page::Wants;
use super::standing::Standing;
use super::upstream::{Connection, Upstream, UpstreamError};

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

/// A request that was let in, as its head was read.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) standing: Rc<Standing>,
    /// When its head was there.
    pub(crate) begun: Instant,
    pub(crate) wants: Wants,
    /// It asks for a WebSocket, properly.
    pub(crate) socket: bool,
    /// `Authorization` is not the gate's own credential.
    pub(crate) keep_authorization: bool,
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

    fn begin(&self, now: Instant) {
        self.until.set(now + ANSWER);
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

/// The way to the gateway.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) upstream: Rc<Upstream>,
}

impl Forward {
    /// Forwards a request and waits for the answer's head, for as long as it stands.
    pub(crate) async fn send(
        &self,
        admitted: &Admitted,
        // In a box, for it is handed from future to future.
        mut request: Box<Request<Incoming>>,
        reached: Reached,
        patience: &Patience,
    ) -> Result<Delivered, Undelivered> {
        let Admitted { standing, socket, .. } = admitted;
        patience.begin(admitted.begun);
        // Whatever happened since it was admitted.
        if !standing.holds() {
            return Err(Undelivered::Cut);
        }
        let fault = Rc::new(Cell::new(None));
        prepare(&mut request, reached, *socket, admitted.keep_authorization);
        let mut delivering = pin!(self.deliver(request, &fault, standing, *socket));
        let answered = poll_fn(|cx| {
            // The connection's task is woken by every cut, and this runs within it.
            if !standing.is_uncut() {
                return Poll::Ready(Err(Undelivered::Cut));
            }
            match delivering.as_mut().poll(cx) {
                Poll::Ready(Ok(delivered)) => Poll::Ready(Ok(delivered)),
                Poll::Ready(Err(failed)) => Poll::Ready(Err(Undelivered::Upstream(failed))),
                Poll::Pending => patience.poll(cx).map(|()| Err(Undelivered::Upstream(UpstreamError::Late))),
            }
        });
        match answered.await {
            _ if !standing.holds() => Err(Undelivered::Cut),
            Err(Undelivered::Upstream(failed)) => {
                Err(fault.get().map_or(Undelivered::Upstream(failed), Undelivered::Fault))
            }
            other => other,
        }
    }

    async fn deliver(
        &self,
        request: Box<Request<Incoming>>,
        fault: &Rc<Cell<Option<Fault>>>,
        standing: &Rc<Standing>,
        socket: bool,
    ) -> Result<Delivered, UpstreamError> {
        let Connection { mut sender, kept } =
            if socket { Box::pin(self.upstream.fresh()).await? } else { self.upstream.connection().await? };
        let again = kept && request.body().is_end_stream();
        let sent = sender
            .try_send_request(request.map(|body| Upload::new(body, Rc::clone(standing), Rc::clone(fault))));
        let (sender, mut answer) = match sent.await {
            Ok(answer) => (sender, answer),
            // In a box: no request has to keep room for what hardly any needs.
            Err(failed) => Box::pin(self.deliver_anew(failed, again)).await?,
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
        let (upstream, standing) = (Rc::clone(&self.upstream), Rc::clone(standing));
        let mut answer = answer.map(|body| Download::new(body, keep, upstream, standing));
        answer.body_mut().begin_if_short().await?;
        Ok(Delivered::Answer(answer))
    }

    /// Delivers by a new connection what could not be sent by one that had died while it waited: nothing of the
    /// request was sent then.
    async fn deliver_anew(
        &self,
        mut failed: TrySendError<Request<Upload>>,
        again: bool,
    ) -> Result<(SendRequest<Upload>, Response<Incoming>), UpstreamError> {
        let request = failed.take_message().filter(|_| again);
        let Some(request) = request else { return Err(failed.into_error().into()) };
        let Connection { mut sender, .. } = self.upstream.fresh().await?;
        let answer = sender.try_send_request(request).await.map_err(TrySendError::into_error)?;
        Ok((sender, answer))
    }
}

/// Makes the head of a client's request into that of the gate's.
fn prepare<B>(request: &mut Request<B>, reached: Reached, socket: bool, keep_authorization: bool) {
    let headers = request.headers_mut();
    header::to_gateway(headers, reached, keep_authorization);
    if socket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().clear();
    // A target in absolute form becomes a path; its authority was that of Host.
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
}

/// The socket of an upgraded connection to the gateway, and what it sent ahead.
pub(crate) async fn gateway_socket(upgrade: OnUpgrade) -> Option<(TcpStream, BytesMut)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Gathering>>().ok()?;
    Some((parts.io.into_inner().0, BytesMut::from(&parts.read_buf[..])))
}
