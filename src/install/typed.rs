//! What to type to start and end what is installed, by whoever asks.

use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::site::{Manager, Scope};
use super::unit::Unit;

/// The watcher that whoever asks would ask: that user's own if it is installed, else the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watcher {
    manager: Manager,
    scope: Scope,
    uid: u32,
    is_installed: bool,
}

impl Watcher {
    /// On this machine.
    pub(crate) fn here() -> Self {
        Self::of(manager(), Uid::effective(), &home(), Path::exists)
    }

    fn of(manager: Manager, uid: Uid, home: &Path, is_there: impl Fn(&Path) -> bool) -> Self {
        let installed = |scope| is_there(&Unit::Watcher.place(manager, scope, home));
        let own = !uid.is_root() && installed(Scope::User);
        let scope = if own { Scope::User } else { Scope::Machine };
        Self { manager, scope, uid: uid.as_raw(), is_installed: own || installed(Scope::Machine) }
    }

    /// What starts it, if it is installed.
    pub(crate) fn start(self) -> Option<String> {
        self.is_installed.then(|| start(Unit::Watcher, self.manager, self.scope, self.uid))
    }

    /// What ends it, until it is started again, if it is installed.
    pub(crate) fn stop(self) -> Option<String> {
        let Self { manager, scope, uid, .. } = self;
        let line = || match (manager, scope) {
            (Manager::Systemd, Scope::Machine) => format!("sudo systemctl stop {}", self.name()),
            (Manager::Systemd, Scope::User) => format!("systemctl --user stop {}", self.name()),
            // One that is only killed is started again at once.
            (Manager::Launchd, Scope::Machine) => format!("sudo launchctl bootout system/{}", self.name()),
            (Manager::Launchd, Scope::User) => format!("launchctl bootout gui/{uid}/{}", self.name()),
        };
        self.is_installed.then(line)
    }

    /// What starts one over that hangs, if it is installed.
    pub(crate) fn restart(self) -> Option<String> {
        let (uid, name) = (self.uid, self.name());
        let line = || match (self.manager, self.scope) {
            (Manager::Systemd, Scope::Machine) => format!("sudo systemctl restart {name}"),
            (Manager::Systemd, Scope::User) => format!("systemctl --user restart {name}"),
            (Manager::Launchd, Scope::Machine) => format!("sudo launchctl kickstart -k system/{name}"),
            (Manager::Launchd, Scope::User) => format!("launchctl kickstart -k gui/{uid}/{name}"),
        };
        self.is_installed.then(line)
    }

    /// A look that sees as much as it does.
    pub(crate) fn check(self) -> &'static str {
        match self.scope {
            Scope::Machine => "sudo guardian check",
            Scope::User => "guardian check",
        }
    }

    /// One that is installed, or none.
    #[cfg(test)]
    pub(crate) fn pretended(manager: Manager, scope: Scope, is_installed: bool) -> Self {
        Self { manager, scope, uid: 501, is_installed }
    }

    fn name(self) -> &'static str {
        Unit::Watcher.name(self.manager)
    }
}

/// Whether a gate is installed for a watcher of whoever runs this.
pub(crate) fn gate_is_installed() -> bool {
    Unit::Gate.place(manager(), scope(), &home()).exists()
}

/// What to type to start it.
pub(crate) fn start_of_the_gate() -> String {
    start(Unit::Gate, manager(), scope(), Uid::effective().as_raw())
}

/// Who would run services on this machine.
fn manager() -> Manager {
    if cfg!(target_os = "macos") { Manager::Launchd } else { Manager::Systemd }
}

/// For whom services of whoever runs this are.
fn scope() -> Scope {
    if Uid::effective().is_root() { Scope::Machine } else { Scope::User }
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default()
}

fn start(unit: Unit, manager: Manager, scope: Scope, uid: u32) -> String {
    let name = unit.name(manager);
    match (manager, scope) {
        (Manager::Systemd, Scope::Machine) => format!("sudo systemctl start {name}"),
        (Manager::Systemd, Scope::User) => format!("systemctl --user start {name}"),
        // launchd starts only what it has loaded, and loads only what it has not.
        (Manager::Launchd, Scope::Machine) => format!(
            "sudo launchctl kickstart system/{name} || sudo launchctl bootstrap system /Library/LaunchDaemons/{name}.plist"
        ),
        (Manager::Launchd, Scope::User) => format!(
            "launchctl kickstart gui/{uid}/{name} || launchctl bootstrap gui/{uid} ~/Library/LaunchAgents/{name}.plist"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/home/ana";

    fn of(manager: Manager, uid: u32, installed: &[&str]) -> Watcher {
        Watcher::of(manager, Uid::from_raw(uid), Path::new(HOME), |path| {
            installed.iter().any(|it| path == Path::new(it))
        })
    }

    const SYSTEMD: &str = "/etc/systemd/system/guardian.service";
    const SYSTEMD_USER: &str = "/home/ana/.config/systemd/user/guardian.service";
    const LAUNCHD: &str = "/Library/LaunchDaemons/dev.guardian.watcher.plist";
    const LAUNCHD_USER: &str = "/home/ana/Library/LaunchAgents/dev.guardian.watcher.plist";

    #[test]
    fn a_watcher_is_started_and_ended_by_whoever_keeps_it_running() {
        for (manager, uid, installed, start, stop, check) in [
            (
                Manager::Systemd,
                0,
                SYSTEMD,
                "sudo systemctl start guardian.service",
                "sudo systemctl stop guardian.service",
                "sudo guardian check",
            ),
            (
                Manager::Systemd,
                501,
                SYSTEMD,
                "sudo systemctl start guardian.service",
                "sudo systemctl stop guardian.service",
                "sudo guardian check",
            ),
            (
                Manager::Systemd,
                501,
                SYSTEMD_USER,
                "systemctl --user start guardian.service",
                "systemctl --user stop guardian.service",
                "guardian check",
            ),
            (
                Manager::Launchd,
                501,
                LAUNCHD,
                "sudo launchctl kickstart system/dev.guardian.watcher || sudo launchctl bootstrap system \
                 /Library/LaunchDaemons/dev.guardian.watcher.plist",
                "sudo launchctl bootout system/dev.guardian.watcher",
                "sudo guardian check",
            ),
            (
                Manager::Launchd,
                501,
                LAUNCHD_USER,
                "launchctl kickstart gui/501/dev.guardian.watcher || launchctl bootstrap gui/501 \
                 ~/Library/LaunchAgents/dev.guardian.watcher.plist",
                "launchctl bootout gui/501/dev.guardian.watcher",
                "guardian check",
            ),
        ] {
            let watcher = of(manager, uid, &[installed]);
            assert_eq!(watcher.start().as_deref(), Some(start));
            assert_eq!(watcher.stop().as_deref(), Some(stop));
            assert_eq!(watcher.check(), check);
        }
    }

    #[test]
    fn one_that_hangs_is_started_over_by_whoever_keeps_it_running() {
        for (manager, uid, installed, line) in [
            (Manager::Systemd, 0, SYSTEMD, "sudo systemctl restart guardian.service"),
            (Manager::Systemd, 501, SYSTEMD_USER, "systemctl --user restart guardian.service"),
            (Manager::Launchd, 501, LAUNCHD, "sudo launchctl kickstart -k system/dev.guardian.watcher"),
            (Manager::Launchd, 501, LAUNCHD_USER, "launchctl kickstart -k gui/501/dev.guardian.watcher"),
        ] {
            assert_eq!(of(manager, uid, &[installed]).restart().as_deref(), Some(line));
        }
    }

    #[test]
    fn a_users_own_watcher_comes_first_and_is_never_roots() {
        let both = [SYSTEMD, SYSTEMD_USER];
        assert_eq!(of(Manager::Systemd, 501, &both).check(), "guardian check");
        assert_eq!(of(Manager::Systemd, 0, &both).check(), "sudo guardian check");
        assert_eq!(of(Manager::Systemd, 0, &[SYSTEMD_USER]).start(), None);
    }

    #[test]
    fn nobody_is_told_to_start_what_is_not_installed() {
        for manager in [Manager::Systemd, Manager::Launchd] {
            let none = of(manager, 501, &[]);
            assert_eq!((none.start(), none.stop(), none.restart()), (None, None, None));
        }
    }

    #[test]
    fn a_gate_is_started_by_whoever_keeps_it_running() {
        for (manager, scope, line) in [
            (Manager::Systemd, Scope::Machine, "sudo systemctl start guardian-gate.service"),
            (Manager::Systemd, Scope::User, "systemctl --user start guardian-gate.service"),
            (
                Manager::Launchd,
                Scope::Machine,
                "sudo launchctl kickstart system/dev.guardian.gate || sudo launchctl bootstrap system \
                 /Library/LaunchDaemons/dev.guardian.gate.plist",
            ),
            (
                Manager::Launchd,
                Scope::User,
                "launchctl kickstart gui/501/dev.guardian.gate || launchctl bootstrap gui/501 \
                 ~/Library/LaunchAgents/dev.guardian.gate.plist",
            ),
        ] {
            assert_eq!(start(Unit::Gate, manager, scope, 501), line);
        }
    }
}
