//! The gate's own pages, under `/_guardian`: sign-in, status, recovery. Whoever gets here has been greeted
//! at the threshold; who it is, is asked here.

mod recovery;
mod sign_in;
mod status;

use std::sync::Arc;

use http::Method;
use http::header::ORIGIN;
use http::request::Parts;
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::Incoming;
use tokio::time::{Duration, timeout};

use super::admit::Books as _;
use super::page::{Page, Wants};
use super::refusal::Refusal;
use super::service::{Outcome, Service, shown};
use crate::exposition::CONTENT_TYPE;
use crate::sys::clock;

pub(super) use sign_in::page as sign_in_page;

/// Where they are.
pub(super) const ROOT: &str = "/_guardian";
/// The page of the state.
pub(super) const STATUS: &str = "/_guardian/status";
const SIGN_IN: &str = "/_guardian/sign-in";
const SIGN_OUT: &str = "/_guardian/sign-out";
const EVENTS: &str = "/_guardian/events";
const RECOVER: &str = "/_guardian/recover";
const CLOSE: &str = "/_guardian/close";
const METRICS: &str = "/_guardian/metrics";

/// A form comes within this time.
const FORM: Duration = Duration::from_secs(10);
/// The longest form, in bytes.
const LONGEST_FORM: usize = 8 * 1024;

/// What whoever is the owner has to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum AskedFor {
    Passphrase,
    PassphraseAndCode,
}

/// Whether a path is one of the gate's own.
pub(super) fn is_own(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for one of them, which was greeted.
pub(super) async fn answer(service: &Service, parts: Parts, body: Incoming, wants: Wants) -> Outcome {
    let now = clock::moment();
    let gate = &service.gate;
    let path = parts.uri.path();
    let get = matches!(parts.method, Method::GET | Method::HEAD);
    let post = parts.method == Method::POST;
    match path {
        SIGN_IN if get => {
            let asked = gate.books.borrow_mut().asked_for();
            return Outcome::page(sign_in_page(200, None, asked));
        }
        // A page of another site must not sign anybody in, into a session of its own choice.
        SIGN_IN if post && !parts.headers.contains_key(ORIGIN) => {
            return service.refused(Refusal::Origin, wants);
        }
        SIGN_IN if post => return sign_in::try_it(service, &parts, &form(body).await).await,
        ROOT | "/_guardian/" if get => return Outcome::page(Page::redirect(STATUS)),
        _ => {}
    }
    // The borrow ends before anything is waited for.
    let credential = gate.books.borrow_mut().credential(service.client.remote, shown(&parts.headers), now);
    let caller = match credential {
        Ok(caller) => caller,
        Err(Refusal::Missing) if wants == Wants::Html && get => {
            return Outcome::page(Page::redirect(SIGN_IN));
        }
        Err(refusal) => return service.refused(refusal, wants),
    };
    match path {
        SIGN_OUT if post => sign_in::out(service, &parts).by(&caller.name),
        STATUS if get => status::page(service, wants).await.by(&caller.name),
        EVENTS if get => status::events(service, caller),
        METRICS if get => {
            let vouched = gate.vouching.for_client(service.client.remote).is_some();
            let text = gate.counts.prometheus(vouched);
            Outcome::page(Page::text(200, CONTENT_TYPE, text)).by(&caller.name)
        }
        RECOVER if post => recovery::recover(service, &form(body).await).await.by(&caller.name),
        CLOSE if post => recovery::close(service, &form(body).await).await.by(&caller.name),
        SIGN_OUT | RECOVER | CLOSE if get => Outcome::page(Page::redirect(STATUS)).by(&caller.name),
        SIGN_IN | SIGN_OUT | STATUS | EVENTS | RECOVER | CLOSE | METRICS => {
            Outcome::refused(Page::status(405), "method").by(&caller.name)
        }
        _ => Outcome::refused(Page::status(404), "no-page").by(&caller.name),
    }
}

/// The fields of a form; none where it is none, or too long.
#[derive(Debug, Default)]
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

async fn form(body: Incoming) -> Form {
    let read = timeout(FORM, Limited::new(body, LONGEST_FORM).collect()).await;
    let bytes = read.ok().and_then(Result::ok).map(Collected::to_bytes);
    Form(form_urlencoded::parse(&bytes.unwrap_or_default()).into_owned().collect())
}

/// The name under which whoever signs in with the passphrase is known.
fn owner() -> Arc<str> {
    "owner".into()
}
