//! Signing in with the passphrase, and out.

use std::time::Duration;

use guardian_rules::fact::Intent;
use http::request::Parts;
use maud::html;

use super::{Form, SIGN_IN, STATUS, owner};
use crate::cli::chain;
use crate::gate::admit::Shown;
use crate::gate::keeper::Denied;
use crate::gate::page::Page;
use crate::gate::refusal::Refusal;
use crate::gate::service::{Outcome, Service, shown};
use crate::gate::session;
use crate::sys::clock;

/// The sign-in page; `why` says why it is there again.
pub(in crate::gate) fn page(status: u16, why: Option<&str>) -> Page {
    let main = html! {
        h1 { "Sign in" }
        p class="quiet" { "This panel is behind a guardian. Its passphrase opens it." }
        @if let Some(why) = why {
            p role="alert" class="stop" { (why) }
        }
        form method="post" action=(SIGN_IN) {
            label for="passphrase" { "Passphrase" }
            input type="password" name="passphrase" id="passphrase" autocomplete="current-password" required autofocus;
            button { "Sign in" }
        }
    };
    Page::html(status, "Sign in", &main, None)
}

/// Whether this is the passphrase. One is checked at a time; whoever was wrong too often waits.
pub(super) async fn check(service: &Service, passphrase: &str) -> Result<(), Outcome> {
    let gate = &service.gate;
    let remote = service.client.remote;
    let locked = |wait: Duration| {
        let sentence = format!("Too many wrong tries. Wait {} seconds.", wait.as_secs().max(1));
        let refusal = Refusal::Locked(wait);
        let page = page(refusal.status(), Some(&sentence));
        let page = match refusal.retry_after() {
            Some(seconds) => page.with(http::header::RETRY_AFTER, seconds.into()),
            None => page,
        };
        Outcome::refused(page, refusal.word())
    };
    let waits = gate.books.borrow_mut().wait(remote, clock::moment());
    if let Some(wait) = waits {
        gate.suspects(Intent::Guessing, remote);
        return Err(locked(wait));
    }
    let tries = gate.books.borrow_mut().tries(remote, clock::moment());
    match gate.keeper.check(passphrase.to_owned()).await {
        Ok(()) => {
            gate.books.borrow_mut().right(remote);
            Ok(())
        }
        Err(Denied::Wrong) => {
            tracing::warn!(%remote, tries, "a wrong passphrase");
            gate.suspects(Intent::Guessing, remote);
            Err(Outcome::refused(page(401, Some("That is not the passphrase.")), "wrong-credential"))
        }
        Err(Denied::Busy) => Err(locked(Duration::from_secs(1))),
        Err(denied) => {
            // There was nothing to guess.
            gate.books.borrow_mut().right(remote);
            tracing::error!("{}", chain(&denied));
            let why = if matches!(denied, Denied::NotSet) {
                "No passphrase is set. On the gateway's machine, type: guardian gate passphrase"
            } else {
                "The passphrase cannot be checked. The gate's log on its machine says why."
            };
            Err(Outcome::refused(page(503, Some(why)), "no-passphrase"))
        }
    }
}

/// Somebody tries to sign in.
pub(super) async fn try_it(service: &Service, parts: &Parts, form: &Form) -> Outcome {
    if let Err(outcome) = check(service, form.get("passphrase").unwrap_or_default()).await {
        return outcome;
    }
    let gate = &service.gate;
    let owner = owner();
    let mut books = gate.books.borrow_mut();
    // A session that the browser came with is not carried over: it could have been planted.
    if let Shown::Session(cookies) = shown(&parts.headers) {
        books.signed_out(cookies);
    }
    match books.signed_in(&owner, clock::moment()) {
        Ok(secret) => {
            let to = if gate.vouching.for_client(service.client.remote).is_some() { "/" } else { STATUS };
            let page = Page::redirect(to).with_cookie(&session::cookie(&secret, service.client.tls));
            Outcome::page(page).by(&owner)
        }
        Err(failed) => {
            tracing::error!("{}", chain(&failed));
            Outcome::refused(page(503, Some("No session can be begun.")), "no-session")
        }
    }
}

/// Somebody signs out.
pub(super) fn out(service: &Service, parts: &Parts) -> Outcome {
    if let Shown::Session(cookies) = shown(&parts.headers) {
        service.gate.books.borrow_mut().signed_out(cookies);
    }
    Outcome::page(Page::redirect(SIGN_IN).with_cookie(&session::no_cookie(service.client.tls)))
}
