//! One request: whether it is admitted, and what it is answered.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use guardian_rules::fact::Intent;
use http::header::{AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use super::access_log::Entry;
use super::admit::{Ask, Permit, Shown, admit};
use super::answering::Answering;
use super::body::{Answer, Reply};
use super::forward::{Delivered, Patience, Undelivered, gateway_socket};
use super::header::{self, Reached, TOKEN};
use super::page::{self, Page};
use super::refusal::Refusal;
use super::relay::{Ended, relay};
use super::session;
use super::source::is_loopback;
use super::standing::Standing;
use super::suspicion::intent_of;
use super::token::PREFIX;
use super::{Client, Gate, own};
use crate::sys::clock;

/// What happens when an answer has been given.
pub(super) type End = Box<dyn FnOnce(u64)>;

/// An answer as the HTTP library takes it.
type Answered = Response<Reply<End>>;

/// An answer: there already, as every refusal is, or to be awaited. What is there already costs no
/// place for what would have to be remembered meanwhile.
pub(super) enum Turn {
    Given(Option<Answered>),
    Awaited(Pin<Box<dyn Future<Output = Answered>>>),
}

impl Future for Turn {
    type Output = Result<Answered, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Given(answered) => answered.take().map_or(Poll::Pending, |given| Poll::Ready(Ok(given))),
            Self::Awaited(awaited) => awaited.as_mut().poll(cx).map(Ok),
        }
    }
}

/// What is written down of a request when it has been answered.
struct Noted {
    service: Rc<Service>,
    begun: Instant,
    method: Method,
    /// None of a request that was none.
    uri: Option<Uri>,
}

impl Noted {
    fn answered(self, outcome: Outcome) -> Answered {
        let Outcome { answer, caller, refused } = outcome;
        let status = answer.status().as_u16();
        self.service.gate.counts.answered(status, refused);
        let end: End = Box::new(move |sent| {
            self.service.answering.end();
            self.service.gate.access_log.write(&Entry {
                remote: self.service.client.remote,
                method: self.method.as_str(),
                path: self.uri.as_ref().map_or("", Uri::path),
                status,
                sent,
                caller: caller.as_deref(),
                refused,
                took: self.begun.elapsed(),
            });
        });
        answer.map(|answer| Reply::new(answer, end))
    }
}

/// The service of one connection.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) gate: Rc<Gate>,
    pub(super) client: Client,
    /// Told when an answer has been given.
    pub(super) answering: Arc<Answering>,
    /// What lets an answer of the gateway's through that is under way: the connection ends with it.
    pub(super) forwarding: Rc<RefCell<Option<Rc<Standing>>>>,
    /// For answers of the gateway's to begin.
    pub(super) patience: Patience,
}

/// An answer before it is wrapped up, and what is to be noted of it.
pub(super) struct Outcome {
    pub(super) answer: Response<Answer>,
    /// Who asked.
    pub(super) caller: Option<Arc<str>>,
    /// A word that says why there is no answer of the gateway's.
    pub(super) refused: Option<&'static str>,
}

impl Outcome {
    pub(super) fn page(page: Page) -> Self {
        Self { answer: page.into_response(), caller: None, refused: None }
    }

    pub(super) fn by(self, caller: &Arc<str>) -> Self {
        Self { caller: Some(Arc::clone(caller)), ..self }
    }

    pub(super) fn refused(page: Page, word: &'static str) -> Self {
        Self { refused: Some(word), ..Self::page(page) }
    }
}

/// A field that is there once, as text.
pub(super) fn field<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a request has to show. A token in a field of its own comes first: `Authorization` is the
/// gateway's then.
pub(super) fn shown(headers: &HeaderMap) -> Shown<'_> {
    if let Some(token) = field(headers, &TOKEN) {
        return Shown::Token(token);
    }
    let bearer = field(headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(PREFIX)).then_some(token)
    });
    if let Some(token) = bearer {
        return Shown::Token(token);
    }
    match field(headers, &COOKIE) {
        Some(cookies) if session::in_cookies(cookies).next().is_some() => Shown::Session(cookies),
        _ => Shown::Nothing,
    }
}

/// Whether `Authorization` is the gate's own credential, and not for the gateway.
fn authorization_is_ours(headers: &HeaderMap) -> bool {
    field(headers, &AUTHORIZATION)
        .is_some_and(|value| value.split_once(' ').is_some_and(|(_, token)| token.starts_with(PREFIX)))
}

impl Service {
    /// Answers a request.
    pub(super) fn call(self: &Rc<Self>, request: Request<Incoming>) -> Turn {
        // A client that does not read may still have some of the gateway's last answer before it.
        if self.answering.is_written() {
            self.forwarding.take();
        }
        let (parts, body) = request.into_parts();
        let malformed = self.gate.standin.status(parts.uri.path());
        let noted = Noted {
            service: Rc::clone(self),
            begun: Instant::now(),
            method: parts.method.clone(),
            uri: malformed.is_none().then(|| parts.uri.clone()),
        };
        if let Some(status) = malformed {
            let said = parts.headers.get("fault").and_then(|said| said.to_str().ok());
            return Turn::Given(Some(noted.answered(self.malformed(status, said))));
        }
        let wants = page::Wants::of(&parts.headers);
        if own::is_own(parts.uri.path()) {
            let service = Rc::clone(self);
            return Turn::Awaited(Box::pin(async move {
                noted.answered(own::answer(&service, parts, body, wants).await)
            }));
        }
        match self.admit(&parts) {
            Ok(permit) => {
                // From this moment on: the library may not come to it for a while.
                let standing = Standing::new(&self.gate, permit, &self.client);
                let service = Rc::clone(self);
                Turn::Awaited(Box::pin(async move {
                    let request = Request::from_parts(parts, body);
                    noted.answered(service.forward(standing, request, wants).await)
                }))
            }
            Err(refusal) => Turn::Given(Some(noted.answered(self.refuse(refusal, &parts, wants)))),
        }
    }

    /// A request that is no request.
    fn malformed(&self, status: u16, said: Option<&str>) -> Outcome {
        self.gate.suspects(Intent::Probing, self.client.remote);
        tracing::debug!(remote = %self.client.remote, "refused: {}", said.unwrap_or("malformed"));
        Outcome::refused(Page::status(status), "malformed")
    }

    /// What a request says, as admission wants it.
    pub(super) fn ask<'a>(&self, parts: &'a Parts, socket: bool) -> Ask<'a> {
        Ask {
            remote: self.client.remote,
            proxied: is_loopback(self.client.remote) && header::is_proxied(&parts.headers),
            local: self.client.local,
            host: field(&parts.headers, &HOST).unwrap_or_default(),
            // One that is no text is one that is not allowed.
            origin: parts.headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or("?")),
            unsafe_: socket || !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS),
            worker: parts.headers.contains_key("service-worker"),
            shown: shown(&parts.headers),
        }
    }

    fn admit(&self, parts: &Parts) -> Result<Permit, Refusal> {
        let gate = &self.gate;
        admit(
            &self.ask(parts, is_socket(&parts.headers)),
            gate.vouching.lease(),
            &self.client.sources,
            &gate.names,
            &mut *gate.books.borrow_mut(),
            clock::moment(),
        )
    }

    pub(super) fn refuse(&self, refusal: Refusal, parts: &Parts, wants: page::Wants) -> Outcome {
        if let Some(intent) = intent_of(refusal) {
            self.gate.suspects(intent, self.client.remote);
        }
        // Whoever is signed in is told more, on the gate's own page.
        let signed_in = refusal == Refusal::Blocked && own::signed_in(self, parts).is_some();
        let asked = || self.gate.books.borrow_mut().asked_for();
        Outcome::refused(Page::refusal(refusal, wants, signed_in, asked), refusal.word())
    }

    async fn forward(
        &self,
        standing: Rc<Standing>,
        mut request: Request<Incoming>,
        wants: page::Wants,
    ) -> Outcome {
        let caller = Arc::clone(&standing.permit().caller().name);
        // The head reader has seen to it that this is a proper one.
        let socket = is_socket(request.headers());
        let keep_authorization = !authorization_is_ours(request.headers());
        let reached = Reached { remote: self.client.remote, tls: self.client.tls };
        let ours = socket.then(|| hyper::upgrade::on(&mut request));
        let sent = self
            .gate
            .forward
            .send(&standing, request, reached, socket, keep_authorization, &self.patience)
            .await;
        match sent {
            Ok(Delivered::Answer(answer)) => {
                self.forwarding.replace(Some(standing));
                Outcome { answer: answer.map(Answer::Forwarded), caller: Some(caller), refused: None }
            }
            Ok(Delivered::Socket(mut head, theirs)) => {
                head.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                head.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
                if let Some(ours) = ours {
                    let (gate, remote) = (Rc::clone(&self.gate), self.client.remote);
                    tokio::task::spawn_local(async move {
                        splice(&gate, remote, ours, theirs, &standing).await;
                    });
                }
                let answer = head.map(|()| Answer::Own(http_body_util::Full::default()));
                Outcome { answer, caller: Some(caller), refused: None }
            }
            Err(Undelivered::Cut) => {
                let asked = || self.gate.books.borrow_mut().asked_for();
                Outcome::refused(Page::refusal(Refusal::Blocked, wants, true, asked), "blocked").by(&caller)
            }
            Err(Undelivered::Fault(fault)) => {
                Outcome::refused(Page::status(fault.status), "malformed").by(&caller)
            }
            Err(Undelivered::Upstream(failed)) => {
                tracing::warn!("{}", crate::cli::chain(&failed));
                Outcome::refused(Page::status(StatusCode::BAD_GATEWAY.as_u16()), "gateway").by(&caller)
            }
        }
    }
}

fn is_socket(headers: &HeaderMap) -> bool {
    field(headers, &UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// Relays a WebSocket to its end.
async fn splice(
    gate: &Rc<Gate>,
    remote: IpAddr,
    ours: hyper::upgrade::OnUpgrade,
    theirs: hyper::upgrade::OnUpgrade,
    standing: &Standing,
) {
    let cut = gate.vouching.cuts();
    let begun = Instant::now();
    let (Ok(ours), Some((gateway, from_gateway))) = (ours.await, gateway_socket(theirs).await) else {
        return;
    };
    let Some((client, from_client)) = super::connection::client_socket(ours) else { return };
    if !standing.holds() {
        return;
    }
    gate.counts.socket_opened();
    let (ended, _, sent) =
        relay(client, gateway, (from_client, from_gateway), || standing.holds(), cut).await;
    gate.counts.socket_closed();
    gate.access_log.write(&Entry {
        remote,
        method: "SOCKET",
        path: "",
        status: 101,
        sent,
        caller: Some(&standing.permit().caller().name),
        refused: (ended == Ended::Cut).then_some("blocked"),
        took: begun.elapsed(),
    });
}
