//! What came back when an address of this host was asked.

use std::net::SocketAddr;

use crate::blindness::Blindness;
use crate::fact::Product;

/// What the questions travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Within TLS, whatever the certificate.
    Tls,
}

/// Whether a gateway's port takes connections on one address of this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReachAnswer {
    /// The address that was tried.
    pub at: SocketAddr,
    /// What came of it.
    pub reached: Reached,
}

/// The outcome of a connection attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// The connection was accepted.
    Accepted,
    /// The connection was refused or the address cannot be reached.
    Refused,
    /// It is no address of this host, and nothing that is sent there arrives here.
    Absent,
    /// None of these; why.
    Unknown(Blindness),
}

/// The answer to `GET /`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PanelAnswer {
    /// The address that was asked.
    pub at: SocketAddr,
    /// The listener it belongs to, as bound.
    pub bound: SocketAddr,
    /// What it said.
    pub reply: Reply,
}

/// What a listener says when it is asked for a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// An HTTP answer.
    Http(Page),
    /// Something that is not HTTP, plain or within TLS.
    OtherProtocol,
    /// Hung up without an answer.
    Closed,
    /// Accepted, and then nothing came in time.
    Silent,
    /// Did not accept a connection.
    Refused,
    /// Was not asked, or the question could not be put; why.
    Unknown(Blindness),
}

/// An HTTP answer to `GET /`, reduced to what the rules need.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page {
    /// How it was asked.
    pub transport: Transport,
    /// HTTP status code.
    pub status: u16,
    /// The panel of this product by its title.
    pub title: Option<Product>,
    /// The panel of this product by its structure: the custom element that is its body.
    pub structure: Option<Product>,
    /// The panel's build id, if the page names it.
    pub build: Option<String>,
    /// SHA-256 of the body, if it was read whole and is a panel by title or structure.
    pub digest: Option<[u8; 32]>,
    /// A side door of a gateway answers here.
    pub side_door: Option<SideDoor>,
}

/// Sockets that a gateway opens beside its own, without authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SideDoor {
    /// Browser control of 2026.1.24 (port + 2).
    BrowserControl,
    /// The relay of the browser extension (port + 3).
    ExtensionRelay,
    /// Node's inspector: code execution for whoever connects.
    Inspector,
}

/// The answer to an empty `POST /tools/invoke`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessAnswer {
    /// The address that was asked.
    pub at: SocketAddr,
    /// The listener it belongs to, as bound.
    pub bound: SocketAddr,
    /// How it was asked.
    pub transport: Transport,
    /// Who gets in.
    pub access: Access,
}

/// Who gets in without credentials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// A gateway answers, and lets anyone in.
    Open,
    /// A gateway answers, and asks for credentials (401), or has had too many wrong ones from here
    /// (429).
    Required,
    /// A gateway answers, and refuses a proxy that it has not been told of (403).
    RefusesProxy,
    /// Something in front of whatever is here asks for credentials of its own.
    Fronted,
    /// No gateway answers here.
    NoGateway,
    /// It cannot be told; why.
    Unknown(Blindness),
}

impl Access {
    /// The answer is a gateway's own.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        matches!(self, Self::Open | Self::Required | Self::RefusesProxy)
    }
}

/// The answer to a WebSocket upgrade on `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandshakeAnswer {
    /// The address that was asked.
    pub at: SocketAddr,
    /// The listener it belongs to, as bound.
    pub bound: SocketAddr,
    /// How it was asked.
    pub transport: Transport,
    /// The gateway's first frame, if one came.
    pub challenge: Option<Challenge>,
    /// Who gets in, as far as WebSockets tell.
    pub access: Access,
}

/// A gateway's first frame, `connect.challenge`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Challenge {
    /// The protocol generation it expects (3 up to 2026.3, 4 since 2026.6), if it told.
    pub protocol: Option<u32>,
}
