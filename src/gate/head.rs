//! The head of a request, read byte by byte before the HTTP library sees it.
//!
//! A library that is lenient, and a gateway that is lenient in another way, disagree about where a
//! request ends: that is how one is smuggled inside another. Here a head is either plain (RFC 9112
//! to the letter, and one way of framing its body) or refused.

use super::fault::Fault;
use super::identity::is_identity;
use super::octet::{all, is_target, is_text, is_token};

/// The longest head, in bytes.
pub(crate) const LONGEST: usize = 32 * 1024;
/// The longest target, in bytes.
const LONGEST_TARGET: usize = 8 * 1024;
/// The most fields.
const MOST_FIELDS: usize = 100;

/// A plain head, as far as the gate itself goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    /// The target's, without a query.
    pub(crate) path: &'a str,
    pub(crate) framing: Framing,
    /// The client may ask again on this connection.
    pub(crate) stays: bool,
    pub(crate) said: Said<'a>,
}

/// What the fields say of who asks, and for what. A value that is no text is none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    pub(crate) host: &'a str,
    /// One that is no text is `?`: it is there, and nobody's.
    pub(crate) origin: Option<&'a str>,
    pub(crate) authorization: Option<&'a str>,
    /// `Guardian-Token`.
    pub(crate) token: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    /// The first, if there are several.
    pub(crate) accept: Option<&'a str>,
    /// `Service-Worker` is there.
    pub(crate) worker: bool,
    /// Somebody passes another's request on.
    pub(crate) proxied: bool,
}

/// What the rest of the connection depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// What follows the head.
    pub(crate) body: Body,
    /// The client asks for a WebSocket, properly.
    pub(crate) upgrade: bool,
}

/// How a body is framed (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// How much of a head is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It is not complete; this many bytes need not be looked at again.
    Part(usize),
    /// It is complete and so long, its closing empty line included.
    Whole(usize),
}

/// Looks for the end of a head that begins at the beginning of `bytes`, from `seen` on.
pub(crate) fn extent(bytes: &[u8], seen: usize) -> Result<Extent, Fault> {
    let mut from = seen;
    while let Some(at) = bytes.get(from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let end = from + at + 1;
        let before = bytes.get(..end).unwrap_or_default();
        if !before.ends_with(b"\r\n") {
            return Err(Fault::malformed("a line ends without a carriage return"));
        }
        if end > LONGEST {
            return Err(TOO_LONG);
        }
        if before.ends_with(b"\r\n\r\n") {
            return Ok(Extent::Whole(end));
        }
        from = end;
    }
    if bytes.len() > LONGEST {
        let first_line = from == 0;
        return Err(if first_line { TARGET_TOO_LONG } else { TOO_LONG });
    }
    Ok(Extent::Part(from))
}

const TOO_LONG: Fault = Fault::new(431, "the head is too long");
const TARGET_TOO_LONG: Fault = Fault::new(414, "the target is too long");

/// Reads a complete head, its closing empty line included.
pub(crate) fn read(head: &[u8]) -> Result<Head<'_>, Fault> {
    let mut lines = head.strip_suffix(b"\r\n").ok_or(Fault::malformed("the head does not end"))?;
    let line = Line::read(next(&mut lines)?.ok_or(Fault::malformed("there is no request line"))?)?;
    let (mut fields, mut count) = (Fields::default(), 0);
    while let Some(field) = next(&mut lines)? {
        if count == MOST_FIELDS {
            return Err(Fault::new(431, "too many fields"));
        }
        fields.take(field)?;
        count += 1;
    }
    let framing = fields.framing(line)?;
    let stays = line.new && !fields.connection.close;
    Ok(Head { method: line.method, path: line.path, framing, stays, said: fields.said })
}

/// Takes the first of some lines out of them, without its end; none if none is left.
fn next<'a>(lines: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    if lines.is_empty() {
        return Ok(None);
    }
    let end = memchr::memchr(b'\n', lines).and_then(|end| lines.split_at_checked(end + 1));
    let split = end.and_then(|(line, rest)| Some((line.strip_suffix(b"\r\n")?, rest)));
    let (line, rest) = split.ok_or(Fault::malformed("a line ends without a carriage return"))?;
    *lines = rest;
    Ok(Some(line))
}

/// The request line.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    method: &'a str,
    path: &'a str,
    new: bool,
    /// Of a target in absolute form.
    authority: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Result<Self, Fault> {
        const SHAPE: Fault = Fault::malformed("the request line is not METHOD TARGET HTTP/1.1");
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SHAPE);
        };
        if method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) {
            return Err(Fault::malformed("the method is not in capitals"));
        }
        let new = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ if version.starts_with(b"HTTP/") => {
                return Err(Fault::new(505, "neither HTTP/1.1 nor HTTP/1.0"));
            }
            _ => return Err(SHAPE),
        };
        let method = match method {
            b"GET" => "GET",
            b"HEAD" => "HEAD",
            b"POST" => "POST",
            b"PUT" => "PUT",
            b"PATCH" => "PATCH",
            b"DELETE" => "DELETE",
            b"OPTIONS" => "OPTIONS",
            b"TRACE" | b"CONNECT" => return Err(Fault::new(405, "the method is never allowed")),
            _ => return Err(Fault::new(501, "the method is not known")),
        };
        if target.len() > LONGEST_TARGET {
            return Err(TARGET_TOO_LONG);
        }
        if !all(target, is_target) {
            return Err(Fault::malformed("the target holds what no target may hold"));
        }
        let (authority, path) = if target.starts_with(b"/") {
            (None, target)
        } else {
            let (authority, path) = absolute(target).ok_or(Fault::malformed("the target is no path"))?;
            (Some(authority), path)
        };
        let path = path.split(|byte| *byte == b'?').next().and_then(text).unwrap_or_default();
        if !is_encoded(path) {
            return Err(Fault::malformed("the path holds a percent sign that encodes nothing"));
        }
        Ok(Self { method, path, new, authority })
    }
}

/// A value as text, if it is nothing but that.
fn text(value: &[u8]) -> Option<&str> {
    value.is_ascii().then(|| std::str::from_utf8(value).ok()).flatten()
}

/// Whether every percent sign begins an encoded byte (RFC 3986, 2.1): servers read any other in ways of their
/// own. In a query nobody reads it before the application does.
fn is_encoded(path: &str) -> bool {
    memchr::memchr_iter(b'%', path.as_bytes()).all(|at| {
        let rest = path.as_bytes().get(at + 1..).unwrap_or_default();
        rest.first_chunk::<2>().is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The authority of a target in absolute form, and the rest (RFC 9112, 3.2.2).
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    rest.split_at_checked(end).filter(|(authority, _)| !authority.is_empty())
}

/// The fields that bear on framing and on who asks. A field that may be there once may be there once.
#[derive(Debug, Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    connection: Connection,
    websocket: bool,
    key: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    said: Said<'a>,
    /// Those that are refused when they come twice: a bit each.
    seen: u16,
}

/// What the field of this name says.
#[derive(Debug, Default)]
struct Connection {
    upgrade: bool,
    close: bool,
}

/// Fields that decide something here or at the gateway, and that no client sends twice.
const ONCE: [&[u8]; 13] = [
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"authorization",
    b"guardian-token",
    b"origin",
    b"cookie",
    b"upgrade",
    b"expect",
    b"content-type",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"sec-fetch-site",
];

impl<'a> Fields<'a> {
    fn take(&mut self, line: &'a [u8]) -> Result<(), Fault> {
        let Some(colon) = memchr::memchr(b':', line) else {
            return Err(Fault::malformed("a field has no colon"));
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() || !all(name, is_token) {
            return Err(Fault::malformed("a field's name is none"));
        }
        if !all(value, is_text) {
            return Err(Fault::malformed("a field holds a control character"));
        }
        let value = value.trim_ascii();
        let Some(which) = ONCE.iter().position(|known| name.eq_ignore_ascii_case(known)) else {
            return self.take_other(name, value);
        };
        if self.seen & (1 << which) != 0 {
            return Err(Fault::malformed("a field that may be there once is there twice"));
        }
        self.seen |= 1 << which;
        match which {
            0 => {
                self.host = Some(value);
                self.said.host = text(value).unwrap_or_default();
            }
            1 => self.length = Some(length(value)?),
            2 => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::new(501, "a transfer coding other than chunked"));
                }
                self.chunked = true;
            }
            3 => self.said.authorization = text(value),
            4 => self.said.token = text(value),
            5 => self.said.origin = text(value).or(Some("?")),
            6 => self.said.cookie = text(value),
            7 => self.websocket = value.eq_ignore_ascii_case(b"websocket"),
            8 if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Fault::new(417, "an expectation other than 100-continue"));
            }
            10 => self.key = Some(value),
            11 => self.version = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// One that may be there more than once.
    fn take_other(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Fault> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"connection") {
            self.connection.take(value)?;
        } else if is(b"accept") {
            self.said.accept = self.said.accept.or(text(value));
        } else if is(b"service-worker") {
            self.said.worker = true;
        } else if is_identity(name) {
            self.said.proxied = true;
        }
        Ok(())
    }

    fn framing(&self, line: Line<'_>) -> Result<Framing, Fault> {
        let host = self.host.ok_or(Fault::malformed("no Host"))?;
        if line.authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
            return Err(Fault::malformed("the target names another host than Host"));
        }
        let body = match (self.length, self.chunked) {
            (Some(_), true) => return Err(Fault::malformed("both a length and a transfer coding")),
            (None, true) if !line.new => {
                return Err(Fault::malformed("a transfer coding in HTTP/1.0"));
            }
            (None, true) => Body::Chunked,
            (length, false) => Body::Length(length.unwrap_or(0)),
        };
        if self.websocket {
            self.check_upgrade(line, body)?;
        }
        Ok(Framing { body, upgrade: self.websocket })
    }

    /// RFC 6455, 4.1: what is asked halfway is not asked.
    fn check_upgrade(&self, line: Line<'_>, body: Body) -> Result<(), Fault> {
        let key = |key: &[u8]| {
            key.len() == 24
                && key.ends_with(b"==")
                && key.iter().take(22).all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        };
        if line.method != "GET" || !line.new || body != Body::Length(0) {
            return Err(Fault::malformed("a WebSocket is asked for by GET in HTTP/1.1, without a body"));
        }
        if !self.connection.upgrade {
            return Err(Fault::malformed("an upgrade that Connection does not name"));
        }
        if !self.key.is_some_and(key) {
            return Err(Fault::malformed("a WebSocket without a proper key"));
        }
        if self.version != Some(b"13") {
            return Err(Fault::new(426, "a WebSocket of another version than 13"));
        }
        Ok(())
    }
}

impl Connection {
    /// Names of other fields are refused: whoever sends them wants a proxy to drop something.
    fn take(&mut self, value: &[u8]) -> Result<(), Fault> {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"upgrade") {
                self.upgrade = true;
            } else if is(b"close") {
                self.close = true;
            } else if !(is(b"keep-alive") || is(b"te") || is(b"http2-settings") || option.is_empty()) {
                return Err(Fault::malformed("Connection names a field"));
            }
        }
        Ok(())
    }
}

/// A length: digits alone, and no more than can be counted.
fn length(value: &[u8]) -> Result<u64, Fault> {
    const ODD: Fault = Fault::malformed("Content-Length is no number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(ODD);
    }
    std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(ODD)
}

#[cfg(test)]
mod tests;
