//! Names of units, where their drop-ins go, and what systemd tells of them.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use guardian_rules::fact::{Manager, Service};

use super::drop_in;
use crate::barrier::Held;
use crate::barrier::service::claim::Told;
use crate::barrier::service::plain;

/// What is asked of a unit.
pub(super) const PROPERTIES: &str =
    "--property=LoadState,ActiveState,SubState,DropInPaths,MainPID,ControlGroup";

/// Only services, and only with the signs that names of units have (systemd.unit(5)). With `.d` it
/// has to fit into a file name of 255 bytes.
pub(super) fn is_safe(name: &str) -> bool {
    plain(name, ":-_.\\@", 253) && name.strip_suffix(".service").is_some_and(|stem| !stem.is_empty())
}

/// Where a user's manager has its sockets, as `pam_systemd(8)` lays it out.
pub(super) fn usual_runtime(uid: u32) -> PathBuf {
    PathBuf::from(format!("/run/user/{uid}"))
}

/// Where the drop-in goes. Root's in `/run/systemd/user` cannot be taken away by the user; as it is
/// loaded by every user's manager, it is one of that user's own, and says so.
pub(super) fn drop_in(service: &Service, root: bool, runtime: Option<&Path>) -> PathBuf {
    let (folder, name) = match (service.manager, runtime) {
        (Manager::System, _) => (PathBuf::from("/run/systemd/system"), drop_in::name(None)),
        (Manager::User(_), Some(runtime)) if !root => (runtime.join("systemd/user"), drop_in::name(None)),
        (Manager::User(uid), _) => (PathBuf::from("/run/systemd/user"), drop_in::name(Some(uid))),
    };
    folder.join(format!("{}.d", service.name)).join(name)
}

/// The user and group of a manager that runs, by its socket and its folder.
pub(super) fn manager_in(runtime: &Path) -> Option<(u32, u32)> {
    let socket = std::fs::symlink_metadata(runtime.join("systemd/private")).ok()?;
    let folder = std::fs::symlink_metadata(runtime).ok()?;
    (socket.file_type().is_socket() && folder.is_dir() && socket.uid() == folder.uid())
        .then_some((folder.uid(), folder.gid()))
}

/// What `systemctl show` tells of a unit. What it does not tell is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    load: String,
    active: String,
    sub: String,
    drop_ins: String,
    main: Option<u32>,
    group: String,
}

impl State {
    /// Reads lines of `NAME=VALUE`; others are passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut state = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let field = match name {
                "LoadState" => &mut state.load,
                "ActiveState" => &mut state.active,
                "SubState" => &mut state.sub,
                "DropInPaths" => &mut state.drop_ins,
                "ControlGroup" => &mut state.group,
                "MainPID" => {
                    state.main = value.trim().parse().ok().filter(|pid| *pid > 0);
                    continue;
                }
                _ => continue,
            };
            value.trim().clone_into(field);
        }
        state
    }

    /// What shows whose it is.
    pub(super) fn told(&self, manager: Manager) -> Told<'_> {
        Told {
            known: !matches!(self.load.as_str(), "" | "not-found" | "stub"),
            main: self.main,
            systems: manager == Manager::System,
            group: Some(&self.group),
        }
    }

    /// It runs or is about to; one that waits to be restarted is `activating`.
    pub(super) fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading" | "refreshing")
    }

    /// It ended in a way that was none of its own.
    pub(super) fn failed(&self) -> bool {
        self.active == "failed"
    }

    /// Whether a drop-in keeps it from starting, and it does not run.
    ///
    /// Drop-ins apply in the order of their names, and an empty condition in a later one takes back
    /// all: only the last one is certain to count. `holds_too` tells of a later one that it takes
    /// nothing back.
    pub(super) fn held_by(&self, drop_in: &Path, holds_too: impl Fn(&Path) -> bool) -> Held {
        match self.active.as_str() {
            "inactive" | "failed" => {}
            "" => return Held::Unknown,
            _ => return Held::No,
        }
        match self.load.as_str() {
            "loaded" => {}
            // Nothing can start it as it is, and the drop-in waits for it to come back.
            "masked" | "not-found" | "bad-setting" | "error" => return Held::Yes,
            _ => return Held::Unknown,
        }
        let mut loaded = self.drop_ins.split(' ').map(Path::new);
        if !loaded.any(|path| path == drop_in) {
            return Held::No;
        }
        if loaded.all(holds_too) { Held::Yes } else { Held::Unknown }
    }
}
