//! What is there: the one gateway of this machine, its user, its state and what runs it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use guardian_rules::fact::{Manager, Product, Secret, Service};
use guardian_rules::snapshot::Snapshot;
use nix::unistd::{Uid, User};

use super::ownership::Owner;
use super::{BulkheadError, USER};

/// The gateway as it runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) pid: u32,
    pub(crate) product: Option<Product>,
    /// Whose it is.
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) home: PathBuf,
    /// The permission bits of that home.
    pub(crate) home_mode: u32,
    /// Where its state is, below that home.
    pub(crate) state: PathBuf,
    /// What starts it.
    pub(crate) service: Service,
    /// What it reads of people's secrets, if that can be told.
    pub(crate) within_reach: Option<Vec<Secret>>,
}

/// Finds the gateway in what was seen.
pub(crate) fn find(snapshot: &Snapshot) -> Result<Present, BulkheadError> {
    let listeners = snapshot.listeners.seen().into_iter().flatten();
    let holders: Vec<u32> = listeners.flat_map(|it| it.owner.pids().to_vec()).collect();
    // The wrapper holds no socket.
    let gateways: Vec<_> = snapshot
        .gateway
        .seen()
        .into_iter()
        .flatten()
        .filter(|gateway| holders.contains(&gateway.pid))
        .collect();
    let gateway = match gateways.as_slice() {
        [] => return Err(BulkheadError::NoGateway),
        [one] => *one,
        several => {
            let pids: Vec<String> = several.iter().map(|it| it.pid.to_string()).collect();
            return Err(BulkheadError::Several(pids.join(", ")));
        }
    };
    let processes = snapshot.owner.seen().into_iter().flatten();
    let uid = processes.into_iter().find(|it| it.pid == gateway.pid).and_then(|it| it.uid);
    let uid =
        uid.ok_or_else(|| BulkheadError::Unfit(format!("whose process {} is cannot be told", gateway.pid)))?;
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let user = user.ok_or_else(|| BulkheadError::Unfit(format!("user {uid} of the gateway has no name")))?;
    if user.name == USER {
        return Err(BulkheadError::Already);
    }
    let service = gateway.service.clone().ok_or(BulkheadError::NoService(gateway.pid))?;
    let state = gateway.state.clone();
    let state = state
        .ok_or_else(|| BulkheadError::Unfit("where the gateway keeps its state cannot be told".to_owned()))?;
    Ok(Present {
        pid: gateway.pid,
        product: gateway.product,
        home_mode: fits(&user.dir, uid, &state, gateway.config.path.as_deref())?,
        name: user.name,
        owner: Owner { uid, gid: user.gid.as_raw() },
        home: user.dir,
        state,
        service,
        within_reach: gateway.within_reach.clone().ok(),
    })
}

impl Present {
    /// The home of the gateway's own user: beside its owner's, so that the state moves there by its name
    /// and is whole at every moment.
    pub(crate) fn new_home(&self) -> PathBuf {
        match self.home.parent() {
            Some(beside) if beside != Path::new("/") => beside.join(USER),
            _ => PathBuf::from(if cfg!(target_os = "macos") { "/var/moltbot" } else { "/var/lib/moltbot" }),
        }
    }
}

/// The home is a person's, and the state a folder directly in it that has the configuration in it.
/// Gives the mode of the home.
fn fits(home: &Path, uid: u32, state: &Path, config: Option<&Path>) -> Result<u32, BulkheadError> {
    let unfit = |why: String| Err(BulkheadError::Unfit(why));
    let look = |path: &Path| {
        path.symlink_metadata().map_err(|cause| BulkheadError::Unread { path: path.to_owned(), cause })
    };
    // They go into units and commands of root's, and the owner may have chosen them.
    if !is_plain(home) || !is_plain(state) {
        return unfit(
            "the gateway's home or state has a name with other signs than letters, digits and . _ - /"
                .to_owned(),
        );
    }
    if state.parent() != Some(home) {
        return unfit(format!(
            "the gateway's state {} does not lie directly in {}",
            state.display(),
            home.display()
        ));
    }
    let (folder, at_home) = (look(state)?, look(home)?);
    if !folder.is_dir() || folder.uid() != uid {
        return unfit(format!("{} is not a folder of the gateway's own user", state.display()));
    }
    if !at_home.is_dir() || at_home.uid() != uid || home.parent().is_none() {
        return unfit(format!("{} is not the home of the gateway's user alone", home.display()));
    }
    match config {
        Some(config) if config.starts_with(state) => Ok(at_home.permissions().mode() & 0o7777),
        _ => unfit(format!("the gateway's configuration does not lie in {}", state.display())),
    }
}

fn is_plain(path: &Path) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    path.is_absolute() && path.as_os_str().as_encoded_bytes().iter().all(|byte| plain(*byte))
}

/// The runtime folder of a user's manager, as `pam_systemd(8)` lays it out.
pub(crate) fn session(service: &Service) -> Option<PathBuf> {
    match service.manager {
        Manager::System => None,
        Manager::User(uid) => Some(PathBuf::from(format!("/run/user/{uid}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_state_whose_name_would_be_a_line_of_a_unit_is_not_moved() {
        for name in ["x\nExecStartPost=+/evil", "a b", "a\"b", "a%hb", "a\\x2f", "\u{1b}[2K"] {
            let home = Path::new("/home/ana");
            let refused = fits(home, 1000, &home.join(name), None).unwrap_err().to_string();
            assert!(refused.contains("other signs"), "{name:?}: {refused}");
        }
    }

    #[test]
    fn a_state_directly_in_its_owners_home_fits_and_others_do_not() {
        let top = tempfile::Builder::new().prefix("home").tempdir().unwrap();
        let home = top.path();
        let state = home.join(".openclaw");
        fs::create_dir_all(state.join("in")).unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let config = state.join("openclaw.json");
        fits(home, uid, &state, Some(&config)).unwrap();
        assert!(fits(home, uid, &state.join("in"), Some(&config)).is_err(), "deeper");
        assert!(fits(home, uid, &state, Some(Path::new("/etc/openclaw.json"))).is_err(), "elsewhere");
        assert!(fits(home, uid, &state, None).is_err(), "unknown");
        assert!(fits(home, uid + 1, &state, Some(&config)).is_err(), "somebody else's");
        std::os::unix::fs::symlink(&state, home.join("link")).unwrap();
        assert!(fits(home, uid, &home.join("link"), Some(&home.join("link/openclaw.json"))).is_err());
    }
}
