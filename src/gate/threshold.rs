//! Where a request is met, before the HTTP library knows of it: it is let in, or answered there and then.
//! Nothing of a request that is refused gets any further.

use std::rc::Rc;

use bytes::BytesMut;
use guardian_rules::fact::Intent;
use tokio::time::Instant;

use super::access_log::Entry;
use super::admit::{Ask, Permit, Shown, admit, greet, own_token};
use super::fault::Fault;
use super::forward::Admitted;
use super::head::Head;
use super::own;
use super::page::{Page, Wants};
use super::refusal::Refusal;
use super::service::Service;
use super::source::is_loopback;
use super::standing::Standing;
use crate::sys::clock;

/// Who decides. `closes` is whether the connection ends with an answer; the answer is appended to `out`.
pub(crate) trait Threshold {
    /// Whether a request is let in; if not, it is answered.
    fn meet(&self, head: &Head<'_>, closes: bool, out: &mut BytesMut) -> bool;
    /// Answers what is no request. The connection ends with it.
    fn turn_away(&self, fault: Fault, out: &mut BytesMut);
}

/// As what a request was let in.
#[derive(Debug)]
pub(super) enum LetIn {
    /// For a page of the gate's own; who asks is still to be told.
    Greeted,
    /// To be forwarded.
    Admitted(Admitted),
}

impl Threshold for Rc<Service> {
    fn meet(&self, head: &Head<'_>, closes: bool, out: &mut BytesMut) -> bool {
        let begun = Instant::now();
        // All of the last answer has been written.
        self.forwarding.take();
        let ask = self.ask(head);
        let met = if own::is_own(head.path) { self.greet(&ask) } else { self.admit(head, &ask, begun) };
        let refusal = match met {
            Ok(let_in) => {
                self.let_in.replace(Some(let_in));
                return true;
            }
            Err(refusal) => refusal,
        };
        // Whoever is signed in is told more, on the gate's own page.
        let signed_in = refusal == Refusal::Blocked && self.is_signed_in(&ask);
        let page = self.refuse(refusal, Wants::of(head.said.accept), signed_in);
        let sent = page.write(head.method == "HEAD", closes, out);
        self.note(&page, refusal.word(), (head.method, head.path), sent, begun);
        false
    }

    fn turn_away(&self, fault: Fault, out: &mut BytesMut) {
        self.gate.suspects(Intent::Probing, self.client.remote);
        tracing::debug!(remote = %self.client.remote, "refused: {fault}");
        let page = Page::status(fault.status);
        let sent = page.write(false, true, out);
        self.note(&page, "malformed", ("", ""), sent, Instant::now());
    }
}

impl Service {
    /// What a request says, as admission wants it.
    fn ask<'a>(&self, head: &Head<'a>) -> Ask<'a> {
        let said = &head.said;
        Ask {
            remote: self.client.remote,
            proxied: said.proxied && is_loopback(self.client.remote),
            local: self.client.local,
            host: said.host,
            origin: said.origin,
            unsafe_: head.framing.upgrade || !matches!(head.method, "GET" | "HEAD" | "OPTIONS"),
            worker: said.worker,
            shown: Shown::of(said.token, said.authorization, said.cookie),
        }
    }

    /// The gate's own pages need no lease: they are there when the gateway is not.
    fn greet(&self, ask: &Ask<'_>) -> Result<LetIn, Refusal> {
        let gate = &self.gate;
        let mut books = gate.books.borrow_mut();
        greet(ask, &self.client.sources, &gate.names, &mut *books, clock::moment())?;
        Ok(LetIn::Greeted)
    }

    fn admit(&self, head: &Head<'_>, ask: &Ask<'_>, begun: Instant) -> Result<LetIn, Refusal> {
        let gate = &self.gate;
        let lease = gate.vouching.lease();
        let mut books = gate.books.borrow_mut();
        let permit: Permit =
            admit(ask, lease, &self.client.sources, &gate.names, &mut *books, clock::moment())?;
        // From this moment on: the library may not come to it for a while.
        let standing = Standing::new(gate, permit, &self.client);
        Ok(LetIn::Admitted(Admitted {
            standing,
            begun,
            wants: Wants::of(head.said.accept),
            socket: head.framing.upgrade,
            keep_authorization: head.said.authorization.and_then(own_token).is_none(),
        }))
    }

    /// Whether a live session is shown, whatever is asked for.
    fn is_signed_in(&self, ask: &Ask<'_>) -> bool {
        let Shown::Session(cookies) = ask.shown else { return false };
        self.client.sources.admits(ask.remote)
            && self.gate.names.host(ask.host, ask.local, ask.remote)
            && self.gate.books.borrow_mut().session(cookies, clock::moment()).is_some()
    }

    fn note(&self, page: &Page, word: &'static str, asked: (&str, &str), sent: u64, begun: Instant) {
        let (status, refused) = (page.code(), Some(word));
        self.gate.counts.answered(status, refused);
        self.gate.access_log.write(&Entry {
            remote: self.client.remote,
            method: asked.0,
            path: asked.1,
            status,
            sent,
            caller: None,
            refused,
            took: begun.elapsed(),
        });
    }
}
