//! Files that only the gateway's user should read, as the file system shows them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use guardian_rules::fact::PrivatePath;

use crate::file::{Links, View};

/// Agents looked at.
const MAX_AGENTS: usize = 64;

/// In a state folder, what holds secrets or could change who gets in.
const IN_STATE: [&str; 9] = [
    "",
    ".env",
    "credentials",
    "devices",
    "devices/paired.json",
    "devices/pending.json",
    "identity",
    "identity/device.json",
    "state/openclaw.sqlite",
];

/// In an agent's folder.
const IN_AGENT: [&str; 3] =
    ["agent/auth-profiles.json", "agent/openclaw-agent.sqlite", "sessions/sessions.json"];

/// Those that exist, in order. A link's own permissions say nothing, so links are passed over.
#[must_use]
pub(super) fn paths(view: &View, state: Option<&Path>, others: &[PathBuf]) -> Vec<PrivatePath> {
    let in_state = state.into_iter().flat_map(|state| {
        let agents = state.join("agents");
        let of_agents = view.names(&agents, MAX_AGENTS, Links::Refuse).unwrap_or_default();
        let of_agents = of_agents
            .into_iter()
            .flat_map(move |agent| IN_AGENT.map(|file| agents.join(&agent).join(file)))
            .collect::<Vec<_>>();
        IN_STATE
            .iter()
            .map(|name| if name.is_empty() { state.to_owned() } else { state.join(name) })
            .chain(of_agents)
            .collect::<Vec<_>>()
    });
    let mut found: Vec<PrivatePath> = in_state
        .chain(others.iter().cloned())
        .filter_map(|path| {
            let metadata = view.metadata(&path).ok().filter(|metadata| !metadata.is_symlink())?;
            Some(PrivatePath { path, mode: metadata.mode() & 0o777, uid: metadata.uid() })
        })
        .collect();
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    found.dedup_by(|one, other| one.path == other.path);
    found
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_exists_is_told_with_its_permissions() {
        let top = tempfile::tempdir().unwrap();
        let state = top.path().join(".openclaw");
        let agent = state.join("agents/main/agent");
        fs::create_dir_all(&agent).unwrap();
        fs::create_dir(state.join("devices")).unwrap();
        for (file, mode) in [
            (state.join("openclaw.json"), 0o644),
            (agent.join("auth-profiles.json"), 0o600),
            (top.path().join("real"), 0o666),
        ] {
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        }
        symlink(top.path().join("real"), state.join("devices/paired.json")).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o750)).unwrap();

        let found = paths(&View::own().unwrap(), Some(&state), &[state.join("openclaw.json")]);
        let mode = |path: &Path| found.iter().find(|found| found.path == path).map(|found| found.mode);
        assert_eq!(mode(&state), Some(0o750));
        assert_eq!(mode(&state.join("openclaw.json")), Some(0o644));
        assert_eq!(mode(&agent.join("auth-profiles.json")), Some(0o600));
        assert_eq!(mode(&state.join("devices/paired.json")), None, "a link");
        assert_eq!(mode(&state.join("credentials")), None, "there is none");
        assert!(found.iter().all(|found| found.uid == nix::unistd::geteuid().as_raw()));
    }
}
