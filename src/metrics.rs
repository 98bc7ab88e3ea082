//! The watcher's numbers over HTTP, for Prometheus, on loopback alone.
//!
//! It is served in a thread of its own, and only where the policy asks for it. Nothing that is blocked
//! depends on it: whoever asks without end gets late answers, or none, and the watcher goes on.

mod answer;

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::status::Status;
use crate::status::prometheus::prometheus;
use crate::sys::clock::{self, Moment};

/// Connections at a time. Who comes when all are taken waits.
const MOST: usize = 16;
/// A connection lasts no longer, whatever it does.
const LONGEST: Duration = Duration::from_secs(3);
/// Between two connections: whoever knocks without end takes little of the processor.
const PACE: Duration = Duration::from_millis(10);
/// Until a port that somebody else had is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// The longest head, in bytes; the least that the library takes.
const HEAD: usize = 8192;
/// The most fields in it.
const FIELDS: usize = 64;
/// Answering takes little.
const STACK: usize = 1024 * 1024;

/// Follows the policy: listens where it says, and nowhere else.
#[derive(Debug)]
pub(crate) struct Metrics {
    statuses: watch::Receiver<Status>,
    listening: Option<Listening>,
    trouble: Option<String>,
    /// Where nothing could be served, and when that was.
    wanting: Option<(SocketAddr, Moment)>,
}

impl Metrics {
    /// Of this status. It does not listen yet.
    pub(crate) fn of(statuses: watch::Receiver<Status>) -> Self {
        Self { statuses, listening: None, trouble: None, wanting: None }
    }

    /// Listens there from now on, and nowhere else. Where that cannot be, it says why.
    pub(crate) fn follow(&mut self, wanted: Option<SocketAddr>, now: Moment) {
        self.trouble = None;
        self.wanting = None;
        if self.listening.as_ref().map(|listening| listening.wanted) == wanted {
            return;
        }
        self.listening = None;
        let Some(at) = wanted else { return };
        match Listening::start(at, self.statuses.clone()) {
            Ok(listening) => {
                tracing::info!(at = %listening.bound, "numbers for Prometheus");
                self.listening = Some(listening);
            }
            Err(cause) => {
                let why =
                    format!("metrics: nothing can be read at {at}, and nothing else depends on it: {cause}");
                tracing::warn!("{why}");
                self.trouble = Some(why);
                self.wanting = Some((at, now));
            }
        }
    }

    /// Whoever kept the port may have gone: tries again now and then. Whether anything changed.
    pub(crate) fn try_again(&mut self, now: Moment) -> bool {
        match self.wanting {
            Some((at, since)) if now.since(since) >= AGAIN => {
                self.follow(Some(at), now);
                self.trouble.is_none()
            }
            _ => false,
        }
    }

    /// Why nothing is served, though the policy asks for it.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// A thread that serves until this is dropped.
#[derive(Debug)]
struct Listening {
    wanted: SocketAddr,
    bound: SocketAddr,
    _ends: oneshot::Sender<()>,
}

impl Listening {
    fn start(wanted: SocketAddr, statuses: watch::Receiver<Status>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(wanted)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        let (ends, ended) = oneshot::channel();
        thread::Builder::new().name("metrics".to_owned()).stack_size(STACK).spawn(move || {
            // Made here: where there can be no thread, one that was made would end within the watcher's own.
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(cause) => return tracing::warn!(%cause, "numbers for Prometheus are not served"),
            };
            runtime.block_on(async {
                tokio::select! {
                    served = serve(listener, statuses) => {
                        if let Err(cause) = served {
                            tracing::warn!(%cause, "numbers for Prometheus are not served any more");
                        }
                    }
                    // Whether it is told or dropped is the same.
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self { wanted, bound, _ends: ends })
    }
}

async fn serve(listener: std::net::TcpListener, statuses: watch::Receiver<Status>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let seats = Arc::new(Semaphore::new(MOST));
    loop {
        // It is never closed.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let statuses = statuses.clone();
                tokio::spawn(async move {
                    let _ = timeout(LONGEST, connection(stream, statuses)).await;
                    drop(seat);
                });
            }
            Err(cause) => tracing::debug!(%cause, "a connection was not taken"),
        }
        sleep(PACE).await;
    }
}

/// One question, one answer.
async fn connection(stream: TcpStream, statuses: watch::Receiver<Status>) {
    let text = || {
        let now = clock::now();
        let status = statuses.borrow().at(now.moment).judged();
        prometheus(&status, now)
    };
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer::to(&request, text))));
    // Whoever goes away in between wants no answer.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .half_close(false)
        .header_read_timeout(None)
        .max_headers(FIELDS)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[cfg(test)]
mod tests;
