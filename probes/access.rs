//! Who gets in without credentials: an empty `POST /tools/invoke`.

pub(crate) mod verdict;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, AccessAnswer, PanelAnswer, Reply, Transport};
use guardian_rules::snapshot::{ProbeId, Snapshot};
use reqwest::Method;

use crate::ask::targets::{Target, targets};
use crate::ask::{Heard, Question, Turn, ask, ask_by, each};
use crate::marks::marks;
use crate::probe::{Ground, Probe};

/// All questions together end after this; whoever was not asked by then is unknown.
const BUDGET: Duration = Duration::from_secs(4);

/// A gateway's answer has a hundred bytes.
const ANSWER: usize = 64 * 1024;

/// Asks every listener that speaks HTTP whether it lets a request without credentials in.
///
/// The question has no side effect: a gateway checks credentials before it reads the body, an
/// empty body names no tool, nothing is logged, no pairing is asked for, and missing credentials
/// do not count against its rate limit. Measured on 2026.1.24-3, 2026.1.29 and 2026.9.6.
#[derive(Debug, Default)]
pub struct AccessProbe;

impl Probe for AccessProbe {
    type Facts = Vec<AccessAnswer>;
    const ID: ProbeId = ProbeId::Access;
    const CADENCE: Duration = Duration::from_secs(10);
    const DEADLINE: Duration = Duration::from_secs(8);

    async fn observe(&mut self, ground: Ground) -> Result<Vec<AccessAnswer>, Blindness> {
        let turns = each(plan(&ground), BUDGET, |(target, way)| {
            let (target, way) = (target.clone(), *way);
            async move { look(&target, way).await }
        })
        .await;
        Ok(turns
            .into_iter()
            .map(|((target, way), turn)| {
                let (transport, access) = answer(turn, way);
                AccessAnswer { at: target.at, bound: target.bound, transport, access }
            })
            .collect())
    }
}

/// Whom to ask, and in what, if that is known already.
///
/// Whoever speaks HTTP is asked in the way in which it spoke. Where a gateway is expected, it is
/// asked unless it takes no connections; and so is everybody of whom the panel probe knows
/// nothing.
fn plan(ground: &Ground) -> Vec<(Target, Option<Transport>)> {
    let replies = replies(&ground.known);
    targets(&ground.policy, &ground.known)
        .into_iter()
        .filter_map(|target| match replies.get(&(target.at, target.bound)) {
            Some(Reply::Http(page)) => Some((target, Some(page.transport))),
            Some(Reply::Refused) => None,
            Some(Reply::OtherProtocol | Reply::Closed | Reply::Silent | Reply::Unknown(_)) => {
                target.rank.is_keen().then_some((target, None))
            }
            None => Some((target, None)),
        })
        .collect()
}

/// What the panel probe heard last, by address asked and listener.
fn replies(known: &Snapshot) -> HashMap<(SocketAddr, SocketAddr), &Reply> {
    let answers: &[PanelAnswer] = known.panel.known().map_or(&[], Vec::as_slice);
    answers.iter().map(|answer| ((answer.at, answer.bound), &answer.reply)).collect()
}

/// Asks whether each of these lets anyone in, all together within a budget of time.
///
/// Where no connection is taken of this host, another may be: a packet filter tells them apart, and where this
/// host itself takes none, whether others are sent elsewhere is not known.
pub(crate) async fn who_gets_in(targets: Vec<Target>, budget: Duration) -> Vec<Access> {
    let turns = each(targets, budget, |target| {
        let target = target.clone();
        async move { look(&target, None).await }
    });
    let turns = turns.await.into_iter();
    turns
        .map(|(target, turn)| match turn {
            Turn::Done(Heard::Refused) if target.through.is_none() => Access::Unknown(Blindness::new(
                Cause::Interrupted,
                format!("{} takes no connection of this host's own", target.at),
            )),
            turn => answer(turn, None).1,
        })
        .collect()
}

/// The same of guests of this host; none where nobody takes a connection, so that nobody is carried there.
pub(crate) async fn who_gets_in_at_guests(targets: Vec<Target>, budget: Duration) -> Vec<Option<Access>> {
    let turns = each(targets, budget, |target| {
        let target = target.clone();
        async move { look(&target, None).await }
    });
    let turns = turns.await.into_iter();
    turns
        .map(|(_, turn)| (!matches!(turn, Turn::Done(Heard::Refused))).then(|| answer(turn, None).1))
        .collect()
}

async fn look(target: &Target, way: Option<Transport>) -> Heard {
    let question = Question { method: Method::POST, path: &marks().access.path, limit: ANSWER };
    match way {
        Some(transport) => ask_by(target, transport, &question).await,
        None => ask(target, &question).await,
    }
}

fn answer(turn: Turn<Heard>, way: Option<Transport>) -> (Transport, Access) {
    let asked = way.unwrap_or(Transport::Plain);
    match turn {
        Turn::Done(Heard::Http(answer)) => (answer.transport, verdict::of(&answer)),
        Turn::Done(heard) => (asked, without_http(heard)),
        Turn::Late => {
            let late = "too many listeners, or too many that do not answer: its turn did not come";
            (asked, Access::Unknown(Blindness::new(Cause::TooMuch, late)))
        }
        Turn::Failed => {
            let failed = "its answer made the question fail";
            (asked, Access::Unknown(Blindness::new(Cause::Panicked, failed)))
        }
    }
}

fn without_http(heard: Heard) -> Access {
    match heard {
        Heard::OtherProtocol => Access::NoGateway,
        // It took the connection before. A packet filter came in between, or the end of whoever listens.
        Heard::Refused => {
            Access::Unknown(Blindness::new(Cause::Interrupted, "refuses whoever asks from here"))
        }
        Heard::Closed => Access::Unknown(Blindness::new(Cause::Interrupted, "hung up without an answer")),
        Heard::Silent => Access::Unknown(Blindness::timed_out("accepted, and did not answer in time")),
        Heard::Unknown(why) => Access::Unknown(why),
        Heard::Http(answer) => verdict::of(&answer),
    }
}

#[cfg(test)]
mod tests;
