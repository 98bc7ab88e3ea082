//! The page of the state: what the watcher says, live, and the way back in.

mod shown;

pub(super) use shown::capital;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use jiff::Timestamp;
use maud::{Markup, html};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};

use super::{AskedFor, SIGN_OUT};
use crate::cli::chain;
use crate::control::ControlError;
use crate::control::client::Client as Watcher;
use crate::gate::admit::Caller;
use crate::gate::body::Answer;
use crate::gate::page::{Page, Wants};
use crate::gate::service::{Outcome, Service};
use crate::gate::{Client, Gate};
use crate::status::Status;
use crate::sys::clock;

/// Pages that may be live at once: each has a place at the watcher, where the gate's user has eight.
const LIVE: usize = 4;
/// Between two attempts to reach the watcher.
const AGAIN: Duration = Duration::from_secs(1);
/// What is shown has ages in it.
const REDRAWN: Duration = Duration::from_secs(10);
static LIVE_NOW: AtomicUsize = AtomicUsize::new(0);

/// Puts every message in place of what is shown. What is typed into a form meanwhile stays, and what was
/// unfolded stays unfolded.
const SCRIPT: &str = "const live=document.getElementById('live');\
const source=new EventSource('/_guardian/events');\
const folds=()=>[...live.querySelectorAll('details')];\
source.onmessage=event=>{if(live.contains(document.activeElement)&&document.activeElement.tagName==='INPUT')return;\
const open=folds().map(it=>it.open);live.innerHTML=JSON.parse(event.data);\
folds().forEach((it,place)=>{it.open=it.open||open[place]})};\
source.onerror=()=>{document.getElementById('lost').hidden=source.readyState===1};\
source.onopen=()=>{document.getElementById('lost').hidden=true};";

/// The page, or the JSON of `guardian status`.
pub(super) async fn page(service: &Service, wants: Wants) -> Outcome {
    let status = ask(&service.gate).await;
    match (wants, status) {
        (Wants::Json, Ok(status)) => match serde_json::to_value(&status) {
            Ok(value) => Outcome::page(Page::json(200, &value)),
            Err(_) => Outcome::refused(Page::status(500), "failed"),
        },
        (Wants::Json, Err(failed)) => {
            let value = serde_json::json!({ "schema": 1, "daemon": "absent", "why": chain(&failed) });
            Outcome::page(Page::json(200, &value))
        }
        (Wants::Html, status) => {
            let asked = service.gate.books.borrow_mut().asked_for();
            let main = html! {
                nav {
                    strong { "Guardian" }
                    span { a href="/" { "To the panel" } }
                    form method="post" action=(SIGN_OUT) { button class="plain" { "Sign out" } }
                }
                p id="lost" class="stop" role="status" hidden { "This page has lost the gate; what it shows is old." }
                div id="live" aria-live="polite" { (state(&status, asked)) }
            };
            Outcome::page(Page::html(200, "Guardian", &main, Some(SCRIPT)))
        }
    }
}

async fn ask(gate: &Gate) -> Result<Status, ControlError> {
    Watcher::connect(&gate.paths).await?.status().await
}

/// The part of the page that changes.
fn state(status: &Result<Status, ControlError>, asked: AskedFor) -> Markup {
    match status {
        Ok(status) => shown::state(status, asked, Timestamp::now()),
        Err(failed) => html! {
            h1 { span class="state stop" { "NO WATCHER" } }
            p { "Nobody watches, so nothing is forwarded." }
            p class="quiet" { (chain(failed)) }
            p { "On the gateway's machine, type: " code { "guardian status" } }
        },
    }
}

/// Gives its place back when the page is gone.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let taken = LIVE_NOW
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < LIVE).then_some(now + 1));
        taken.is_ok().then_some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        LIVE_NOW.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state whenever it changes, for as long as the session lives.
pub(super) fn events(service: &Service, caller: Caller) -> Outcome {
    let Some(place) = Place::take() else { return Outcome::refused(Page::status(503), "busy") };
    let (lines, receiver) = mpsc::channel(2);
    let (gate, client) = (Rc::clone(&service.gate), service.client.clone());
    let name = Arc::clone(&caller.name);
    tokio::task::spawn_local(async move {
        let _place = place;
        tell(&gate, &client, &caller, &lines).await;
    });
    let mut answer = Response::new(Answer::Events(receiver));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Outcome { answer, caller: Some(name), refused: None }
}

/// Tells every change until the session ends or nobody listens any more.
async fn tell(gate: &Gate, client: &Client, caller: &Caller, lines: &mpsc::Sender<Bytes>) {
    let lives = || client.is_allowed() && gate.books.borrow().stands(caller, clock::moment());
    let mut cut = gate.vouching.cuts();
    let asked_for = || gate.books.borrow_mut().asked_for();
    while lives() {
        let failed = match Watcher::connect(&gate.paths).await {
            Err(failed) => failed,
            Ok(client) => match client.watch().await {
                Err(failed) => failed,
                Ok(mut stream) => loop {
                    let next = tokio::select! {
                        biased;
                        _ = cut.changed() => if lives() { continue } else { return },
                        next = timeout(REDRAWN, stream.next()) => next,
                    };
                    let next = match next {
                        Ok(next) => next,
                        // Nothing is otherwise than before, but for what has been looked at since.
                        Err(_) => ask(gate).await,
                    };
                    match next {
                        _ if !lives() => return,
                        Ok(status) => {
                            if lines.send(event(&Ok(status), asked_for())).await.is_err() {
                                return;
                            }
                        }
                        Err(failed) => break failed,
                    }
                },
            },
        };
        if lines.send(event(&Err(failed), asked_for())).await.is_err() {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// The changing part as an event: JSON, so that it is one line.
fn event(status: &Result<Status, ControlError>, asked: AskedFor) -> Bytes {
    let markup = serde_json::Value::String(state(status, asked).into_string());
    Bytes::from(format!("data: {markup}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::state::Circuit;
    use crate::config::Mode;
    use crate::gate::own::EVENTS;
    use crate::status::Daemon;

    #[test]
    fn what_a_process_calls_itself_is_text_on_the_page_and_one_line_in_the_stream() {
        let mut status = Status::new(Circuit::Open, None, Mode::Enforce, Daemon::Running);
        status.degraded = vec!["<script>alert(1)</script>\n\ndata: x".to_owned()];
        let event = event(&Ok(status), AskedFor::Passphrase);
        let text = std::str::from_utf8(&event).unwrap();
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"));
        assert_eq!(text.matches('\n').count(), 2);
    }

    #[test]
    fn the_script_asks_where_the_events_are() {
        assert!(SCRIPT.contains(EVENTS));
    }
}
