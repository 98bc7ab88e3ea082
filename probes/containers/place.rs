//! Where container engines have their sockets.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// Sockets asked; the rest is left out.
const MAX_PLACES: usize = 64;

/// Users in whose places sockets are sought.
const MAX_USERS: usize = 256;

/// A socket on which an engine may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The engine's name.
    pub(super) engine: &'static str,
    /// The socket.
    pub(super) socket: PathBuf,
    /// It lies where a user may put what he likes.
    pub(super) is_users: bool,
    /// The system may start the engine when somebody connects.
    pub(super) starts_on_connection: bool,
}

/// The sockets that are there, or of which it cannot be told whether they are.
pub(super) fn places() -> Vec<Place> {
    let mut places: Vec<Place> = platform::places().into_iter().filter(is_there).collect();
    places.sort_by(|one, other| (one.is_users, &one.socket).cmp(&(other.is_users, &other.socket)));
    places.dedup_by(|one, other| one.socket == other.socket);
    places.truncate(MAX_PLACES);
    places
}

fn is_there(place: &Place) -> bool {
    // A user's link may lead to any other socket of the system.
    let found =
        if place.is_users { fs::symlink_metadata(&place.socket) } else { fs::metadata(&place.socket) };
    match found {
        Ok(found) => found.file_type().is_socket(),
        Err(why) => why.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// What lies in a folder.
fn within(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MAX_USERS).flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

#[cfg(target_os = "linux")]
mod platform {
    use super::{Path, PathBuf, Place, within};

    pub(super) fn places() -> Vec<Place> {
        let place = |engine, socket, is_users| Place { engine, socket, is_users, starts_on_connection: true };
        let mut places = vec![
            place("docker", "/run/docker.sock".into(), false),
            place("podman", "/run/podman/podman.sock".into(), false),
        ];
        let told =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        for folder in within(Path::new("/run/user")).into_iter().chain(told) {
            places.push(place("docker", folder.join("docker.sock"), true));
            places.push(place("podman", folder.join("podman/podman.sock"), true));
        }
        places
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{Path, PathBuf, Place, within};

    /// Below a user's home: Docker Desktop, Rancher Desktop, `OrbStack`, podman's machine.
    const SOCKETS: &[(&str, &str)] = &[
        ("docker", ".docker/run/docker.sock"),
        ("docker", ".rd/docker.sock"),
        ("docker", ".orbstack/run/docker.sock"),
        ("docker", ".colima/docker.sock"),
        ("podman", ".local/share/containers/podman/machine/podman.sock"),
    ];

    /// The same, in a folder for each machine.
    const MACHINES: &[(&str, &str, &str)] = &[
        ("docker", ".colima", "docker.sock"),
        ("docker", ".lima", "sock/docker.sock"),
        ("podman", ".local/share/containers/podman/machine", "podman.sock"),
    ];

    pub(super) fn places() -> Vec<Place> {
        let place =
            |engine, socket, is_users| Place { engine, socket, is_users, starts_on_connection: false };
        let mut places = vec![place("docker", "/var/run/docker.sock".into(), false)];
        // Those that this program may not look into show nothing.
        for home in within(Path::new("/Users")) {
            places.extend(SOCKETS.iter().map(|(engine, socket)| place(engine, home.join(socket), true)));
            for (engine, folder, socket) in MACHINES {
                let machines = within(&home.join(folder)).into_iter();
                places.extend(machines.map(|machine: PathBuf| place(engine, machine.join(socket), true)));
            }
        }
        places.retain(|place| !place.is_users || may_look(&place.socket));
        places
    }

    /// Another user's home tells nobody whether it has a socket.
    fn may_look(socket: &Path) -> bool {
        std::fs::symlink_metadata(socket).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn place(socket: PathBuf, is_users: bool) -> Place {
        Place { engine: "docker", socket, is_users, starts_on_connection: false }
    }

    #[test]
    fn only_sockets_count_and_a_users_link_to_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link, file) =
            (folder.path().join("a.sock"), folder.path().join("b.sock"), folder.path().join("c.sock"));
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink(&socket, &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(is_there(&place(socket, true)));
        assert!(!is_there(&place(link.clone(), true)));
        assert!(is_there(&place(link, false)));
        assert!(!is_there(&place(file, false)));
        assert!(!is_there(&place(folder.path().join("none"), false)));
    }
}
