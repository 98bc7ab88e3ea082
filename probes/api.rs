//! What a program of this host says of itself: one question to its own API, over a connection that is there.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{Either, select};
use guardian_rules::blindness::{Blindness, Cause};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::USER_AGENT;

pub(crate) mod doors;

/// How long a connection to this very host may take.
const CONNECT: Duration = Duration::from_millis(500);

/// How long a whole answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Bytes of an answer's head, and of its body.
const HEAD: usize = 64 * 1024;
const BODY: usize = 1024 * 1024;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// As the server knows itself.
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// The value of an `Authorization` field. It is a secret.
    pub(crate) authorization: Option<&'a str>,
}

/// Asks; anything but a whole `200` is an error, which says nothing of what was answered.
pub(crate) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: Question<'_>,
) -> Result<Vec<u8>, Blindness> {
    match timeout(ANSWER, exchange(stream, question)).await {
        Ok(answer) => answer,
        Err(_) => Err(Blindness::timed_out(format!("no answer to {} within {ANSWER:?}", question.path))),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: Question<'_>,
) -> Result<Vec<u8>, Blindness> {
    let failed = |failure: hyper::Error| {
        Blindness::new(Cause::Interrupted, format!("no answer to {}: {failure}", question.path))
    };
    let mut request = Request::get(question.path)
        .header(header::HOST, question.host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close");
    if let Some(secret) = question.authorization {
        request = request.header(header::AUTHORIZATION, secret);
    }
    let request = request.body(String::new()).map_err(|failure| Blindness::malformed(failure.to_string()))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake::<_, String>(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => read(response.into_body()).await.map_err(failed)?.ok_or_else(|| {
                Blindness::new(Cause::TooMuch, format!("the answer to {} has no end", question.path))
            }),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(Blindness::denied(format!("{} is refused ({})", question.path, status.as_u16())))
            }
            status => {
                Err(Blindness::malformed(format!("{} is answered with {}", question.path, status.as_u16())))
            }
        }
    };
    match select(pin!(answer), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

/// The whole body; none if it is longer than it may be.
async fn read(mut body: Incoming) -> hyper::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > BODY {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

/// Connects to an address of this host, from that very address where it is not loopback.
pub(crate) async fn connect(at: SocketAddr) -> Result<TcpStream, Blindness> {
    let connected = async {
        let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = crate::ask::source(at) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(at).await
    };
    match timeout(CONNECT, connected).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(failure)) => {
            Err(Blindness::new(Cause::Interrupted, format!("{at} cannot be asked: {failure}")))
        }
        Err(_) => Err(Blindness::timed_out(format!("{at} does not accept within {CONNECT:?}"))),
    }
}

/// Asks an address of this host.
pub(crate) async fn ask(at: SocketAddr, path: &str) -> Result<Vec<u8>, Blindness> {
    let host = at.to_string();
    get(connect(at).await?, Question { host: &host, path, authorization: None }).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What comes of an answer, and what was asked.
    async fn answered(answer: Vec<u8>) -> (Result<Vec<u8>, Blindness>, String) {
        let (own, mut other) = tokio::io::duplex(4096);
        let question = Question { host: "local-tailscaled.sock", path: "/config", authorization: Some("s") };
        let server = tokio::spawn(async move {
            let mut asked = vec![0; 4096];
            let length = other.read(&mut asked).await.unwrap();
            let _ = other.write_all(&answer).await;
            asked.truncate(length);
            String::from_utf8(asked).unwrap()
        });
        let heard = get(own, question).await;
        (heard, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_question_says_who_asks_and_gets_its_answer() {
        let (heard, asked) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull".to_vec()).await;
        assert_eq!(heard.unwrap(), b"null");
        assert!(asked.starts_with("GET /config HTTP/1.1\r\n"), "{asked}");
        for field in ["host: local-tailscaled.sock", &format!("user-agent: {USER_AGENT}"), "authorization: s"]
        {
            assert!(asked.contains(field), "{asked}");
        }
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec();
        assert_eq!(answered(chunked).await.0.unwrap(), b"{}");
        let until_the_end = b"HTTP/1.0 200 OK\r\n\r\n{}".to_vec();
        assert_eq!(answered(until_the_end).await.0.unwrap(), b"{}");
    }

    #[tokio::test]
    async fn anything_else_is_an_error_and_repeats_nothing() {
        let cause = |answer: &str| {
            let answer = answer.as_bytes().to_vec();
            async {
                let why = answered(answer).await.0.unwrap_err();
                assert!(!why.detail.contains("all is well"), "{why}");
                why.cause
            }
        };
        let body = "Content-Length: 11\r\n\r\nall is well";
        assert_eq!(cause(&format!("HTTP/1.1 403 all is well\r\n{body}")).await, Cause::Denied);
        assert_eq!(cause(&format!("HTTP/1.1 404 all is well\r\n{body}")).await, Cause::Malformed);
        assert_eq!(
            cause(&format!("HTTP/1.1 302 Found\r\nLocation: /all is well\r\n{body}")).await,
            Cause::Malformed
        );
        assert_eq!(
            cause("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall is well").await,
            Cause::Interrupted
        );
        assert_eq!(cause("all is well").await, Cause::Interrupted);
        assert_eq!(cause("").await, Cause::Interrupted);
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 3 * BODY]].concat();
        assert_eq!(answered(endless).await.0.unwrap_err().cause, Cause::TooMuch);
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 3 * HEAD]].concat();
        assert!(answered(endless).await.0.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        let (own, _other) = tokio::io::duplex(4096);
        let question = Question { host: "x", path: "/config", authorization: None };
        assert_eq!(get(own, question).await.unwrap_err().cause, Cause::TimedOut);
    }
}
