//! nftables through `nft`, and sockets through `ss`.

use std::collections::BTreeSet;

use super::nft::{self, shown, shown::Shown};
use super::sockets;
use super::sockets::visitors::{self, Visitors};
use super::wall::Wall;
use super::{FirewallError, own_addresses};
use crate::barrier::Held;
use guardian_probes::command::{CommandError, Tool};
use guardian_probes::redirects::generation;

#[cfg(test)]
mod tests;

/// More connections than these are not kept in mind.
const MOST_VISITORS: usize = 10_000;

/// What was raised last, and who was connected before.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    raised: Option<Raised>,
    visitors: Visitors,
}

#[derive(Debug)]
struct Raised {
    /// As the kernel showed it.
    shown: Shown,
    /// The generation of the rules in which it was read, if that is known.
    generation: Option<u32>,
}

/// What our table is like.
enum Table {
    Absent,
    Present(Shown),
}

pub(super) async fn usable() -> Result<(), FirewallError> {
    let failed = failed("nft or the kernel would not take guardian's rules");
    nft::check(&nft::ruleset(&Wall::sample())).run().await.map_err(failed)?;
    Ok(())
}

impl Firewall {
    /// The kernel keeps nothing for us that has to be given back.
    pub(super) fn resumed(_: Option<String>) -> Self {
        Self::default()
    }

    pub(super) async fn raise(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        let commands = nft::ruleset(wall);
        nft::apply(&commands).run().await.map_err(failed("guardian's rules could not be put up"))?;
        self.raised = None;
        let (table, generation) = look_once().await;
        match table? {
            Table::Present(shown) if shown.is_of(&commands) => {
                self.raised = Some(Raised { shown, generation });
            }
            Table::Present(_) => {
                return Err(FirewallError::Otherwise("somebody has changed guardian's table"));
            }
            Table::Absent => return Err(FirewallError::Otherwise("guardian's table is gone again")),
        }
        Ok(())
    }

    pub(super) async fn standing(&mut self) -> Held {
        let Some(raised) = &mut self.raised else { return Held::No };
        if raised.generation.is_some() && generation::now().ok() == raised.generation {
            // Nobody has changed any rule since ours were read.
            return Held::Yes;
        }
        let (table, generation) = look_once().await;
        match table {
            Ok(Table::Present(shown)) if shown == raised.shown => {
                raised.generation = generation;
                Held::Yes
            }
            Ok(_) => Held::No,
            Err(_) => Held::Unknown,
        }
    }

    pub(super) async fn lower(&mut self, _: Option<&str>) -> Result<(), FirewallError> {
        let failed = failed("guardian's rules could not be taken away");
        nft::apply(&nft::removal()).run().await.map_err(failed)?;
        self.raised = None;
        Ok(())
    }

    pub(super) async fn note_visitors(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        if wall.local_users.is_some() {
            // A wall that cannot be put up is tried again and again.
            if self.visitors.len() > MOST_VISITORS {
                self.visitors.clear();
            }
            self.visitors.extend(visitors(wall).await?);
        }
        Ok(())
    }

    pub(super) async fn evict(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        let Some(users) = &wall.local_users else { return Ok(()) };
        self.note_visitors(wall).await?;
        let strangers = visitors::strangers(&self.visitors, users);
        if !strangers.is_empty() {
            for tool in visitors::end(&strangers) {
                tool.run().await.map_err(failed("connections to the gateway could not be ended"))?;
            }
            let left = visitors::strangers(&visitors(wall).await?, users);
            match strangers.intersection(&left).count() {
                0 => {}
                alive => return Err(FirewallError::Alive(alive)),
            }
        }
        self.visitors.clear();
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "pf has one")]
    pub(super) fn token(&self) -> Option<String> {
        None
    }
}

/// Reads our table, and in which generation of the rules that was; none if they were changed
/// meanwhile.
async fn look_once() -> (Result<Table, FirewallError>, Option<u32>) {
    let before = generation::now().ok();
    let table = look().await;
    (table, before.filter(|_| generation::now().ok() == before))
}

/// Reads our table.
async fn look() -> Result<Table, FirewallError> {
    match nft::list().run().await {
        Ok(printed) => shown::read(&printed.stdout)
            .map(Table::Present)
            .map_err(|cause| FirewallError::Unreadable { program: "nft", cause: cause.into() }),
        Err(CommandError::Failed { said, .. }) if said.contains("No such file or directory") => {
            Ok(Table::Absent)
        }
        Err(cause) => Err(failed("guardian's rules could not be read back")(cause)),
    }
}

pub(super) async fn cut(wall: &Wall) -> Result<(), FirewallError> {
    let own = own_addresses()?;
    let before = connections(&sockets::list(wall, &own)).await;
    if before.as_ref().is_ok_and(BTreeSet::is_empty) {
        return Ok(());
    }
    // They are ended even where it cannot be told which there are.
    for tool in sockets::destroy(wall, &own) {
        tool.run().await.map_err(failed("connections to the gateway could not be ended"))?;
    }
    // Those that are allowed may have connected again: only old ones count.
    let after = connections(&sockets::list(wall, &own)).await?;
    match before?.intersection(&after).count() {
        0 => Ok(()),
        alive => Err(FirewallError::Alive(alive)),
    }
}

async fn visitors(wall: &Wall) -> Result<Visitors, FirewallError> {
    let mut all = Visitors::new();
    for tool in visitors::list(wall, &own_addresses()?) {
        let printed = tool.run().await.map_err(failed("connections to the gateway cannot be listed"))?;
        all.extend(visitors::read(&printed.stdout).map_err(unreadable)?);
    }
    Ok(all)
}

async fn connections(tools: &[Tool]) -> Result<BTreeSet<sockets::Connection>, FirewallError> {
    let mut all = BTreeSet::new();
    for tool in tools {
        let printed = tool.run().await.map_err(failed("connections to the gateway cannot be listed"))?;
        all.extend(sockets::read(&printed.stdout).map_err(unreadable)?);
    }
    Ok(all)
}

fn unreadable(cause: sockets::Garbled) -> FirewallError {
    FirewallError::Unreadable { program: "ss", cause: cause.into() }
}

fn failed(what: &'static str) -> impl FnOnce(CommandError) -> FirewallError {
    move |cause| FirewallError::Command { what, cause }
}
