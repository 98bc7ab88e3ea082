//! The head of a request, as strict as the strictest proxy reads it.
//!
//! A gate and what is behind it must never disagree on where a request ends or whom it is for. So
//! whatever RFC 9112 lets a recipient choose, tolerate or repair is refused here, before any library
//! sees it: hyper drops a length beside a transfer coding and reads a bare line feed as an end of
//! line, silently (measured, hyper 1.12).

use std::fmt;

/// The longest head, in bytes.
pub(crate) const LONGEST: usize = 64 * 1024;
/// The longest target, in bytes.
const LONGEST_TARGET: usize = 8 * 1024;
/// As many fields may be in a head.
const MOST_FIELDS: usize = 100;

/// How much comes after a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes, perhaps none.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What a head that may pass says of what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// The body.
    pub(crate) body: Body,
    /// It asks for another protocol: once that is granted, what follows is no request any more.
    pub(crate) upgrade: bool,
}

/// Why a head may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A line that ends otherwise than with CR LF, or a control character (RFC 9112 2.2).
    Line,
    /// The first line is none (RFC 9112 3).
    RequestLine,
    /// Another version than 1.1 or 1.0.
    Version,
    /// A method that is not passed on.
    Method,
    /// The target is too long.
    LongTarget,
    /// The target is of another form than a path (RFC 9112 3.2).
    Target,
    /// A field that is none: its name, space before its colon, a line continued (RFC 9112 5).
    Field,
    /// Too many fields, or too long a head.
    Large,
    /// No `Host`, or several, or one that is none (RFC 9112 3.2).
    Host,
    /// Where the body ends can be read in two ways (RFC 9112 6).
    Framing,
    /// A transfer coding other than `chunked` alone.
    Coding,
    /// A field that decides who gets in is there twice.
    Twice,
    /// An upgrade that is no opening handshake of a WebSocket (RFC 6455 4.1).
    Upgrade,
    /// An expectation other than `100-continue`.
    Expectation,
}

impl Fault {
    /// The status that says so.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::LongTarget => 414,
            Self::Expectation => 417,
            Self::Large => 431,
            Self::Coding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Line => "a line does not end as it should, or has a control character",
            Self::RequestLine => "the first line is no request line",
            Self::Version => "the version is neither 1.1 nor 1.0",
            Self::Method => "the method is not passed on",
            Self::LongTarget => "the target is too long",
            Self::Target => "the target is no path",
            Self::Field => "a field is malformed",
            Self::Large => "the head is too large",
            Self::Host => "the host is missing, malformed or there twice",
            Self::Framing => "where the body ends can be read in two ways",
            Self::Coding => "the transfer coding is not chunked alone",
            Self::Twice => "a field that must be there once is there twice",
            Self::Upgrade => "the upgrade is no WebSocket handshake",
            Self::Expectation => "the expectation is none that can be met",
        })
    }
}

/// Where a head ends in what has come so far: behind its empty line. None while it may go on.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a whole head, its empty line included.
pub(crate) fn read(head: &[u8]) -> Result<Framing, Fault> {
    if head.len() > LONGEST {
        return Err(Fault::Large);
    }
    let lines = head.strip_suffix(b"\r\n\r\n").ok_or(Fault::Line)?;
    let mut lines = Lines(Some(lines));
    let request = RequestLine::read(lines.next().ok_or(Fault::RequestLine)??)?;
    let mut fields = Fields::default();
    for line in lines {
        fields.take(line?)?;
    }
    fields.framing(request)
}

/// The lines of a head; the last one has no end any more.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0?;
        let (line, more) = match rest.windows(2).position(|two| two == b"\r\n") {
            Some(at) => (rest.get(..at)?, rest.get(at + 2..)),
            None => (rest, None),
        };
        self.0 = more;
        let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        Some(if line.iter().any(control) { Err(Fault::Line) } else { Ok(line) })
    }
}

#[derive(Clone, Copy)]
struct RequestLine {
    get: bool,
    /// HTTP/1.1, not 1.0.
    current: bool,
}

/// Methods that are passed on. `TRACE` tells a script what the browser hides from it, `CONNECT` is
/// for proxies of another kind.
const METHODS: [&[u8]; 7] = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"];

impl RequestLine {
    fn read(line: &[u8]) -> Result<Self, Fault> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::RequestLine);
        };
        let current = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            version if version.starts_with(b"HTTP/") => return Err(Fault::Version),
            _ => return Err(Fault::RequestLine),
        };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(Fault::RequestLine);
        }
        if !METHODS.contains(&method) {
            return Err(Fault::Method);
        }
        if target.len() > LONGEST_TARGET {
            return Err(Fault::LongTarget);
        }
        // One that names a host could name another than the field does.
        if target.first() != Some(&b'/') || !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
            return Err(Fault::Target);
        }
        Ok(Self { get: method == b"GET", current })
    }
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the fields of a head say of its framing.
#[derive(Default)]
struct Fields {
    count: usize,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    once: Vec<&'static str>,
    connection_upgrade: bool,
    websocket: bool,
    upgrade: bool,
    key: bool,
    websocket_version: bool,
}

/// Fields that say who somebody is: of two of them, this side could believe one and the other side
/// the other.
const ONCE: [&str; 4] = ["authorization", "origin", "content-type", "sec-websocket-key"];

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.count += 1;
        if self.count > MOST_FIELDS {
            return Err(Fault::Large);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Field)?;
        let (name, value) = line.split_at(colon);
        // A line that begins with space continues the one before, to some.
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(Fault::Field);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some(once) = ONCE.iter().find(|once| **once == name) {
            if self.once.contains(once) {
                return Err(Fault::Twice);
            }
            self.once.push(once);
        }
        match name.as_str() {
            "host" => self.host(value),
            "content-length" => self.length(value),
            "transfer-encoding" => self.coding(value),
            "expect" if !value.eq_ignore_ascii_case(b"100-continue") => Err(Fault::Expectation),
            "connection" => {
                let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.connection_upgrade |= options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
                Ok(())
            }
            "upgrade" if self.upgrade => Err(Fault::Upgrade),
            "upgrade" => {
                self.upgrade = true;
                self.websocket = value.eq_ignore_ascii_case(b"websocket");
                Ok(())
            }
            "sec-websocket-key" => {
                self.key = value.len() == 24;
                Ok(())
            }
            "sec-websocket-version" => {
                self.websocket_version = value == b"13";
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Fault> {
        let written = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(byte);
        if self.host || value.is_empty() || !value.iter().all(written) {
            return Err(Fault::Host);
        }
        self.host = true;
        Ok(())
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        match (self.length, length) {
            (None, Some(length)) => self.length = Some(length),
            (Some(_), _) | (None, None) => return Err(Fault::Framing),
        }
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.chunked {
            return Err(Fault::Framing);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::Coding);
        }
        self.chunked = true;
        Ok(())
    }

    fn framing(&self, request: RequestLine) -> Result<Framing, Fault> {
        if !self.host {
            return Err(Fault::Host);
        }
        let body = match (self.chunked, self.length) {
            // A length beside a coding, and a coding in a version that has none.
            (true, Some(_)) => return Err(Fault::Framing),
            (true, None) if !request.current => return Err(Fault::Framing),
            (true, None) => Body::Chunked,
            (false, length) => Body::Length(length.unwrap_or(0)),
        };
        let handshake = request.get
            && request.current
            && self.connection_upgrade
            && self.websocket
            && self.key
            && self.websocket_version
            && body == Body::Length(0);
        if (self.upgrade || self.connection_upgrade) && !handshake {
            return Err(Fault::Upgrade);
        }
        Ok(Framing { body, upgrade: handshake })
    }
}

#[cfg(test)]
mod tests;
