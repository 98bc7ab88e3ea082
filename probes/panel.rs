//! Who serves the panel: `GET /` to every listener, in plain text and in TLS.

pub(crate) mod page;
pub(crate) mod side_door;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Page, PanelAnswer, Reply};
use guardian_rules::snapshot::ProbeId;
use reqwest::Method;

use crate::ask::targets::{Target, targets};
use crate::ask::{Answer, Heard, Question, Turn, ask, each};
use crate::probe::{Ground, Probe, blocking};

/// All questions together end after this; whoever was not asked by then is unknown.
const BUDGET: Duration = Duration::from_secs(5);

/// The panel's page has 20 kB; whatever is longer than this is not read on.
const PAGE: usize = 256 * 1024;

/// Asks every listener for its page.
#[derive(Debug, Default)]
pub struct Panel {
    /// Whose turn did not come the last time, by address asked and listener: they come first the next time, so that
    /// whoever opens silent sockets by the hundred keeps nobody from being asked for long.
    late: BTreeSet<(SocketAddr, SocketAddr)>,
}

impl Probe for Panel {
    type Facts = Vec<PanelAnswer>;
    const ID: ProbeId = ProbeId::Panel;
    const CADENCE: Duration = Duration::from_secs(10);
    const DEADLINE: Duration = Duration::from_secs(8);

    async fn observe(&mut self, ground: Ground) -> Result<Vec<PanelAnswer>, Blindness> {
        let targets = in_turn(targets(&ground.policy, &ground.known), &self.late);
        let turns = each(targets, BUDGET, |target| {
            let target = target.clone();
            async move { look(&target).await }
        })
        .await;
        let late = turns.iter().filter(|(_, turn)| matches!(turn, Turn::Late));
        self.late = late.map(|(target, _)| (target.at, target.bound)).collect();
        Ok(turns
            .into_iter()
            .map(|(target, turn)| PanelAnswer { at: target.at, bound: target.bound, reply: reply(turn) })
            .collect())
    }
}

/// Where a gateway is expected is asked first, then whose turn did not come the last time.
fn in_turn(mut targets: Vec<Target>, late: &BTreeSet<(SocketAddr, SocketAddr)>) -> Vec<Target> {
    targets.sort_by_key(|it| (!it.rank.is_keen(), !late.contains(&(it.at, it.bound))));
    targets
}

fn reply(turn: Turn<Reply>) -> Reply {
    match turn {
        Turn::Done(reply) => reply,
        Turn::Late => Reply::Unknown(Blindness::new(
            Cause::TooMuch,
            "too many listeners, or too many that do not answer: its turn did not come",
        )),
        Turn::Failed => Reply::Unknown(Blindness::new(Cause::Panicked, "its answer made the question fail")),
    }
}

async fn look(target: &Target) -> Reply {
    let question = Question { method: Method::GET, path: "/", limit: PAGE };
    match ask(target, &question).await {
        Heard::Http(answer) => match read(target, answer).await {
            Ok(page) => Reply::Http(page),
            Err(why) => Reply::Unknown(why),
        },
        Heard::OtherProtocol => Reply::OtherProtocol,
        Heard::Closed => Reply::Closed,
        Heard::Silent => Reply::Silent,
        Heard::Refused => Reply::Refused,
        Heard::Unknown(why) => Reply::Unknown(why),
    }
}

async fn read(target: &Target, answer: Answer) -> Result<Page, Blindness> {
    let side_door = side_door::behind(target, &answer).await;
    blocking(move || {
        let marks = page::marks(&answer.body);
        let is_panel = marks.title.is_some() || marks.structure.is_some();
        Ok(Page {
            transport: answer.transport,
            status: answer.status,
            title: marks.title,
            structure: marks.structure,
            build: marks.build,
            digest: (is_panel && answer.whole).then(|| page::digest(&answer.body)),
            side_door,
        })
    })
    .await
}

#[cfg(test)]
mod tests;
