//! What this host can do is looked at again: a packet filter may be installed while the watcher runs, or have been
//! slow to answer once. In a task of its own, for that runs programs.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Watcher, rules};
use crate::config::Config;
use crate::powers::Powers;
use crate::sys::clock::Moment;
use crate::sys::paths::Paths;

/// While something is missing it is looked for this often.
const AGAIN: Duration = Duration::from_mins(1);

/// Looks what there is.
#[derive(Debug)]
pub(super) struct Equipment {
    tell: mpsc::Sender<Powers>,
    heard: mpsc::Receiver<Powers>,
    busy: bool,
    next: Moment,
}

impl Equipment {
    /// Somebody has just looked.
    pub(super) fn looked(now: Moment) -> Self {
        let (tell, heard) = mpsc::channel(1);
        Self { tell, heard, busy: false, next: now + AGAIN }
    }

    /// Begins to look, unless it is at it.
    fn look(&mut self, known: &Powers, config: &Config, paths: &Paths, now: Moment) {
        self.next = now + AGAIN;
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        let (tell, known, config, paths) = (self.tell.clone(), known.clone(), config.clone(), paths.clone());
        tokio::spawn(async move {
            // Nobody may be there any more.
            let _ = tell.send(known.look_again(&config, &paths).await).await;
        });
    }

    /// What was found, if somebody has come back.
    fn hear(&mut self) -> Option<Powers> {
        let found = self.heard.try_recv().ok()?;
        self.busy = false;
        Some(found)
    }
}

impl Watcher {
    /// Goes by what was found, and looks again where something is missing and it is time to.
    pub(super) fn mind_equipment(&mut self, now: Moment) {
        if let Some(found) = self.equipment.hear() {
            // It was begun under a policy that may not be in force any more.
            let found = found.under(&self.config);
            if found != self.powers {
                let missing: Vec<String> = found.missing().collect();
                tracing::info!(?missing, "this host can do something else than before");
                self.powers = found;
                self.rules = rules(&self.config, &self.powers);
                self.record("powers changed", serde_json::json!({ "missing": missing }));
                self.give_orders();
                self.tell_status();
            }
        }
        if now >= self.equipment.next && self.powers.lacks() {
            self.look_at_equipment(now);
        }
    }

    pub(super) fn look_at_equipment(&mut self, now: Moment) {
        self.equipment.look(&self.powers, &self.config, &self.paths, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::scratch::Scratch;

    #[tokio::test]
    async fn one_look_at_a_time_and_what_it_found_is_heard_once() {
        let scratch = Scratch::new();
        let config = Config::of_text("guardian.toml".as_ref(), "").unwrap();
        let known = Powers::look(&config, &scratch.paths).await;
        let now = Moment::after_boot(Duration::from_secs(1));
        let mut equipment = Equipment::looked(now);
        assert!(equipment.next > now && equipment.hear().is_none());
        equipment.look(&known, &config, &scratch.paths, now);
        equipment.look(&known, &config, &scratch.paths, now);
        let found = tokio::time::timeout(Duration::from_secs(30), equipment.heard.recv()).await.unwrap();
        assert_eq!(found.unwrap(), known);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(equipment.hear().is_none(), "the second one was not begun");
    }
}
