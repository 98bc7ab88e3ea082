//! Questions to and answers from the kernel's socket table: `NETLINK_SOCK_DIAG`, `sock_diag(7)`.
//!
//! Pure functions over bytes. Numbers are in the host's byte order, ports and addresses in the
//! network's. Layouts are those of `linux/netlink.h` and `linux/inet_diag.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fields::{array_at, port_at, u16_at, u32_at};
use super::socket::{Socket, State, end};

/// A set of TCP states, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States(u32);

impl States {
    /// Listeners. With this alone the kernel walks its table of listeners and leaves the much
    /// larger table of connections alone.
    pub const LISTEN: Self = Self(1 << TCP_LISTEN);
    /// Connections on which data can still flow in some direction.
    pub const CONNECTED: Self =
        Self(1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT);
}

/// Why an answer is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The kernel refuses, with this error number.
    Refused(i32),
    /// The table changed while it was read, or part of the answer was lost: ask again.
    Interrupted,
    /// The bytes make no sense.
    Malformed(&'static str),
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More batches follow.
    More,
    /// The kernel has said that this was all.
    Done,
}

const TCP_ESTABLISHED: u8 = 1;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_FIN_WAIT2: u8 = 5;
const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LISTEN: u8 = 10;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
/// The older of two questions. `SOCK_DIAG_BY_FAMILY` has one family answered at a time, and the
/// kernel's tables, which grow with its memory, walked once for each; this one has both answered in
/// one walk (`inet_diag_dump_compat` in `net/ipv4/inet_diag.c`).
const TCPDIAG_GETSOCK: u16 = 18;

/// `AF_INET`.
const V4: u8 = 2;
/// `AF_INET6`, IPv4-mapped sockets included.
const V6: u8 = 10;

const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// Never asked for: the kernel adds it to every IPv6 listener by itself, and the bits of
/// `idiag_ext` end at attribute 8.
const INET_DIAG_SKV6ONLY: u16 = 11;

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct inet_diag_req`, and where the states begin in it.
const REQUEST: usize = 60;
const STATES: usize = 52;
/// Bytes of `struct inet_diag_msg`.
const MESSAGE: usize = 72;

/// A request for all TCP sockets of both families in some states.
///
/// `filter` is a program as [`port_filter`](crate::peers::port_filter) builds it; empty lets
/// everything pass.
#[must_use]
pub fn request(states: States, filter: &[u8], sequence: u32) -> Vec<u8> {
    let attribute = if filter.is_empty() { 0 } else { 4 + filter.len() };
    let length = HEADER + REQUEST + attribute;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(TCPDIAG_GETSOCK.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    // No family, and a socket id of zeroes, for this is a list and not a look-up.
    bytes.resize(HEADER + STATES, 0);
    bytes.extend(states.0.to_ne_bytes());
    bytes.resize(HEADER + REQUEST, 0);
    if !filter.is_empty() {
        bytes.extend(u16::try_from(attribute).unwrap_or(u16::MAX).to_ne_bytes());
        bytes.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
        bytes.extend(filter);
    }
    bytes
}

/// Reads one batch of an answer and hands over its sockets.
pub fn read_batch(batch: &[u8], sequence: u32, mut each: impl FnMut(Socket)) -> Result<Progress, Fault> {
    if batch.is_empty() {
        return Err(Fault::Malformed("an empty batch"));
    }
    let mut rest = batch;
    while !rest.is_empty() {
        let message = Message::read(rest).ok_or(Fault::Malformed("a message longer than its batch"))?;
        if message.sequence != sequence {
            return Err(Fault::Malformed("an answer to another question"));
        }
        if message.flags & NLM_F_DUMP_INTR != 0 {
            return Err(Fault::Interrupted);
        }
        match message.kind {
            NLMSG_NOOP => {}
            TCPDIAG_GETSOCK => each(socket(message.body)?),
            // A dump that fails on its way ends with its error in the closing message.
            NLMSG_DONE => return refusal(message.body).map_or(Ok(Progress::Done), Err),
            NLMSG_ERROR => return Err(refusal(message.body).unwrap_or(Fault::Malformed("an empty error"))),
            NLMSG_OVERRUN => return Err(Fault::Interrupted),
            _ => return Err(Fault::Malformed("a message of an unknown type")),
        }
        rest = rest.get(message.span..).unwrap_or_default();
    }
    Ok(Progress::More)
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
    /// Bytes up to the next message.
    span: usize,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        Some(Self {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
            span: length.next_multiple_of(4),
        })
    }
}

/// The error of an error or closing message: a negative number.
fn refusal(body: &[u8]) -> Option<Fault> {
    let error = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    (error < 0).then(|| Fault::Refused(error.saturating_neg()))
}

fn socket(body: &[u8]) -> Result<Socket, Fault> {
    let v6_only = v6_only(body.get(MESSAGE..).unwrap_or_default())?;
    read_socket(body, v6_only).ok_or(Fault::Malformed("a socket cut short, or of an unknown family"))
}

fn read_socket(body: &[u8], v6_only: bool) -> Option<Socket> {
    let [family, state, ..] = *body else { return None };
    let device = u32_at(body, 40)?;
    let own = address(family, body, 8)?;
    let local = end(own, port_at(body, 4)?, device);
    let remote = end(address(family, body, 24)?, port_at(body, 6)?, device);
    let state = match state {
        TCP_LISTEN => State::Listen,
        TCP_ESTABLISHED => State::Established,
        TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSE_WAIT => State::HalfClosed,
        _ => State::Other,
    };
    Some(Socket {
        local,
        remote,
        state,
        dual_stack: state == State::Listen && own == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !v6_only,
        device,
        uid: Some(u32_at(body, 64)?),
        id: u64::from(u32_at(body, 68)?),
    })
}

/// Whether the attributes say `IPV6_V6ONLY`. Where they say nothing the socket counts as taking
/// IPv4 too: the wider reading.
fn v6_only(mut attributes: &[u8]) -> Result<bool, Fault> {
    const CUT: Fault = Fault::Malformed("an attribute longer than its message");
    let mut v6_only = false;
    while !attributes.is_empty() {
        let length = usize::from(u16_at(attributes, 0).ok_or(CUT)?);
        let kind = u16_at(attributes, 2).ok_or(CUT)?;
        let value = attributes.get(4..length).ok_or(CUT)?;
        if kind == INET_DIAG_SKV6ONLY {
            v6_only = *value.first().ok_or(CUT)? != 0;
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(v6_only)
}

fn address(family: u8, body: &[u8], at: usize) -> Option<IpAddr> {
    if family == V4 {
        Some(Ipv4Addr::from(array_at::<4>(body, at)?).into())
    } else if family == V6 {
        Some(Ipv6Addr::from(array_at::<16>(body, at)?).into())
    } else {
        None
    }
}

#[cfg(test)]
#[path = "sock_diag/tests.rs"]
mod tests;
