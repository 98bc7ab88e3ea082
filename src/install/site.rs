//! Where things belong on this machine.

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::InstallError;
use crate::sys::paths::Paths;
use crate::sys::systemd;

/// Who keeps services running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Systemd,
    Launchd,
}

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole machine, by root.
    Machine,
    /// One user, without root.
    User,
}

/// Where one Guardian is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) manager: Manager,
    pub(crate) scope: Scope,
    /// Of whoever installs.
    pub(crate) uid: u32,
    /// The same user's.
    pub(crate) home: PathBuf,
    /// The folder that the manager of a user's services goes by, if it does.
    pub(crate) session: Option<PathBuf>,
    /// Where the program will be.
    pub(crate) program: PathBuf,
    /// What it is copied from, if it is not there already.
    pub(crate) copied_from: Option<PathBuf>,
    pub(crate) policy: PathBuf,
    pub(crate) paths: Paths,
}

/// Folders of programs that whoever put them there also takes away: packages do.
const PACKAGED: &[&str] = if cfg!(target_os = "macos") {
    // Homebrew gives /usr/local to a user.
    &["/usr/bin", "/usr/sbin"]
} else {
    &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
};

/// The program that runs, and not what its path leads to by the time it is copied.
fn this_program(path: PathBuf) -> PathBuf {
    if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { path }
}

impl Site {
    /// The site that is asked for, on this machine.
    pub(crate) fn here(scope: Scope, policy: PathBuf, paths: Paths) -> Result<Self, InstallError> {
        let uid = Uid::effective();
        match (scope, uid.is_root()) {
            (Scope::Machine, false) => return Err(InstallError::NotRoot),
            (Scope::User, true) => return Err(InstallError::Root),
            _ => {}
        }
        let manager = if cfg!(target_os = "macos") {
            Manager::Launchd
        } else if systemd::booted() {
            Manager::Systemd
        } else {
            return Err(InstallError::NoManager);
        };
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = match (scope, absolute("HOME")) {
            (_, Some(home)) => home,
            (Scope::Machine, None) => PathBuf::from("/root"),
            (Scope::User, None) => return Err(InstallError::Homeless),
        };
        let session = absolute("XDG_RUNTIME_DIR").filter(|_| scope == Scope::User);
        if manager == Manager::Systemd && scope == Scope::User && session.is_none() {
            return Err(InstallError::NoUserManager);
        }
        let running = env::current_exe().and_then(std::fs::canonicalize).map_err(InstallError::Program)?;
        let own = own_place(manager, scope, &home);
        let packaged =
            running.parent().is_some_and(|folder| PACKAGED.iter().any(|it| folder == Path::new(it)));
        let (program, copied_from) =
            if packaged || running == own { (running, None) } else { (own, Some(this_program(running))) };
        Ok(Self { manager, scope, uid: uid.as_raw(), home, session, program, copied_from, policy, paths })
    }

    /// Where a program is put that no package has put anywhere. A daemon of root's must not be run from
    /// where somebody else could change it.
    pub(crate) fn own_place(&self) -> PathBuf {
        own_place(self.manager, self.scope, &self.home)
    }

    /// Where launchd's jobs write what goes wrong. launchd follows links there: nobody else may make one.
    pub(crate) fn logs(&self) -> PathBuf {
        match self.scope {
            Scope::Machine => "/var/log/guardian".into(),
            Scope::User => self.home.join("Library/Logs/Guardian"),
        }
    }
}

fn own_place(manager: Manager, scope: Scope, home: &Path) -> PathBuf {
    match (manager, scope) {
        (Manager::Systemd, Scope::Machine) => "/usr/local/bin/guardian".into(),
        // Homebrew gives /usr/local and /opt/homebrew to a user.
        (Manager::Launchd, Scope::Machine) => "/Library/Application Support/Guardian/bin/guardian".into(),
        (_, Scope::User) => home.join(".local/bin/guardian"),
    }
}
