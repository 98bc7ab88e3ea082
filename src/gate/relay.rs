//! Bytes to and fro after a WebSocket's 101, for as long as they may.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use super::frames::{CLOSE, Frames};

/// One read, in bytes.
const READ: usize = 64 * 1024;
/// For the close frame of a socket that is cut.
const GOODBYE: Duration = Duration::from_millis(200);

thread_local! {
    /// All relays read through one buffer: one that waits holds no memory for it.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides were done, or one of them failed.
    Done,
    /// Nobody vouches any more.
    Cut,
}

/// One direction.
#[derive(Debug)]
struct Way {
    /// Read and not written yet.
    held: BytesMut,
    over: bool,
    flush: bool,
    /// Bytes written.
    passed: u64,
}

impl Way {
    fn new(held: BytesMut) -> Self {
        Self { held, over: false, flush: false, passed: 0 }
    }

    /// Moves what can be moved; ready when there is nothing more to come.
    fn poll<R, W>(
        &mut self,
        from: &mut R,
        to: &mut W,
        may: &impl Fn() -> bool,
        mut seen: impl FnMut(&[u8]),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while !self.held.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                seen(self.held.get(..count).unwrap_or_default());
                self.held.advance(count);
                self.passed += count as u64;
                self.flush = true;
            }
            if self.over {
                return Pin::new(&mut *to).poll_shutdown(cx);
            }
            // An empty buffer keeps no memory.
            self.held = BytesMut::new();
            let came = SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
                let came = buffer.filled();
                if came.is_empty() {
                    return Poll::Ready(Ok(None));
                }
                if !may() {
                    return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
                }
                let wrote = match Pin::new(&mut *to).poll_write(cx, came) {
                    Poll::Ready(count) => count?,
                    Poll::Pending => 0,
                };
                let (done, left) = came.split_at_checked(wrote).unwrap_or((came, &[]));
                seen(done);
                self.held.extend_from_slice(left);
                Poll::Ready(Ok(Some(wrote)))
            });
            match came {
                Poll::Ready(Ok(Some(wrote))) => {
                    self.passed += wrote as u64;
                    self.flush |= wrote > 0;
                }
                Poll::Ready(Ok(None)) => self.over = true,
                Poll::Ready(Err(failed)) => return Poll::Ready(Err(failed)),
                Poll::Pending => {
                    if self.flush {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Relays until either side is done or there is a cut; how it ended, and the bytes each way (from
/// the client, to the client). `ahead` is what each side sent before.
pub(crate) async fn relay<C, G>(
    mut client: C,
    mut gateway: G,
    ahead: (BytesMut, BytesMut),
    may: impl Fn() -> bool,
    mut cut: watch::Receiver<()>,
) -> (Ended, u64, u64)
where
    C: AsyncRead + AsyncWrite + Unpin,
    G: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = Frames::Between;
    let (mut up, mut down) = (Way::new(ahead.0), Way::new(ahead.1));
    let ended = {
        let moving = std::future::poll_fn(|cx| {
            let there = up.poll(&mut client, &mut gateway, &may, |_| (), cx);
            let back = down.poll(&mut gateway, &mut client, &may, |bytes| frames.advance(bytes), cx);
            match (there, back) {
                (Poll::Ready(Err(failed)), _) | (_, Poll::Ready(Err(failed))) => Poll::Ready(Err(failed)),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                // A WebSocket is over when the gateway has no more to say.
                (_, Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        });
        tokio::select! {
            biased;
            () = async { while may() && cut.changed().await.is_ok() {} } => Ended::Cut,
            moved = moving => match moved {
                Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => Ended::Cut,
                _ => Ended::Done,
            },
        }
    };
    if ended == Ended::Cut {
        // The client is told in the protocol's own way where that is possible, and cut in any case.
        let goodbye = async {
            if frames == Frames::Between && down.held.is_empty() {
                client.write_all(&CLOSE).await?;
            }
            client.shutdown().await
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
    (ended, up.passed, down.passed)
}

#[cfg(test)]
mod tests;
