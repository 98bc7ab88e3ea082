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

/// The state is a folder of the owner's below the home, and the configuration lies in it. Gives the
/// mode of the home.
fn fits(home: &Path, uid: u32, state: &Path, config: Option<&Path>) -> Result<u32, BulkheadError> {
    let unfit = |why: String| Err(BulkheadError::Unfit(why));
    let look = |path: &Path| {
        path.symlink_metadata().map_err(|cause| BulkheadError::Unread { path: path.to_owned(), cause })
    };
    if state.parent() != Some(home) {
        return unfit(format!(
            "the gateway's state {} does not lie directly in {}",
            state.display(),
            home.display()
        ));
    }
    let folder = look(state)?;
    if !folder.is_dir() || folder.uid() != uid {
        return unfit(format!("{} is not a folder of the gateway's own user", state.display()));
    }
    match config {
        Some(config) if config.starts_with(state) => {}
        _ => return unfit(format!("the gateway's configuration does not lie in {}", state.display())),
    }
    let metadata = look(home)?;
    if !metadata.is_dir() {
        return unfit(format!("{} is not a folder", home.display()));
    }
    Ok(metadata.permissions().mode() & 0o7777)
}

/// The runtime folder of a user's manager, as `pam_systemd(8)` lays it out.
pub(crate) fn session(service: &Service) -> Option<PathBuf> {
    match service.manager {
        Manager::System => None,
        Manager::User(uid) => Some(PathBuf::from(format!("/run/user/{uid}"))),
    }
}
