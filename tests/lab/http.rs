//! Plain HTTP, said by hand: what a stranger gets when he asks.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use crate::host::Host;

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// Asks from a host. `request` is the request line without the protocol: `GET /`.
pub(crate) fn ask(from: &Host, at: SocketAddr, request: &str, headers: &[&str]) -> io::Result<Answer> {
    let mut stream = from.connect(at)?;
    let mut text = format!("{request} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    if request.starts_with("POST") {
        text.push_str("Content-Length: 0\r\n");
    }
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    (&stream).take(1 << 20).read_to_end(&mut answer)?;
    // A child that another test is just starting may hold a copy of it for a while.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.map(|status| Answer { status, text }).ok_or_else(|| io::Error::other("not HTTP"))
}

/// What the gateway behind an address says to a call without credentials: 400 is open, 401 is not.
pub(crate) fn call(from: &Host, at: SocketAddr) -> io::Result<u16> {
    ask(from, at, "POST /tools/invoke", &[]).map(|answer| answer.status)
}
