//! A TCP connection that sends what is short in one piece.
//!
//! Most requests and answers are a head and a short body, in buffers of their own. To copy them together and to
//! `send(2)` them costs less than `writev(2)`, which the kernel has to put together itself (docs/measurements.md).

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is longer is not copied, in bytes.
const SHORT: usize = 4 * 1024;

thread_local! {
    /// Writes go through one buffer, so that a connection that waits holds none.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Such a connection.
#[derive(Debug)]
pub(crate) struct Gathering(pub(crate) TcpStream);

impl AsyncRead for Gathering {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gathering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.get_mut().0);
        if let [bytes] = slices {
            return stream.poll_write(cx, bytes);
        }
        if slices.iter().map(|slice| slice.len()).sum::<usize>() > SHORT {
            return stream.poll_write_vectored(cx, slices);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            for slice in slices {
                scratch.extend_from_slice(slice);
            }
            stream.poll_write(cx, scratch)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// What is sent in one go, and in which order it arrives.
    #[tokio::test]
    async fn slices_short_and_long_arrive_in_their_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut sender = Gathering(sender);
        let (mut receiver, _) = listener.accept().await.unwrap();
        let long = vec![b'l'; SHORT];
        for slices in [&[&b"head"[..], b"", b"body"][..], &[b"alone"], &[b"head", &long], &[]] {
            let all = slices.concat();
            let vectored: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let sent = poll_fn(|cx| Pin::new(&mut sender).poll_write_vectored(cx, &vectored)).await;
            assert_eq!(sent.unwrap(), all.len());
            let mut came = vec![0; all.len()];
            receiver.read_exact(&mut came).await.unwrap();
            assert_eq!(came, all);
        }
    }
}
