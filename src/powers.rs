//! What this Guardian can do on this host, and what it lacks.

use std::fmt::Write as _;

use serde::Serialize;

use crate::barrier::firewall::Firewall;
use crate::config::Config;
use crate::sys::paths::Paths;
use crate::sys::systemd;
use guardian_probes::command::Tool;

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

impl Powers {
    /// Looks what is there. Changes nothing.
    pub(crate) async fn look(config: &Config, paths: &Paths) -> Self {
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
        powers.push(match Firewall::usable().await {
            Ok(()) => power(FIREWALL, "cuts a gateway off while the agent works on"),
            Err(failed) => Power {
                name: FIREWALL,
                has: false,
                matters: true,
                detail: format!("a trip has to stop the gateway: {}", crate::cli::chain(&failed)),
                remedy: root.then(|| "apt install nftables".to_owned()),
            },
        });
        let supervisor = supervisor(root).await;
        powers.push(supervisor);
        powers.push(match paths.can_be_prepared() {
            Ok(()) if root => power("state", "the lock and the journal are out of the agent's reach"),
            Ok(()) => Power {
                name: "state",
                has: false,
                matters: false,
                detail: "an agent that runs as this user can change the lock and the journal".to_owned(),
                remedy: Some("install it as root: sudo guardian install".to_owned()),
            },
            Err(failed) => Power {
                name: "state",
                has: false,
                matters: true,
                detail: crate::cli::chain(&failed),
                remedy: None,
            },
        });
        let observes = config.settings.mode == crate::config::Mode::Observe;
        if observes {
            powers.push(Power {
                name: "enforce",
                has: false,
                matters: true,
                detail: "observe mode: exposure is reported and nothing is blocked".to_owned(),
                remedy: Some("set mode = \"enforce\" in guardian.toml".to_owned()),
            });
        }
        if !config.settings.seal {
            powers.push(Power {
                name: "seal",
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
