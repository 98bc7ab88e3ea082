//! The services: what describes them, and what starts and stops them.

use std::path::{Path, PathBuf};

use super::plan::Step;
use super::site::{Manager, Scope, Site};
use crate::sys::paths::Paths;
use guardian_probes::command::Tool;

/// A service of Guardian's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Watcher,
    Gate,
    Notifier,
}

impl Unit {
    /// All, in the order in which they start.
    pub(crate) const ALL: [Self; 3] = [Self::Watcher, Self::Gate, Self::Notifier];

    pub(super) fn name(self, manager: Manager) -> &'static str {
        match (manager, self) {
            (Manager::Systemd, Self::Watcher) => "guardian.service",
            (Manager::Systemd, Self::Gate) => "guardian-gate.service",
            (Manager::Systemd, Self::Notifier) => "guardian-notifier.service",
            (Manager::Launchd, Self::Watcher) => "dev.guardian.watcher",
            (Manager::Launchd, Self::Gate) => "dev.guardian.gate",
            (Manager::Launchd, Self::Notifier) => "dev.guardian.notifier",
        }
    }

    /// A service of every user's session, and not of the machine.
    fn is_of_sessions(self) -> bool {
        self == Self::Notifier
    }

    /// The file that describes it.
    pub(crate) fn file(self, site: &Site) -> PathBuf {
        self.place(site.manager, site.scope, &site.home)
    }

    pub(super) fn place(self, manager: Manager, scope: Scope, home: &Path) -> PathBuf {
        let name = self.name(manager);
        match (manager, scope) {
            (Manager::Systemd, Scope::Machine) if self.is_of_sessions() => {
                PathBuf::from("/etc/systemd/user").join(name)
            }
            (Manager::Systemd, Scope::Machine) => PathBuf::from("/etc/systemd/system").join(name),
            (Manager::Systemd, Scope::User) => home.join(".config/systemd/user").join(name),
            (Manager::Launchd, Scope::Machine) if self.is_of_sessions() => {
                PathBuf::from("/Library/LaunchAgents").join(format!("{name}.plist"))
            }
            (Manager::Launchd, Scope::Machine) => {
                PathBuf::from("/Library/LaunchDaemons").join(format!("{name}.plist"))
            }
            (Manager::Launchd, Scope::User) => {
                home.join("Library/LaunchAgents").join(format!("{name}.plist"))
            }
        }
    }

    /// What the file says.
    pub(crate) fn text(self, site: &Site) -> String {
        let template = match (site.manager, site.scope, self) {
            (Manager::Systemd, Scope::Machine, Self::Watcher) => {
                include_str!("../../launchd/guardian.service")
            }
            (Manager::Systemd, Scope::Machine, Self::Gate) => {
                include_str!("../../launchd/guardian-gate.service")
            }
            (Manager::Systemd, _, Self::Notifier) => include_str!("../../launchd/guardian-notifier.service"),
            (Manager::Systemd, Scope::User, Self::Watcher) => {
                include_str!("../../launchd/user/guardian.service")
            }
            (Manager::Systemd, Scope::User, Self::Gate) => {
                include_str!("../../launchd/user/guardian-gate.service")
            }
            (Manager::Launchd, _, Self::Watcher) => include_str!("../../launchd/dev.guardian.watcher.plist"),
            (Manager::Launchd, Scope::Machine, Self::Gate) => {
                include_str!("../../launchd/dev.guardian.gate.plist")
            }
            (Manager::Launchd, Scope::User, Self::Gate) => {
                include_str!("../../launchd/user/dev.guardian.gate.plist")
            }
            (Manager::Launchd, _, Self::Notifier) => {
                include_str!("../../launchd/dev.guardian.notifier.plist")
            }
        };
        let quoted = |path: &std::path::Path| match site.manager {
            Manager::Systemd => in_systemd(&path.to_string_lossy()),
            Manager::Launchd => in_xml(&path.to_string_lossy()),
        };
        let text = template.replace("@PROGRAM@", &quoted(&site.program));
        let text = text.replace("@LOGS@", &quoted(&site.logs()));
        text.replacen("[Service]\n", &format!("[Service]\n{}", told_apart(site)), 1)
    }

    /// What makes it run now and at every start of the machine, as it is described now.
    pub(crate) fn start(self, site: &Site) -> Vec<Step> {
        let name = self.name(site.manager);
        match site.manager {
            Manager::Systemd if site.scope == Scope::Machine && self.is_of_sessions() => {
                vec![Step::run(systemctl(site, ["--global", "enable", name]))]
            }
            // Whatever runs may be an earlier program, or one of an installation that was interrupted. What the
            // watcher has raised stays up meanwhile.
            Manager::Systemd => vec![
                Step::run(systemctl(site, ["enable", name])),
                Step::run(systemctl(site, ["restart", name])),
            ],
            Manager::Launchd => {
                // Of a session that somebody else has, launchd takes it at the next login.
                let Some(domain) = self.domain(site) else { return Vec::new() };
                let (target, file) =
                    (format!("{domain}/{name}"), self.file(site).to_string_lossy().into_owned());
                vec![
                    Step::Command { tool: launchctl(["bootout", &target]), may_fail: true },
                    Step::run(launchctl(["enable", &target])),
                    Step::run(launchctl(["bootstrap", &domain, &file])),
                ]
            }
        }
    }

    /// What ends it, now and for good.
    pub(crate) fn stop(self, site: &Site) -> Vec<Step> {
        let name = self.name(site.manager);
        let tool = match site.manager {
            Manager::Systemd if site.scope == Scope::Machine && self.is_of_sessions() => {
                systemctl(site, ["--global", "disable", name])
            }
            Manager::Systemd => systemctl(site, ["disable", "--now", name]),
            Manager::Launchd => {
                let Some(domain) = self.domain(site) else { return Vec::new() };
                launchctl(["bootout", &format!("{domain}/{name}")])
            }
        };
        vec![Step::Command { tool, may_fail: true }]
    }

    /// launchd's domain in which it runs.
    fn domain(self, site: &Site) -> Option<String> {
        match site.scope {
            Scope::Machine if self.is_of_sessions() => None,
            Scope::Machine => Some("system".to_owned()),
            Scope::User => Some(format!("gui/{}", site.uid)),
        }
    }
}

/// What tells the manager that descriptions have changed.
pub(crate) fn reload(site: &Site) -> Vec<Step> {
    match site.manager {
        Manager::Systemd => vec![Step::run(systemctl(site, ["daemon-reload"]))],
        Manager::Launchd => Vec::new(),
    }
}

fn systemctl<const N: usize>(site: &Site, arguments: [&str; N]) -> Tool {
    let scope = (site.scope == Scope::User).then_some("--user");
    let tool =
        Tool::new("systemctl", scope.into_iter().chain(arguments)).within(std::time::Duration::from_mins(1));
    match &site.session {
        Some(session) => tool.with("XDG_RUNTIME_DIR", session),
        None => tool,
    }
}

/// What a user's service has to be told: where the shell that installs it has policy and state in other places than the
/// manager of the user's services would have it look.
fn told_apart(site: &Site) -> String {
    if (site.manager, site.scope) != (Manager::Systemd, Scope::User) {
        return String::new();
    }
    let usual = Paths::of_a_users_service(&site.home, site.session.as_deref());
    let policy = site.home.join(".config/guardian/guardian.toml");
    let told = [
        ("GUARDIAN_CONFIG", &site.policy, Some(&policy)),
        ("GUARDIAN_STATE_DIR", &site.paths.state, usual.as_ref().map(|it| &it.state)),
        ("GUARDIAN_RUNTIME_DIR", &site.paths.runtime, usual.as_ref().map(|it| &it.runtime)),
    ];
    if told.iter().all(|(_, path, usual)| Some(*path) == *usual) {
        return String::new();
    }
    // All of them: one that names the state alone has its runtime folder in it.
    let lines = told.map(|(name, path, _)| {
        let path = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        format!("Environment=\"{name}={path}\"\n")
    });
    format!("# Where the shell that installed it has them.\n{}", lines.concat())
}

fn launchctl<const N: usize>(arguments: [&str; N]) -> Tool {
    Tool::new("launchctl", arguments).within(std::time::Duration::from_mins(1))
}

/// Within double quotes of a unit (systemd.syntax(7), systemd.service(5)).
fn in_systemd(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$")
}

fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
