//! Signing in with the passphrase, and out.

use std::time::Duration;

use guardian_rules::fact::Intent;
use http::request::Parts;
use maud::{Markup, html};

use super::status::capital;
use super::{AskedFor, Form, SIGN_IN, STATUS, owner};
use crate::cli::chain;
use crate::gate::admit::Shown;
use crate::gate::keeper::{Denied, Given};
use crate::gate::page::Page;
use crate::gate::refusal::Refusal;
use crate::gate::service::{Outcome, Service, shown};
use crate::gate::session;
use crate::sys::clock;

/// The sign-in page; `why` says why it is there again.
pub(in crate::gate) fn page(status: u16, why: Option<&str>, asked: AskedFor) -> Page {
    let main = html! {
        h1 { "Sign in" }
        p class="quiet" { "This panel is behind a guardian. Its passphrase opens it." }
        @if let Some(why) = why {
            p role="alert" class="stop" { (why) }
        }
        form method="post" action=(SIGN_IN) {
            (fields(asked, true))
            button { "Sign in" }
        }
    };
    Page::html(status, "Sign in", &main, None)
}

/// What is typed into a form that only the owner may send.
pub(super) fn fields(asked: AskedFor, focus: bool) -> Markup {
    html! {
        label for="passphrase" { "Passphrase" }
        input type="password" name="passphrase" id="passphrase" autocomplete="current-password" required autofocus[focus];
        @if asked == AskedFor::PassphraseAndCode {
            label for="code" { "Code" }
            input type="text" name="code" id="code" autocomplete="one-time-code" inputmode="numeric" maxlength="7"
                required aria-describedby="once";
            p id="once" class="quiet" { "Six digits from your authenticator app. Each is good once." }
        }
    }
}

/// What has been typed into it.
pub(super) fn given(form: &Form) -> Given {
    let passphrase = form.get("passphrase").unwrap_or_default().to_owned();
    Given { passphrase, code: form.get("code").map(str::to_owned) }
}

/// Whether this is the passphrase, with its code where codes are on. One is checked at a time; whoever was wrong too often waits.
pub(super) async fn check(service: &Service, given: Given) -> Result<(), Outcome> {
    let gate = &service.gate;
    let remote = service.client.remote;
    let asked = gate.books.borrow_mut().asked_for();
    let page = |status, why: &str| page(status, Some(why), asked);
    let locked = |wait: Duration| {
        let sentence = format!("Too many wrong tries. Wait {} seconds.", wait.as_secs().max(1));
        let refusal = Refusal::Locked(wait);
        let page = page(refusal.status(), &sentence);
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
    match gate.keeper.check(given).await {
        Ok(()) => {
            gate.books.borrow_mut().right(remote);
            Ok(())
        }
        Err(denied @ (Denied::Wrong | Denied::WrongPair)) => {
            tracing::warn!(%remote, tries, "a wrong passphrase or code");
            gate.suspects(Intent::Guessing, remote);
            Err(Outcome::refused(
                page(401, &format!("{}.", capital(&denied.to_string()))),
                "wrong-credential",
            ))
        }
        Err(Denied::Busy) => {
            gate.books.borrow_mut().not_looked_at(remote);
            Err(locked(Duration::from_secs(1)))
        }
        Err(denied) => {
            // There was nothing to guess.
            gate.books.borrow_mut().right(remote);
            tracing::error!("{}", chain(&denied));
            let why = if matches!(denied, Denied::NotSet) {
                "No passphrase is set. On the gateway's machine, type: guardian gate passphrase"
            } else {
                "The passphrase cannot be checked. The gate's log on its machine says why."
            };
            Err(Outcome::refused(page(503, why), "no-passphrase"))
        }
    }
}

/// Somebody tries to sign in.
pub(super) async fn try_it(service: &Service, parts: &Parts, form: &Form) -> Outcome {
    let gate = &service.gate;
    let basis = gate.books.borrow_mut().basis();
    if let Err(outcome) = check(service, given(form)).await {
        return outcome;
    }
    let owner = owner();
    let mut books = gate.books.borrow_mut();
    let asked = books.asked_for();
    if books.basis() != basis {
        // It was right before, and may not have been all that is asked for now.
        let why = "What one signs in with was changed a moment ago. Sign in once more.";
        return Outcome::refused(page(401, Some(why), asked), "wrong-credential");
    }
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
            Outcome::refused(page(503, Some("No session can be begun."), asked), "no-session")
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
