//! What people and programs see of the gate itself: pages without anything from elsewhere.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, RETRY_AFTER, SEC_WEBSOCKET_VERSION, SET_COOKIE, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::body::Answer;
use super::own::{self, AskedFor};
use super::refusal::Refusal;
use super::secret;

mod plain;

/// The one style of all pages.
const STYLE: &str = include_str!("page/style.css");
/// The kind of what programs get.
const DATA: &str = "application/json";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Whether a client reads pages or data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Html,
    Json,
}

impl Wants {
    /// Who names `text/html` is a browser; everybody else is a program.
    pub(crate) fn of(accept: Option<&str>) -> Self {
        let is_html = |kind: &str| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html");
        if accept.is_some_and(|accept| accept.split(',').any(is_html)) { Self::Html } else { Self::Json }
    }
}

/// An answer of the gate's own.
#[derive(Debug)]
pub(crate) struct Page {
    status: u16,
    kind: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Page {
    fn new(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, kind, body: body.into(), headers: Vec::new() }
    }

    /// A page for people, with a nonce for its style and script.
    pub(crate) fn html(status: u16, title: &str, main: &Markup, script: Option<&str>) -> Self {
        // Without randomness there is no nonce, and the page stays plain.
        let nonce = secret::fresh().unwrap_or_default();
        let body = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    title { (title) }
                    style nonce=(nonce) { (PreEscaped(STYLE)) }
                }
                body {
                    main { (main) }
                    @if let Some(script) = script {
                        script nonce=(nonce) { (PreEscaped(script)) }
                    }
                }
            }
        };
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        let page = Self::new(status, "text/html; charset=utf-8", body.into_string());
        match HeaderValue::try_from(policy) {
            Ok(policy) => page.with(CONTENT_SECURITY_POLICY, policy),
            Err(_) => page,
        }
    }

    /// Data for programs.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::data(status, value.to_string())
    }

    fn data(status: u16, json: impl Into<Bytes>) -> Self {
        Self::new(status, DATA, json)
    }

    /// Text.
    pub(crate) fn text(status: u16, kind: &'static str, text: impl Into<Bytes>) -> Self {
        Self::new(status, kind, text)
    }

    /// Nothing but a status: for requests that are none.
    pub(crate) fn status(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let page =
            Self::new(status, "text/plain; charset=utf-8", format!("{}\n", reason.unwrap_or("Refused")));
        match status {
            405 => page.with(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
            426 => page.with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            _ => page,
        }
    }

    /// Go on there.
    pub(crate) fn redirect(to: &'static str) -> Self {
        Self::new(303, "text/plain; charset=utf-8", "").with(LOCATION, HeaderValue::from_static(to))
    }

    /// With a field more.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a cookie.
    pub(crate) fn with_cookie(self, cookie: &str) -> Self {
        match HeaderValue::try_from(cookie) {
            Ok(cookie) => self.with(SET_COOKIE, cookie),
            Err(_) => self,
        }
    }

    /// Why a request is not forwarded. An outsider learns no more than that it is not.
    pub(super) fn refusal(
        refusal: Refusal,
        wants: Wants,
        signed_in: bool,
        asked: impl FnOnce() -> AskedFor,
    ) -> Self {
        let status = refusal.status();
        let word = match refusal {
            Refusal::Missing | Refusal::Wrong | Refusal::Ended => "credentials",
            Refusal::Budget(_) | Refusal::Locked(_) => "slow-down",
            _ => "blocked",
        };
        let page = match (wants, word) {
            (Wants::Json, "credentials") => Self::data(status, &br#"{"error":"credentials"}"#[..]),
            (Wants::Json, "slow-down") => Self::data(status, &br#"{"error":"slow-down"}"#[..]),
            (Wants::Json, _) => Self::data(status, &br#"{"error":"blocked"}"#[..]),
            (Wants::Html, "credentials") => own::sign_in_page(status, None, asked()),
            (Wants::Html, word) => {
                let (title, sentence) = match word {
                    "slow-down" => ("Too many requests", "Wait a moment, then try again."),
                    _ => ("Blocked", "This panel is not available."),
                };
                let main = html! {
                    h1 { span class="state stop" { (title) } }
                    p { (sentence) }
                    @if signed_in {
                        p { "The circuit is not closed. " a href=(own::STATUS) { "See why, and what to do" } "." }
                    } @else if refusal == Refusal::Blocked {
                        p class="quiet" { "If it is yours: " a href=(own::STATUS) { "sign in" } " to see why." }
                    }
                };
                Self::html(status, title, &main, None)
            }
        };
        let page = match refusal.retry_after().map(HeaderValue::from) {
            Some(wait) => page.with(RETRY_AFTER, wait),
            None => page,
        };
        match word {
            "credentials" => page.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => page,
        }
    }

    /// Its status.
    pub(super) const fn code(&self) -> u16 {
        self.status
    }

    /// As the HTTP library wants it.
    pub(crate) fn into_response(self) -> Response<Answer> {
        let mut response = Response::new(Answer::Own(Full::new(self.body)));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        set(headers, &OF_EVERY_PAGE);
        if self.kind != DATA {
            set(headers, &HARDENING);
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// What everything of the gate's own says.
static OF_EVERY_PAGE: [(HeaderName, &str); 2] =
    [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];

/// And what a browser is told beside.
static HARDENING: [(HeaderName, &str); 4] = [
    // Not `no-referrer`: with it browsers call the origin of a page's own forms `null`.
    (REFERRER_POLICY, "same-origin"),
    (X_FRAME_OPTIONS, "DENY"),
    (OPENER_POLICY, "same-origin"),
    (PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=()"),
];

fn set(headers: &mut HeaderMap, fields: &'static [(HeaderName, &str)]) {
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
