//! pf through pfctl(8), and through its device where `pfctl` cannot: it attaches no anchor to the
//! running ruleset, and ends no connections by port.

use pfctl::{AnchorKind, PfCtl, Proto};

use super::pf::concern::concerns;
use super::pf::{self, said};
use super::wall::Wall;
use super::{FirewallError, own_addresses};
use crate::barrier::Held;
use guardian_probes::command::{CommandError, Printed, Tool};

/// What was raised last, as pf showed it, and what keeps pf enabled for us.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    raised: Option<Vec<String>>,
    token: Option<String>,
}

pub(super) async fn usable() -> Result<(), FirewallError> {
    run(&pf::info(), "pf does not answer").await?;
    run(&pf::check(&pf::rules(&Wall::sample())), "pf would not take guardian's rules").await?;
    Ok(())
}

impl Firewall {
    /// One whose token was written down by an earlier guardian.
    pub(super) fn resumed(token: Option<String>) -> Self {
        Self { raised: None, token }
    }

    pub(super) async fn raise(&mut self, wall: &Wall) -> Result<(), FirewallError> {
        let rules = pf::rules(wall);
        run(&pf::load(&rules), "guardian's rules could not be put up").await?;
        self.raised = None;
        attach()?;
        if !self.keeps_enabled().await? {
            let printed = run(&pf::enable(), "pf could not be enabled").await?;
            self.token = Some(said::token(&printed.stderr).map_err(unreadable)?);
        }
        let shown = look().await?.ok_or(FirewallError::Otherwise("pf is off, or does not ask its anchor"))?;
        if shown.len() != rules.lines().count() {
            return Err(FirewallError::Otherwise("somebody has changed guardian's anchor"));
        }
        self.raised = Some(shown);
        Ok(())
    }

    /// Whether pf is enabled, by our own reference among others.
    async fn keeps_enabled(&self) -> Result<bool, FirewallError> {
        let Some(token) = &self.token else { return Ok(false) };
        let what = "the references to pf cannot be listed";
        let references = run(&pf::references(), what).await?;
        Ok(said::holds(&references.stdout, token) && is_enabled().await?)
    }

    pub(super) async fn standing(&mut self) -> Held {
        let Some(raised) = &self.raised else { return Held::No };
        match look().await {
            Ok(Some(shown)) if shown == *raised => Held::Yes,
            Ok(_) => Held::No,
            Err(_) => Held::Unknown,
        }
    }

    pub(super) async fn lower(&mut self, token: Option<&str>) -> Result<(), FirewallError> {
        let what = "guardian's rules could not be taken away";
        self.raised = None;
        run(&pf::flush(), what).await?;
        detach()?;
        if let Some(token) = token {
            // Tokens are invalid once somebody has switched pf off.
            let references = run(&pf::references(), what).await?;
            if said::holds(&references.stdout, token) {
                run(&pf::release(token), "pf could not be given back").await?;
            }
        }
        self.token = None;
        Ok(())
    }

    /// pf does not tell whose a state is.
    #[expect(clippy::unused_async, reason = "as on Linux")]
    pub(super) async fn note_visitors(&mut self, _: &Wall) -> Result<(), FirewallError> {
        Ok(())
    }

    #[expect(clippy::unused_async, reason = "as on Linux")]
    pub(super) async fn evict(&mut self, _: &Wall) -> Result<(), FirewallError> {
        Ok(())
    }

    pub(super) fn token(&self) -> Option<String> {
        self.token.clone()
    }
}

/// The rules in our anchor, if pf is enabled and asks it.
async fn look() -> Result<Option<Vec<String>>, FirewallError> {
    let what = "guardian's rules could not be read back";
    if !is_enabled().await? || !said::attached(&run(&pf::list_main(), what).await?.stdout) {
        return Ok(None);
    }
    Ok(Some(said::rules(&run(&pf::list(), what).await?.stdout)))
}

async fn is_enabled() -> Result<bool, FirewallError> {
    let printed = run(&pf::info(), "pf does not tell its status").await?;
    said::enabled(&printed.stdout).map_err(unreadable)
}

/// Puts our anchor into the running ruleset, if it is not there: whoever loads a ruleset anew
/// takes it out.
fn attach() -> Result<(), FirewallError> {
    let refused = refused("guardian's anchor could not be attached");
    device()?.try_add_anchor(pf::ANCHOR, AnchorKind::Filter).map_err(refused)
}

fn detach() -> Result<(), FirewallError> {
    let refused = refused("guardian's anchor could not be detached");
    device()?.try_remove_anchor(pf::ANCHOR, AnchorKind::Filter).map_err(refused)
}

fn device() -> Result<PfCtl, FirewallError> {
    PfCtl::new().map_err(refused("the device of pf could not be opened"))
}

/// Forgets the states of connections, so that the rules are asked for their next packet. The
/// connections themselves are not in pf's hands.
#[expect(clippy::unused_async, reason = "as on Linux")]
pub(super) async fn cut(wall: &Wall) -> Result<(), FirewallError> {
    let own = own_addresses()?;
    let mut pf = device()?;
    let states = pf.get_states().map_err(refused("the connections cannot be listed"))?;
    for state in states {
        // States of other protocols have no such ends.
        if !matches!(state.proto(), Ok(Proto::Tcp)) {
            continue;
        }
        if let (Ok(local), Ok(peer)) = (state.local_address(), state.remote_address())
            && concerns(local, peer, wall, &own)
        {
            pf.kill_state(&state).map_err(refused("a connection could not be ended"))?;
        }
    }
    Ok(())
}

async fn run(tool: &Tool, what: &'static str) -> Result<Printed, FirewallError> {
    tool.run().await.map_err(|cause: CommandError| FirewallError::Command { what, cause })
}

fn refused(what: &'static str) -> impl FnOnce(pfctl::Error) -> FirewallError {
    move |cause| FirewallError::Refused { what, cause: cause.into() }
}

fn unreadable(cause: said::Garbled) -> FirewallError {
    FirewallError::Unreadable { program: "pfctl", cause: cause.into() }
}
