//! What this Guardian can do on this host, and what it lacks.

use std::fmt::Write as _;

use serde::Serialize;

use crate::barrier::firewall::{Firewall, FirewallError};
use crate::config::Config;
use crate::sys::paths::Paths;
use crate::sys::systemd;
use guardian_probes::command::{CommandError, Tool};

/// One thing that Guardian may or may not be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Power {
    /// What it is, in a few words.
    pub(crate) name: &'static str,
    /// It is there.
    pub(crate) has: bool,
    /// A trip is weaker without it.
    pub(crate) matters: bool,
    /// What it is good for, or what is missing.
    pub(crate) detail: String,
    /// What to type to get it.
    pub(crate) remedy: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Powers(Vec<Power>);

const FIREWALL: &str = "firewall";
const STATE: &str = "state";
/// What the policy takes away.
const ENFORCE: &str = "enforce";
const SEAL: &str = "seal";

impl Powers {
    /// Looks what is there. Changes nothing.
    pub(crate) async fn look(config: &Config, paths: &Paths) -> Self {
        Self(Vec::new()).look_again(config, paths).await
    }

    /// The same once more. A packet filter that could be used is not asked again: one slow answer must not cost the
    /// wall, and whether the wall stands its barrier tells.
    pub(crate) async fn look_again(&self, config: &Config, paths: &Paths) -> Self {
        let root = nix::unistd::Uid::effective().is_root();
        let mut powers = vec![Power {
            name: "root",
            has: root,
            matters: true,
            detail: if root {
                "sees and ends every user's processes".to_owned()
            } else {
                "without root only this user's processes can be named, stopped and held".to_owned()
            },
            remedy: (!root).then(|| "install it as root: sudo guardian install".to_owned()),
        }];
        let usable = if self.firewall() { Ok(()) } else { Firewall::usable().await };
        powers.push(firewall(usable));
        let supervisor = supervisor(root).await;
        powers.push(supervisor);
        powers.push(match paths.can_be_prepared() {
            Ok(()) if root => power(STATE, "the lock and the journal are out of the agent's reach"),
            Ok(()) => Power {
                name: STATE,
                has: false,
                matters: false,
                detail: "an agent that runs as this user can change the lock and the journal".to_owned(),
                remedy: Some("install it as root: sudo guardian install".to_owned()),
            },
            Err(failed) => Power {
                name: STATE,
                has: false,
                matters: true,
                detail: crate::cli::chain(&failed),
                remedy: None,
            },
        });
        Self(powers).under(config)
    }

    /// The same under another policy.
    pub(crate) fn under(self, config: &Config) -> Self {
        let Self(mut powers) = self;
        powers.retain(|power| ![ENFORCE, SEAL].contains(&power.name));
        let observes = config.settings.mode == crate::config::Mode::Observe;
        if observes {
            powers.push(Power {
                name: ENFORCE,
                has: false,
                matters: true,
                detail: "observe mode: exposure is reported and nothing is blocked".to_owned(),
                remedy: Some("set mode = \"enforce\" in guardian.toml".to_owned()),
            });
        }
        if !config.settings.seal {
            powers.push(Power {
                name: SEAL,
                has: false,
                matters: false,
                detail: "switched off in guardian.toml: a wrong bind is reachable until it is seen"
                    .to_owned(),
                remedy: Some("set seal = true in guardian.toml".to_owned()),
            });
        }
        Self(powers)
    }

    /// The firewall can be used.
    pub(crate) fn firewall(&self) -> bool {
        self.0.iter().any(|power| power.name == FIREWALL && power.has)
    }

    /// Something of this host's is missing, and may be there later.
    pub(crate) fn lacks(&self) -> bool {
        self.0.iter().any(|power| !power.has && [FIREWALL, SUPERVISOR, STATE].contains(&power.name))
    }

    /// Nothing that matters is missing.
    pub(crate) fn armed(&self) -> bool {
        self.0.iter().all(|power| power.has || !power.matters)
    }

    /// What is missing, a sentence each.
    pub(crate) fn missing(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter(|power| !power.has).map(|power| format!("{}: {}", power.name, power.detail))
    }

    /// A page for people.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        for power in &self.0 {
            let mark = if power.has {
                "✓"
            } else if power.matters {
                "✗"
            } else {
                "-"
            };
            let _ = writeln!(page, "{mark} {:10} {}", power.name, power.detail);
            if let Some(remedy) = &power.remedy {
                let _ = writeln!(page, "             to get it: {remedy}");
            }
        }
        page
    }
}

fn firewall(usable: Result<(), FirewallError>) -> Power {
    let Err(failed) = usable else { return power(FIREWALL, "cuts a gateway off while the agent works on") };
    // Nothing else is mended by installing something, and pf is there.
    let missing = matches!(&failed, FirewallError::Command { cause: CommandError::Missing(_), .. });
    Power {
        name: FIREWALL,
        has: false,
        matters: true,
        detail: format!("a trip has to stop the gateway: {}", crate::cli::chain(&failed)),
        remedy: (missing && cfg!(target_os = "linux")).then(|| "install nftables".to_owned()),
    }
}

fn power(name: &'static str, detail: &str) -> Power {
    Power { name, has: true, matters: true, detail: detail.to_owned(), remedy: None }
}

const SUPERVISOR: &str = "supervisor";

/// systemd, or launchd, which is always there.
async fn supervisor(root: bool) -> Power {
    if cfg!(target_os = "macos") {
        return power(SUPERVISOR, "launchd services can be kept from starting");
    }
    if !systemd::booted() {
        return without_supervisor("this host does not run systemd");
    }
    let scope = if root { "--system" } else { "--user" };
    let mut tool = Tool::new("systemctl", [scope, "show", "--property=Version"])
        .within(std::time::Duration::from_secs(3));
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !root) {
        tool = tool.with("XDG_RUNTIME_DIR", runtime);
    }
    match tool.run().await {
        Ok(_) => power(SUPERVISOR, "systemd services can be kept from starting"),
        Err(failed) => without_supervisor(&format!("systemd cannot be asked ({failed})")),
    }
}

fn without_supervisor(why: &str) -> Power {
    let detail = format!("{why}: whoever else starts the gateway is fought by ending it");
    Power { name: SUPERVISOR, has: false, matters: false, detail, remedy: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::scratch::Scratch;

    fn command(cause: CommandError) -> FirewallError {
        FirewallError::Command { what: "nft would not", cause }
    }

    fn config(text: &str) -> Config {
        Config::of_text("guardian.toml".as_ref(), text).unwrap()
    }

    #[test]
    fn only_what_is_not_installed_is_to_be_installed() {
        let missing = firewall(Err(command(CommandError::Missing("nft".to_owned()))));
        let expected = cfg!(target_os = "linux").then(|| "install nftables".to_owned());
        assert_eq!((missing.has, missing.remedy), (false, expected));
        let deadline = std::time::Duration::from_secs(3);
        let slow = firewall(Err(command(CommandError::TimedOut { program: "nft".to_owned(), deadline })));
        assert!(slow.remedy.is_none() && slow.detail.contains("did not end"), "{slow:?}");
        assert_eq!(firewall(Err(FirewallError::NotRoot)).remedy, None);
        assert!(firewall(Ok(())).has);
    }

    #[tokio::test]
    async fn what_could_be_used_is_not_lost_by_another_look_and_what_is_missing_may_come() {
        let scratch = Scratch::new();
        let had = Powers(vec![firewall(Ok(()))]);
        assert!(had.look_again(&config(""), &scratch.paths).await.firewall(), "it was not asked");
        let lacked = Powers(vec![firewall(Err(FirewallError::NotRoot))]);
        assert!(lacked.lacks());
        let looked = lacked.look_again(&config(""), &scratch.paths).await;
        assert_eq!(looked, Powers::look(&config(""), &scratch.paths).await);
    }

    #[test]
    fn another_policy_takes_away_and_gives_back_what_is_its_own() {
        let powers = Powers(vec![firewall(Ok(()))]);
        let observes = powers.clone().under(&config("mode = \"observe\"\nseal = false"));
        assert!(!observes.armed() && observes.missing().count() == 2 && !observes.lacks());
        assert_eq!(observes.under(&config("")), powers);
    }
}
