//! One question to one address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Transport;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Upgraded, Version};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::heard::{Answer, Heard, TELLING, Words, of_failure, of_first_bytes, spoke_first, wants_tls};
use super::targets::Target;
use super::tls;
use crate::USER_AGENT;

/// How long a connection to this very host may take to be accepted.
const CONNECT: Duration = Duration::from_millis(500);

/// After this long without an answer in plain text, TLS is tried beside it.
const HEDGE: Duration = Duration::from_millis(250);

/// More header fields than this make an answer too much.
const HEADERS: usize = 512;

/// Stands in the URL for an address that a URL cannot spell: one with a scope id.
const SCOPED: &str = "link-local.invalid";

/// A request without a body.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Its method.
    pub(crate) method: Method,
    /// What it asks for.
    pub(crate) path: &'static str,
    /// How much of the answer's body is read, in bytes.
    pub(crate) limit: usize,
}

/// Asks in plain text, and in TLS if that brings no answer for good.
pub(crate) async fn ask(target: &Target, question: &Question) -> Heard {
    let deadline = Instant::now() + target.rank.patience();
    let put = |transport| put(target, transport, question, HeaderMap::new(), deadline);
    let mut plain = std::pin::pin!(put(Transport::Plain));
    let words = if let Ok(words) = timeout(HEDGE, &mut plain).await {
        if is_settled(&words, target) { words } else { words.with_tls(put(Transport::Tls).await) }
    } else {
        let mut tls = std::pin::pin!(put(Transport::Tls));
        tokio::select! {
            words = &mut plain => {
                if is_settled(&words, target) { words } else { words.with_tls(tls.await) }
            }
            words = &mut tls => {
                if matches!(words, Words::Http(_)) { words } else { plain.await.with_tls(words) }
            }
        }
    };
    hear(words, target, question, deadline).await
}

/// Asks in one way only.
pub(crate) async fn ask_by(target: &Target, transport: Transport, question: &Question) -> Heard {
    let deadline = Instant::now() + target.rank.patience();
    let words = put(target, transport, question, HeaderMap::new(), deadline).await;
    hear(spoke_before(words), target, question, deadline).await
}

/// Whoever is asked in one way alone spoke in it before: that no TLS comes back now says that it is busy, or
/// that somebody is in between.
fn spoke_before(words: Words<Head>) -> Words<Head> {
    match words {
        Words::NoTls => {
            Words::Unknown(Blindness::new(Cause::Interrupted, "spoke TLS before, and does not now"))
        }
        words => words,
    }
}

/// Asks for another protocol on the same connection (101), in one way only. What else comes back
/// is an answer like any other.
pub(crate) async fn upgrade(
    target: &Target,
    transport: Transport,
    question: &Question,
    fields: HeaderMap,
) -> Result<Upgraded, Heard> {
    let deadline = Instant::now() + target.rank.patience();
    let words = put(target, transport, question, fields, deadline).await;
    match words {
        Words::Http((_, response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            response.upgrade().await.map_err(|_| Heard::Closed)
        }
        words => Err(hear(spoke_before(words), target, question, deadline).await),
    }
}

/// An answer of which only the head has been read.
type Head = (Transport, Response);

fn is_settled(plain: &Words<Head>, target: &Target) -> bool {
    match plain {
        Words::Http((_, response)) => {
            !wants_tls(response.status().as_u16(), response.headers(), target.at.port())
        }
        Words::Refused => true,
        Words::Unknown(why) => why.cause != Cause::Malformed,
        Words::Other | Words::SpeaksTls | Words::NoTls | Words::Closed | Words::Silent => false,
    }
}

/// Puts the question and reads as far as the head of the answer.
async fn put(
    target: &Target,
    transport: Transport,
    question: &Question,
    mut headers: HeaderMap,
    deadline: Instant,
) -> Words<Head> {
    let at = target.at;
    let request = match client(target, transport, deadline) {
        Ok(client) => client.request(question.method.clone(), url(at, transport, question.path)),
        Err(failure) => return of_failure(&failure, transport),
    };
    headers.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
    // Without this field any coding would be acceptable (RFC 9110, section 12.5.3).
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if question.method == Method::POST {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(host) = spelt_host(at) {
        headers.insert(HOST, host);
    }
    match timeout_at(deadline, request.headers(headers).send()).await {
        // The connection had less time than the answer: it stands.
        Err(_) => Words::Silent,
        Ok(Err(failure)) if spoke_first(&failure) && transport == Transport::Plain => {
            greeting(target, deadline).await
        }
        Ok(Err(failure)) => of_failure(&failure, transport),
        Ok(Ok(response)) if response.version() == Version::HTTP_09 => {
            let (bytes, _) = read(response, TELLING, deadline).await;
            match of_first_bytes(&bytes) {
                Words::SpeaksTls if transport == Transport::Tls => Words::Other,
                words => words,
            }
        }
        Ok(Ok(response)) => Words::Http((transport, response)),
    }
}

/// What a listener says before it is asked. It may be a banner, which is no HTTP, or an answer that
/// does not wait for its question.
async fn greeting(target: &Target, deadline: Instant) -> Words<Head> {
    let hear = async {
        let mut stream = connect(target).await?;
        let mut bytes = vec![0; TELLING];
        let mut heard = 0;
        while let Some(space) = bytes.get_mut(heard..).filter(|space| !space.is_empty()) {
            match stream.read(space).await? {
                0 => break,
                some => heard += some,
            }
        }
        bytes.truncate(heard);
        std::io::Result::Ok(bytes)
    };
    match timeout_at(deadline, hear).await {
        Ok(Ok(bytes)) => of_first_bytes(&bytes),
        Ok(Err(failure)) => {
            Words::Unknown(Blindness::new(Cause::Interrupted, format!("hung up in its greeting: {failure}")))
        }
        Err(_) => Words::Silent,
    }
}

/// Reads the rest of the answer that counts.
async fn hear(words: Words<Head>, target: &Target, question: &Question, deadline: Instant) -> Heard {
    match words {
        Words::Http((transport, mut response)) => {
            let status = response.status().as_u16();
            let headers = std::mem::take(response.headers_mut());
            let (body, whole) = read(response, question.limit, deadline).await;
            Heard::Http(Answer { transport, status, headers, body, whole })
        }
        Words::Other | Words::NoTls => Heard::OtherProtocol,
        Words::SpeaksTls => Heard::Unknown(Blindness::malformed("speaks TLS only")),
        Words::Closed => Heard::Closed,
        Words::Silent => Heard::Silent,
        Words::Refused => match &target.tied_to {
            Some(interface) => Heard::Unknown(Blindness::denied(format!(
                "the socket is tied to {interface}, and this host is refused on the addresses known of it"
            ))),
            None => Heard::Refused,
        },
        Words::Unknown(why) => Heard::Unknown(why),
    }
}

/// The body up to a limit, and whether that is all of it.
async fn read(mut response: Response, limit: usize, deadline: Instant) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = limit - body.len();
                body.extend(chunk.iter().take(room));
                if chunk.len() > room {
                    return (body, false);
                }
            }
            Ok(Ok(None)) => return (body, true),
            Ok(Err(_)) | Err(_) => return (body, false),
        }
    }
}

/// A client for one question: it knows one address and asks from that address.
///
/// It costs under a microsecond to build, so there is none to share; a shared one could not be
/// told from which address to ask.
fn client(target: &Target, transport: Transport, deadline: Instant) -> reqwest::Result<Client> {
    let at = target.at;
    let connect = match transport {
        Transport::Plain => CONNECT,
        // The handshake is part of connecting, and may wait for a busy server; not for so long that
        // a handshake that never came looks like an answer that never came.
        Transport::Tls => deadline.saturating_duration_since(Instant::now()) * 7 / 8,
    };
    let client = match &target.through {
        None => Client::builder().local_address(source(at)),
        Some(interface) => through(interface),
    };
    client
        .tls_backend_preconfigured(tls::config())
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(Only(at))
        .connect_timeout(connect)
        .pool_max_idle_per_host(0)
        .http1_only()
        .http1_max_headers(HEADERS)
        // What a browser reads, this must read.
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        // An answer that is no HTTP at all shows its first bytes.
        .http09_responses()
        .build()
}

/// Guests are asked from whatever address this host has on their side, by that interface alone: the
/// question cannot come to somebody else who has the same address elsewhere.
#[cfg(target_os = "linux")]
fn through(interface: &str) -> ClientBuilder {
    Client::builder().interface(interface)
}

/// Guests can be told from neighbours on Linux alone.
#[cfg(not(target_os = "linux"))]
fn through(_: &str) -> ClientBuilder {
    Client::builder()
}

/// A connection without a question.
async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    let socket = if target.at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(target_os = "linux")]
    if let Some(interface) = &target.through {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.connect(target.at).await
}

/// The source to bind. An address that this host no longer has cannot be bound, so the question
/// does not go out to whoever has it now. Loopback never leaves, and a link-local source would
/// need a scope that cannot be given here.
pub(crate) fn source(at: SocketAddr) -> Option<IpAddr> {
    let ip = at.ip();
    let is_scoped = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    (!ip.is_loopback() && !is_scoped).then_some(ip)
}

fn is_scoped(at: SocketAddr) -> bool {
    matches!(at, SocketAddr::V6(v6) if v6.scope_id() != 0)
}

fn url(at: SocketAddr, transport: Transport, path: &str) -> String {
    let scheme = match transport {
        Transport::Plain => "http",
        Transport::Tls => "https",
    };
    if is_scoped(at) {
        format!("{scheme}://{SCOPED}:{}{path}", at.port())
    } else {
        format!("{scheme}://{at}{path}")
    }
}

/// The `Host` field for an address that the URL does not spell: without its scope, as browsers
/// send it.
fn spelt_host(at: SocketAddr) -> Option<HeaderValue> {
    if !is_scoped(at) {
        return None;
    }
    HeaderValue::try_from(SocketAddr::new(at.ip(), at.port()).to_string()).ok()
}

/// Resolves the stand-in name to one address, and no other name to anything.
struct Only(SocketAddr);

impl Resolve for Only {
    fn resolve(&self, name: Name) -> Resolving {
        let address = (name.as_str() == SCOPED).then_some(self.0);
        Box::pin(async move {
            match address {
                Some(address) => Ok(Box::new(std::iter::once(address)) as Addrs),
                None => Err("names are not resolved".into()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
