//! The answer that whoever comes to a taken port gets.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// As much of a request is read before it is answered, in bytes.
const REQUEST: usize = 8 * 1024;

/// As long is waited for a request.
const PATIENCE: Duration = Duration::from_secs(2);

/// As much is read after the answer, so that it is not lost to a reset while the client still sends.
const REST: u64 = 64 * 1024;

/// As long is waited for the client to have read it.
const PARTING: Duration = Duration::from_millis(500);

/// After the system would not accept, so that it does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// The body has 20 bytes.
const BLOCKED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 20\r\n\
    Retry-After: 60\r\n\
    Cache-Control: no-store\r\n\
    X-Guardian: blocked\r\n\
    Connection: close\r\n\
    \r\n\
    blocked by guardian\n";

/// Answers every connection, until it is aborted; its connections end with it. Those for which there
/// is no room are closed at once.
pub(super) async fn answer(listener: TcpListener, room: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        match (accepted, Arc::clone(&room).try_acquire_owned()) {
            (Ok((stream, _)), Ok(place)) => {
                open.spawn(async move {
                    refuse(stream).await;
                    drop(place);
                });
            }
            (Ok(_), Err(_)) => {}
            (Err(_), _) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Hears a request out as far as it matters, and answers. What the client does about it is its own
/// affair.
async fn refuse(mut stream: TcpStream) {
    let _ = tokio::time::timeout(PATIENCE, hear(&mut stream)).await;
    let part = async {
        stream.write_all(BLOCKED).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(REST), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(PARTING, part).await;
}

/// Reads to the empty line at the end of the header (RFC 9112, section 2.1), or as far as it goes.
async fn hear(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = [0_u8; REQUEST];
    let mut length = 0;
    while let Some(free) = request.get_mut(length..).filter(|free| !free.is_empty()) {
        let read = stream.read(free).await?;
        // The end may have been split between two reads.
        let unseen = length.saturating_sub(3);
        length += read;
        let ended =
            request.get(unseen..length).is_some_and(|new| new.windows(4).any(|end| end == b"\r\n\r\n"));
        if read == 0 || ended {
            break;
        }
    }
    Ok(())
}
