//! Reads the rules of pf, one anchor after the other: macOS takes no wildcard for them.

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Redirect;

use super::pf::{self, MAX_ANCHORS};
use crate::command::{CommandError, Tool};

/// pf counts no changes that could be asked for.
#[derive(Debug, Default)]
pub(super) struct Filter;

impl Filter {
    /// What the rules do to arriving connections.
    pub(super) async fn redirects(&mut self) -> Result<Vec<Redirect>, Blindness> {
        let info = pfctl(&["-s", "info"]).await?;
        if pf::is_off(&info)
            .ok_or_else(|| Blindness::malformed("pfctl does not say whether pf is enabled"))?
        {
            return Ok(Vec::new());
        }
        let mut redirects = pf::redirects("", &pfctl(&["-s", "nat"]).await?);
        let anchors = pf::anchors(&pfctl(&["-v", "-s", "Anchors"]).await?);
        if anchors.len() > MAX_ANCHORS {
            return Err(Blindness::new(Cause::TooMuch, format!("pf has more than {MAX_ANCHORS} anchors")));
        }
        for anchor in anchors {
            redirects.extend(pf::redirects(&anchor, &pfctl(&["-a", &anchor, "-s", "nat"]).await?));
        }
        Ok(redirects)
    }
}

async fn pfctl(arguments: &[&str]) -> Result<String, Blindness> {
    let printed = Tool::new("pfctl", arguments).run().await.map_err(|why| {
        let cause = match &why {
            CommandError::Missing(_) => Cause::ToolMissing,
            CommandError::TimedOut { .. } => Cause::TimedOut,
            CommandError::Failed { said, .. }
                if said.contains("denied") || said.contains("not permitted") =>
            {
                Cause::Denied
            }
            CommandError::Unusable { .. } | CommandError::Failed { .. } => Cause::Interrupted,
        };
        Blindness::new(cause, why.to_string())
    })?;
    Ok(printed.stdout)
}

/// macOS has no such switch.
pub(super) fn taking_loopback() -> Option<Vec<String>> {
    None
}

/// There are none, where there is no such switch.
pub(super) fn cards(taking: &[String]) -> impl Iterator<Item = &String> {
    taking.iter()
}
