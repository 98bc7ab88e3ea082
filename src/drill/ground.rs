//! Where a rehearsal takes place.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::sys::paths::Paths;

/// An address for documentation (RFC 5737): nobody's, and reached by nobody.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The decoy's port.
pub(crate) const PORT: u16 = 28789;
/// Safe rounds that the rehearsal's recovery takes.
const ROUNDS: u16 = 3;

/// Why there is no ground.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroundError {
    #[error("the folders of the rehearsal cannot be made")]
    Folders(#[source] io::Error),
    #[error("the network of the rehearsal cannot be furnished: {0}")]
    Network(String),
    #[error("this program cannot be started again")]
    Watcher(#[source] io::Error),
}

/// Folders, and perhaps a network, of its own.
pub(crate) struct Ground {
    folder: TempDir,
    paths: Paths,
    own_network: bool,
}

/// A process that ends with the rehearsal.
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ground {
    /// Makes it. Must be called before the process has other threads.
    pub(crate) fn new() -> Result<Self, GroundError> {
        let own_network = network::leave();
        if own_network {
            furnish()?;
        }
        let folder =
            tempfile::Builder::new().prefix("guardian-drill-").tempdir().map_err(GroundError::Folders)?;
        let paths = Paths { state: folder.path().join("state"), runtime: folder.path().join("run") };
        let ground = Self { folder, paths, own_network };
        std::fs::create_dir_all(ground.home().join(".openclaw")).map_err(GroundError::Folders)?;
        let policy = format!(
            "patience = \"20s\"\n[gateway]\nports = [{PORT}]\n[half_open]\nrounds = {ROUNDS}\n[notify]\ndesktop = false\n"
        );
        std::fs::write(ground.config(), policy).map_err(GroundError::Folders)?;
        Ok(ground)
    }

    /// How a report names it.
    pub(crate) fn name(&self) -> &'static str {
        if self.own_network { "a network of its own" } else { "loopback" }
    }

    /// The address on which the decoy is exposed; none where all it can do is to let anyone in.
    pub(crate) fn outside(&self) -> Option<IpAddr> {
        self.own_network.then_some(ADDRESS.into())
    }

    /// The rehearsal's own folders.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The decoy's home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("guardian.toml")
    }

    /// Starts the rehearsal's own watcher.
    pub(crate) fn watcher(&self) -> Result<Ending, GroundError> {
        let own = std::env::current_exe().map_err(GroundError::Watcher)?;
        let child = Command::new(own)
            .arg("daemon")
            .arg("--config")
            .arg(self.config())
            .arg("--state-dir")
            .arg(&self.paths.state)
            .arg("--runtime-dir")
            .arg(&self.paths.runtime)
            // That it trips is the point of it, and no warning.
            .env("GUARDIAN_LOG", std::env::var_os("GUARDIAN_LOG").unwrap_or_else(|| "error".into()))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("GUARDIAN_CRASH_AT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(GroundError::Watcher)?;
        Ok(Ending(child))
    }
}

/// Loopback, and an address that others would reach if there were others.
fn furnish() -> Result<(), GroundError> {
    let address = format!("{ADDRESS}/32");
    for line in [&["link", "set", "lo", "up"][..], &["addr", "add", &address, "dev", "lo"]] {
        let output = Command::new("ip")
            .args(line)
            .output()
            .map_err(|failed| GroundError::Network(format!("ip does not run: {failed}")))?;
        if !output.status.success() {
            return Err(GroundError::Network(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod network {
    use std::fs;

    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::{Gid, Uid};

    /// Leaves the host's network for an empty one; answers whether that was possible. An ordinary
    /// user becomes root of namespaces that hold nothing of the host's.
    pub(super) fn leave() -> bool {
        if Uid::effective().is_root() {
            return unshare(CloneFlags::CLONE_NEWNET).is_ok();
        }
        let (uid, gid) = (Uid::effective(), Gid::effective());
        if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_err() {
            return false;
        }
        let mapped = fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
            .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
        mapped.is_ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod network {
    /// There are no namespaces.
    pub(super) fn leave() -> bool {
        false
    }
}
