//! Getting back in from the page: the same two steps as on the command line, and the passphrase
//! again for each, with another code where codes are on. The watcher checks both too: it does not take
//! the gate's word.

use maud::html;

use super::{Form, STATUS, sign_in};
use crate::cli::chain;
use crate::control::client::Client;
use crate::control::protocol::{Ask, Reply};
use crate::gate::page::Page;
use crate::gate::service::{Outcome, Service};

/// Begins to recover.
pub(super) async fn recover(service: &Service, form: &Form) -> Outcome {
    step(service, form, Ask::Recover).await
}

/// Closes the circuit.
pub(super) async fn close(service: &Service, form: &Form) -> Outcome {
    step(service, form, Ask::Close).await
}

async fn step(service: &Service, form: &Form, ask: Ask) -> Outcome {
    let given = sign_in::given(form);
    if let Err(outcome) = sign_in::check(service, given.clone()).await {
        return outcome;
    }
    let answered = match Client::connect(&service.gate.paths).await {
        Ok(client) => client.ask_as_owner(ask, given).await,
        Err(failed) => Err(failed),
    };
    match answered {
        Ok(Reply::Done | Reply::AlreadySo) => Outcome::page(Page::redirect(STATUS)),
        Ok(Reply::Refused(why)) => told(409, &why.to_string()),
        Ok(Reply::Failed(why)) => told(503, &why),
        Ok(Reply::Review(_)) => told(503, "The watcher answered another question."),
        Err(failed) => told(503, &chain(&failed)),
    }
}

fn told(status: u16, why: &str) -> Outcome {
    let main = html! {
        h1 { span class="state stop" { "Not done" } }
        p { (why) }
        p { a href=(STATUS) { "Back to the state" } }
    };
    Outcome::refused(Page::html(status, "Not done", &main, None), "not-done")
}
