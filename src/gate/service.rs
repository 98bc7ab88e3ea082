//! One request that was let in: what it is answered.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, COOKIE, HeaderMap, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::access_log::Entry;
use super::admit::Shown;
use super::answering::Answering;
use super::body::{Answer, Reply};
use super::forward::{Admitted, Delivered, Patience, Undelivered};
use super::header::{Reached, TOKEN};
use super::page::{Page, Wants};
use super::refusal::Refusal;
use super::standing::Standing;
use super::suspicion::intent_of;
use super::threshold::LetIn;
use super::tunnel::Tunnel;
use super::{Client, Gate, own};

/// What happens when an answer has been given.
pub(super) type End = Box<dyn FnOnce(u64)>;

/// An answer as the HTTP library takes it.
type Answered = Response<Reply<End>>;

/// An answer to be awaited.
pub(super) type Awaited = Pin<Box<dyn Future<Output = Result<Answered, Infallible>>>>;

/// What is written down of a request when it has been answered.
struct Noted {
    service: Rc<Service>,
    begun: Instant,
    method: Method,
    path: Option<PathAndQuery>,
}

impl Noted {
    fn answered(self, outcome: Outcome) -> Answered {
        let Outcome { answer, caller, refused } = outcome;
        let status = answer.status().as_u16();
        self.service.gate.counts.answered(status, refused);
        let end: End = Box::new(move |sent| {
            let now = Instant::now();
            self.service.answering.end(now);
            self.service.gate.access_log.write(&Entry {
                remote: self.service.client.remote,
                method: self.method.as_str(),
                path: self.path.as_ref().map_or("", PathAndQuery::path),
                status,
                sent,
                caller: caller.as_ref(),
                refused,
                took: now.duration_since(self.begun),
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
    pub(super) forwarding: RefCell<Option<Rc<Standing>>>,
    /// As what the request was let in that is on its way here.
    pub(super) let_in: RefCell<Option<LetIn>>,
    /// What the connection becomes when it has been answered.
    pub(super) tunnel: RefCell<Option<Tunnel>>,
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

/// What a request has to show.
pub(super) fn shown(headers: &HeaderMap) -> Shown<'_> {
    Shown::of(field(headers, &TOKEN), field(headers, &AUTHORIZATION), field(headers, &COOKIE))
}

impl Service {
    /// Answers a request.
    pub(super) fn call(self: &Rc<Self>, request: Request<Incoming>) -> Awaited {
        let note = |begun| Noted {
            service: Rc::clone(self),
            begun,
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
        };
        let service = Rc::clone(self);
        // Two futures, for pages of the gate's own need much more room.
        match (self.let_in.take(), own::is_own(request.uri().path())) {
            (Some(LetIn::Admitted(admitted)), false) => {
                let (noted, request) = (note(admitted.begun), Box::new(request));
                Box::pin(async move {
                    // First this: what is used after it is not kept twice while it is awaited.
                    let outcome = service.forward(admitted, request).await;
                    Ok(noted.answered(outcome))
                })
            }
            (Some(LetIn::Greeted), true) => {
                let noted = note(Instant::now());
                Box::pin(async move {
                    let wants = Wants::of(field(request.headers(), &ACCEPT));
                    let (parts, body) = request.into_parts();
                    let outcome = own::answer(&service, parts, body, wants).await;
                    Ok(noted.answered(outcome))
                })
            }
            // It was read in one way at the threshold and in another by the library.
            _ => {
                tracing::error!(remote = %self.client.remote, "a request that nobody has let in");
                let wants = Wants::of(field(request.headers(), &ACCEPT));
                let answered = note(Instant::now()).answered(self.refused(Refusal::Blocked, wants));
                Box::pin(async move { Ok(answered) })
            }
        }
    }

    /// Why a request gets no answer of the gateway's, for the client and for the watcher.
    pub(super) fn refuse(&self, refusal: Refusal, wants: Wants, signed_in: bool) -> Page {
        if let Some(intent) = intent_of(refusal) {
            self.gate.suspects(intent, self.client.remote);
        }
        let asked = || self.gate.books.borrow_mut().asked_for();
        Page::refusal(refusal, wants, signed_in, asked)
    }

    /// The same as an outcome.
    pub(super) fn refused(&self, refusal: Refusal, wants: Wants) -> Outcome {
        Outcome::refused(self.refuse(refusal, wants, false), refusal.word())
    }

    /// Whether an answer of the gateway's is under way that may not go on, or a WebSocket is to begin that may not.
    pub(super) fn was_cut(&self) -> bool {
        self.forwarding.borrow().as_ref().is_some_and(|it| !it.holds())
            || self.tunnel.borrow().as_ref().is_some_and(|it| !it.standing.holds())
    }

    async fn forward(&self, admitted: Admitted, request: Box<Request<Incoming>>) -> Outcome {
        let caller = Arc::clone(&admitted.standing.permit().caller().name);
        let reached = Reached { remote: self.client.remote, tls: self.client.tls };
        let sent = self.gate.forward.send(&admitted, request, reached, &self.patience).await;
        let Admitted { standing, wants, .. } = admitted;
        match sent {
            Ok(Delivered::Answer(answer)) => {
                self.forwarding.replace(Some(standing));
                Outcome { answer: answer.map(Answer::Forwarded), caller: Some(caller), refused: None }
            }
            Ok(Delivered::Socket(mut head, theirs)) => {
                head.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                head.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
                self.tunnel.replace(Some(Tunnel { gateway: theirs, standing }));
                let answer = head.map(|()| Answer::Own(http_body_util::Full::default()));
                Outcome { answer, caller: Some(caller), refused: None }
            }
            Err(Undelivered::Cut) => {
                let page = self.refuse(Refusal::Blocked, wants, true);
                Outcome::refused(page, Refusal::Blocked.word()).by(&caller)
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
