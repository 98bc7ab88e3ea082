//! What was heard, and how the plain and the TLS question add up.

use std::error::Error as StdError;
use std::io;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Transport;
use reqwest::header::{HeaderMap, LOCATION};
use rustls::InvalidMessage;

/// An HTTP answer, bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// How it was asked.
    pub(crate) transport: Transport,
    /// Status code.
    pub(crate) status: u16,
    /// Header fields.
    pub(crate) headers: HeaderMap,
    /// The body, up to the question's limit, as it came: never decompressed.
    pub(crate) body: Vec<u8>,
    /// The body is all there.
    pub(crate) whole: bool,
}

/// What a listener answers to a question, all told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An HTTP answer.
    Http(Answer),
    /// Something that is not HTTP, plain or within TLS.
    OtherProtocol,
    /// Hung up without an answer.
    Closed,
    /// Accepted, and then no answer came in time.
    Silent,
    /// Did not accept a connection.
    Refused,
    /// The question could not be put, or the answer cannot be told; why.
    Unknown(Blindness),
}

/// What came back on one connection. `H` is the HTTP answer, read as far as its head.
#[derive(Debug)]
pub(crate) enum Words<H> {
    /// The head of an HTTP answer.
    Http(H),
    /// Bytes that are no HTTP; within TLS if TLS was asked for.
    Other,
    /// A plain question was answered in TLS.
    SpeaksTls,
    /// A TLS question was answered by something that is no TLS, or by no handshake.
    NoTls,
    /// Hung up without an answer.
    Closed,
    /// Accepted, and then nothing came in time.
    Silent,
    /// Did not accept a connection.
    Refused,
    /// It cannot be told; why.
    Unknown(Blindness),
}

impl<H> Words<H> {
    /// What both questions together say, when the plain one was not answered for good.
    ///
    /// An HTTP answer counts before all else, then whatever cannot be told; a listener is never
    /// taken for harmless because one of two questions made it hang up.
    pub(crate) fn with_tls(self, tls: Self) -> Self {
        match (self, tls) {
            (_, answer @ Self::Http(_)) => answer,
            (_, unknown @ Self::Unknown(_)) => unknown,
            (answer @ (Self::Http(_) | Self::Unknown(_)), _) => answer,
            (_, Self::Other) => Self::Other,
            (Self::SpeaksTls, _) => {
                Self::Unknown(Blindness::malformed("speaks TLS in a way that this program does not"))
            }
            (Self::Closed, Self::Silent) => Self::Silent,
            (plain, _) => plain,
        }
    }
}

/// Whether a plain answer says that TLS is wanted: a refusal of the plain question, or a redirect
/// to `https` on the same port.
pub(crate) fn wants_tls(status: u16, headers: &HeaderMap, port: u16) -> bool {
    match status {
        // 497 is nginx's own, sent as 400 unless the configuration says otherwise.
        400 | 421 | 426 | 497 => true,
        300..=399 => headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| reqwest::Url::parse(location).ok())
            .is_some_and(|url| url.scheme() == "https" && url.port_or_known_default() == Some(port)),
        _ => false,
    }
}

/// The first bytes of an answer that is not HTTP/1: long enough to tell the kinds apart.
pub(crate) const TELLING: usize = 9;

/// What an answer that does not begin as HTTP/1 is, by its first bytes.
pub(crate) fn of_first_bytes<H>(bytes: &[u8]) -> Words<H> {
    match bytes {
        [] => Words::Closed,
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => {
            Words::Unknown(Blindness::malformed("answers before it is asked"))
        }
        // Some clients read on where ours does not: `HTTP/2.0 200 OK` in text.
        [b'H', b'T', b'T', b'P', b'/', ..] => {
            Words::Unknown(Blindness::malformed("answers in an HTTP version that does not exist"))
        }
        // A TLS record (RFC 8446, section 5.1): alert or handshake, version 3.x.
        [0x15 | 0x16, 0x03, ..] => Words::SpeaksTls,
        // An HTTP/2 frame (RFC 9113, section 4.1) on stream 0: SETTINGS or GOAWAY.
        [_, _, _, 0x04 | 0x07, _, 0, 0, 0, 0, ..] => {
            Words::Unknown(Blindness::malformed("speaks HTTP/2 only, which was not asked for"))
        }
        _ => Words::Other,
    }
}

/// What a question that failed says of the listener.
pub(crate) fn of_failure<H>(failure: &reqwest::Error, transport: Transport) -> Words<H> {
    if let Some(words) = causes(failure).find_map(|cause| of_cause(cause, transport)) {
        return words;
    }
    if failure.is_timeout() {
        return match transport {
            Transport::Plain => {
                Words::Unknown(Blindness::timed_out("neither accepts nor refuses a connection"))
            }
            // It accepted the plain question's connection a moment ago, and not even a handshake came
            // back: no TLS server waits for somebody else before it says hello.
            Transport::Tls => Words::NoTls,
        };
    }
    Words::Unknown(Blindness::malformed(told(failure)))
}

/// The listener spoke before it was asked. hyper has no name for that error; a test holds its words.
pub(crate) fn spoke_first(failure: &reqwest::Error) -> bool {
    causes(failure)
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(|http| http.to_string() == "received unexpected message from connection")
}

/// An error and its causes, the errors inside I/O errors included.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// The cause of an error. `source` of an I/O error skips the error that it carries.
fn cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

fn of_cause<H>(cause: &(dyn StdError + 'static), transport: Transport) -> Option<Words<H>> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    if let Some(http) = cause.downcast_ref::<hyper::Error>() {
        return of_http(http);
    }
    let io = cause.downcast_ref::<io::Error>()?;
    Some(match io.kind() {
        // An error of TLS travels in one of I/O, and is the next cause.
        _ if matches!(io.get_ref(), Some(carried) if carried.is::<rustls::Error>()) => return None,
        io::ErrorKind::ConnectionRefused => Words::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Words::Closed,
        io::ErrorKind::TimedOut => match transport {
            Transport::Plain => {
                Words::Unknown(Blindness::timed_out("neither accepts nor refuses a connection"))
            }
            Transport::Tls => Words::NoTls,
        },
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => {
            Words::Unknown(Blindness::denied(format!("the system lets no connection through: {io}")))
        }
        io::ErrorKind::AddrNotAvailable => Words::Unknown(Blindness::new(
            Cause::Interrupted,
            "the address has gone, or the system has no port left to ask from",
        )),
        _ => return None,
    })
}

fn of_http<H>(http: &hyper::Error) -> Option<Words<H>> {
    if http.is_parse_version_h2() {
        Some(Words::Unknown(Blindness::malformed("speaks HTTP/2 only, which was not asked for")))
    } else if http.is_parse() {
        Some(Words::Unknown(Blindness::malformed(format!("an HTTP answer that cannot be read: {http}"))))
    } else if http.is_incomplete_message() || http.is_canceled() || http.is_closed() {
        // A reset shows as a cause of its own, and means the same.
        Some(Words::Closed)
    } else {
        None
    }
}

fn of_tls<H>(tls: &rustls::Error) -> Words<H> {
    match tls {
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload,
        ) => Words::NoTls,
        rustls::Error::AlertReceived(alert) => {
            Words::Unknown(Blindness::denied(format!("speaks TLS and refuses this program: {alert:?}")))
        }
        other => Words::Unknown(Blindness::malformed(format!(
            "speaks TLS in a way that this program does not: {}",
            legible(&other.to_string())
        ))),
    }
}

/// The last cause of a failure, for a sentence.
fn told(failure: &reqwest::Error) -> String {
    causes(failure).last().map_or_else(String::new, |cause| legible(&cause.to_string()))
}

/// Text from outside, made fit for a report: one short line of printable ASCII.
pub(crate) fn legible(text: &str) -> String {
    const LIMIT: usize = 160;
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(words: Words<&'static str>) -> String {
        match words {
            Words::Http(page) => format!("http {page}"),
            Words::Unknown(why) => format!("unknown {}", why.detail),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn unknown() -> Words<&'static str> {
        Words::Unknown(Blindness::denied("alert"))
    }

    #[test]
    fn an_answer_within_tls_counts_before_a_plain_refusal() {
        assert_eq!(said(Words::Http("400").with_tls(Words::Http("panel"))), "http panel");
        assert_eq!(said(Words::Closed.with_tls(Words::Http("panel"))), "http panel");
        assert_eq!(said(Words::Http("400").with_tls(Words::NoTls)), "http 400");
        assert_eq!(said(Words::Http("400").with_tls(Words::Silent)), "http 400");
    }

    #[test]
    fn tls_that_cannot_be_completed_is_never_harmless() {
        for plain in [Words::Closed, Words::Other, Words::Silent, Words::Http("400"), Words::SpeaksTls] {
            assert_eq!(said(plain.with_tls(unknown())), "unknown alert");
        }
        assert!(said(Words::SpeaksTls.with_tls(Words::Closed)).starts_with("unknown speaks TLS"));
        assert!(said(Words::SpeaksTls.with_tls(Words::Silent)).starts_with("unknown speaks TLS"));
    }

    #[test]
    fn whoever_is_silent_to_one_question_and_hangs_up_on_the_other_is_silent() {
        assert_eq!(said(Words::Silent.with_tls(Words::Closed)), "silent");
        assert_eq!(said(Words::Silent.with_tls(Words::NoTls)), "silent");
        assert_eq!(said(Words::Closed.with_tls(Words::Silent)), "silent");
        assert_eq!(said(Words::Closed.with_tls(Words::Closed)), "closed");
        assert_eq!(said(Words::Closed.with_tls(Words::NoTls)), "closed");
    }

    #[test]
    fn another_protocol_is_one_plain_or_within_tls() {
        assert_eq!(said(Words::Other.with_tls(Words::Silent)), "other");
        assert_eq!(said(Words::Other.with_tls(Words::NoTls)), "other");
        assert_eq!(said(Words::Silent.with_tls(Words::Other)), "other");
    }

    #[test]
    fn first_bytes_tell_other_protocols_from_http_in_disguise() {
        assert_eq!(said(of_first_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")), "other");
        assert_eq!(said(of_first_bytes(b"<!doctype html>")), "other", "HTTP/0.9 carries no WebSocket");
        assert_eq!(said(of_first_bytes(b"-ERR unknown command")), "other");
        assert_eq!(said(of_first_bytes(&[0x15, 3, 1, 0, 2, 2, 70])), "speakstls");
        assert!(said(of_first_bytes(b"HTTP/3.0 200 OK")).starts_with("unknown"));
        assert!(said(of_first_bytes(&[0, 0, 0x12, 4, 0, 0, 0, 0, 0])).starts_with("unknown"), "SETTINGS");
        assert_eq!(said(of_first_bytes(b"")), "closed");
    }

    #[test]
    fn a_plain_answer_wants_tls_when_it_refuses_or_redirects_to_itself() {
        let to = |location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().unwrap());
            headers
        };
        assert!(wants_tls(400, &HeaderMap::new(), 8443));
        assert!(wants_tls(426, &HeaderMap::new(), 8443));
        assert!(wants_tls(301, &to("https://bot.example:8443/"), 8443));
        assert!(wants_tls(308, &to("https://bot.example/"), 443));
        assert!(!wants_tls(301, &to("https://bot.example/"), 80), "another port is asked as itself");
        assert!(!wants_tls(302, &to("/login"), 443));
        assert!(!wants_tls(200, &HeaderMap::new(), 443));
    }

    proptest! {
        #[test]
        fn any_first_bytes_are_told(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = of_first_bytes::<()>(&bytes);
        }

        #[test]
        fn text_from_outside_is_one_short_line(text in any::<String>()) {
            let text = legible(&text);
            prop_assert!(text.len() <= 160 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }
}
