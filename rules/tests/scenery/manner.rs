//! How a socket answers.

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, Challenge, Page, Product, Reply, SideDoor, Transport};

use super::timed_out;

/// The answers of one socket. `None` is a question that nobody asked.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) transport: Transport,
    pub(crate) reply: Option<Reply>,
    pub(crate) access: Option<Access>,
    pub(crate) handshake: Option<(Option<Challenge>, Access)>,
}

impl Manner {
    fn http(page: Page, access: Access) -> Self {
        Self {
            transport: page.transport,
            reply: Some(Reply::Http(page)),
            access: Some(access),
            handshake: None,
        }
    }

    fn mute(reply: Reply) -> Self {
        Self { transport: Transport::Plain, reply: Some(reply), access: None, handshake: None }
    }

    /// The same, with another answer to who gets in.
    pub(crate) fn but_access(self, access: Access) -> Self {
        Self { access: Some(access), ..self }
    }

    /// The same, with another answer to `GET /`.
    pub(crate) fn but_reply(self, reply: Reply) -> Self {
        Self { reply: Some(reply), ..self }
    }

    /// The same, with a gateway's first frame to a WebSocket, and what WebSockets tell of access.
    pub(crate) fn with_challenge(self, access: Access) -> Self {
        Self { handshake: Some((Some(Challenge { protocol: Some(4) }), access)), ..self }
    }

    /// The same, where a WebSocket brings no frame of a gateway.
    pub(crate) fn without_challenge(self, access: Access) -> Self {
        Self { handshake: Some((None, access)), ..self }
    }

    /// The same within TLS.
    pub(crate) fn within_tls(mut self) -> Self {
        self.transport = Transport::Tls;
        if let Some(Reply::Http(page)) = &mut self.reply {
            page.transport = Transport::Tls;
        }
        self
    }

    /// The same page, changed.
    pub(crate) fn with_page(mut self, change: impl FnOnce(&mut Page)) -> Self {
        if let Some(Reply::Http(page)) = &mut self.reply {
            change(page);
        }
        self
    }
}

/// A page that says nothing of a gateway.
pub(crate) fn page(status: u16) -> Page {
    Page {
        transport: Transport::Plain,
        status,
        title: None,
        structure: None,
        build: None,
        digest: None,
        side_door: None,
    }
}

/// The panel that the gateways of this scenery serve.
pub(crate) fn panel() -> Page {
    Page {
        title: Some(Product::Openclaw),
        structure: Some(Product::Openclaw),
        build: Some("2026.9.6-release-eb37".to_owned()),
        digest: Some([7; 32]),
        ..page(200)
    }
}

/// A gateway that answers 401.
pub(crate) fn asking_for_credentials() -> Manner {
    Manner::http(panel(), Access::Required).with_challenge(Access::Required)
}

/// A gateway that lets anyone in.
pub(crate) fn open_to_anyone() -> Manner {
    Manner::http(panel(), Access::Open).with_challenge(Access::Open)
}

/// Another program through which the gateway's answers come: the panel, and its 401.
pub(crate) fn carrying_the_gateway() -> Manner {
    asking_for_credentials()
}

/// A 403 `proxy_attribution_required` of the gateway behind.
pub(crate) fn refused_by_the_gateway() -> Manner {
    Manner::http(page(403), Access::RefusesProxy)
}

/// A password asked for by the program in front.
pub(crate) fn with_a_password_in_front() -> Manner {
    Manner::http(page(401), Access::Fronted)
}

/// A web site that has nothing to do with a gateway.
pub(crate) fn another_site() -> Manner {
    Manner::http(page(200), Access::NoGateway).without_challenge(Access::NoGateway)
}

/// A page with the panel's title where no gateway answers.
pub(crate) fn decoy() -> Manner {
    let page = Page { title: Some(Product::Openclaw), digest: Some([9; 32]), ..page(200) };
    Manner::http(page, Access::NoGateway).without_challenge(Access::NoGateway)
}

/// An HTTP error of a proxy that cannot reach what is behind it.
pub(crate) fn failing(status: u16) -> Manner {
    Manner::http(page(status), Access::Unknown(Blindness::new(Cause::Malformed, format!("HTTP {status}"))))
}

/// Accepts, and then nothing.
pub(crate) fn silent() -> Manner {
    Manner {
        access: Some(Access::Unknown(timed_out())),
        handshake: Some((None, Access::Unknown(timed_out()))),
        ..Manner::mute(Reply::Silent)
    }
}

/// Hangs up without an answer.
pub(crate) fn hanging_up() -> Manner {
    Manner::mute(Reply::Closed)
}

/// Speaks something else than HTTP.
pub(crate) fn another_protocol() -> Manner {
    Manner::mute(Reply::OtherProtocol)
}

/// Does not take connections from this host.
pub(crate) fn refusing() -> Manner {
    Manner::mute(Reply::Refused)
}

/// Nobody asked it anything.
pub(crate) fn unasked() -> Manner {
    Manner { reply: None, ..Manner::mute(Reply::Closed) }
}

/// A side door of a gateway.
pub(crate) fn side_door(kind: SideDoor) -> Manner {
    Manner::http(Page { side_door: Some(kind), ..page(200) }, Access::NoGateway)
}
