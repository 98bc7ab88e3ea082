//! Where Guardian keeps its own files, and whether somebody else could write there.
//!
//! | | root, Linux | root, macOS | user |
//! |---|---|---|---|
//! | state | `/var/lib/guardian` | `/Library/Application Support/Guardian` | the platform's state folder |
//! | runtime | `/run/guardian` | `/var/run/guardian` | the runtime folder (`/run/user/UID`), else `run` in the state folder |
//!
//! `GUARDIAN_STATE_DIR`, `GUARDIAN_RUNTIME_DIR` and the flags of the same names come first.

use std::env;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, User};

use crate::config::GATE_USER;
use crate::sys::trusted::{Others, others};

/// The folders of one Guardian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    /// What survives a reboot.
    pub(crate) state: PathBuf,
    /// What does not: sockets.
    pub(crate) runtime: PathBuf,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathsError {
    /// It cannot be made or looked at.
    #[error("the folder {path} cannot be used")]
    Unusable {
        /// The folder.
        path: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A link, or not a folder.
    #[error("{path} is not a folder (links are not followed)")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// Somebody else owns it.
    #[error(
        "the folder {path} belongs to user {uid}, who could change what is in it; type: chown {expected} {path}"
    )]
    Owner {
        /// The folder.
        path: String,
        /// Who owns it.
        uid: u32,
        /// Who should.
        expected: u32,
    },
    /// Others may write there.
    #[error("the folder {path} can be written by others (mode {mode:03o}); type: chmod go-w {path}")]
    Writable {
        /// The folder.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// There is no home to put them in.
    #[error("there is no place for guardian's state: HOME is not set; use --state-dir and --runtime-dir")]
    Homeless,
}

impl Paths {
    /// The folders that apply: as named, by the environment, or the usual ones of this user.
    pub(crate) fn of_this_user(state: Option<&Path>, runtime: Option<&Path>) -> Result<Self, PathsError> {
        let named = |flag: Option<&Path>, variable| {
            flag.map(Path::to_owned)
                .or_else(|| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from))
        };
        let (state, runtime) = (named(state, "GUARDIAN_STATE_DIR"), named(runtime, "GUARDIAN_RUNTIME_DIR"));
        let usual = if Uid::effective().is_root() { Some(Self::of_the_machine()) } else { Self::of_a_user() };
        match (state, runtime, usual) {
            (Some(state), Some(runtime), _) => Ok(Self { state, runtime }),
            (Some(state), None, _) => Ok(Self { runtime: state.join("run"), state }),
            (None, runtime, Some(usual)) => {
                Ok(Self { runtime: runtime.unwrap_or(usual.runtime), state: usual.state })
            }
            (None, _, None) => Err(PathsError::Homeless),
        }
    }

    /// Those of root's Guardian.
    pub(crate) fn of_the_machine() -> Self {
        let (state, runtime) = if cfg!(target_os = "macos") {
            ("/Library/Application Support/Guardian", "/var/run/guardian")
        } else {
            ("/var/lib/guardian", "/run/guardian")
        };
        Self { state: state.into(), runtime: runtime.into() }
    }

    fn of_a_user() -> Option<Self> {
        let home = absolute("HOME");
        let state = absolute("XDG_STATE_HOME").filter(|_| !cfg!(target_os = "macos"));
        // cron(8) and su(1) set none, and the session's is there all the same.
        let runtime = absolute("XDG_RUNTIME_DIR").or_else(|| session_folder(Uid::effective().as_raw()));
        Self::of_a_user_with(home.as_deref(), state, runtime)
    }

    /// Those of a service of a user's, whose manager knows nothing of what a shell's start-up files set.
    pub(crate) fn of_a_users_service(home: &Path, session: Option<&Path>) -> Option<Self> {
        Self::of_a_user_with(Some(home), None, session.map(Path::to_owned))
    }

    fn of_a_user_with(
        home: Option<&Path>,
        state_home: Option<PathBuf>,
        runtime: Option<PathBuf>,
    ) -> Option<Self> {
        let state = if cfg!(target_os = "macos") {
            home?.join("Library/Application Support/Guardian")
        } else {
            state_home.or_else(|| Some(home?.join(".local/state")))?.join("guardian")
        };
        let runtime = runtime.map_or_else(|| state.join("run"), |folder| folder.join("guardian"));
        Some(Self { state, runtime })
    }

    /// Where a daemon may be that can be asked: in these folders first, then, if they are the usual ones of a user, in
    /// those of a service of that user's that was not told of them, and in root's.
    pub(crate) fn to_ask(&self) -> Vec<Self> {
        let usual = Self::of_a_user().is_some_and(|usual| usual == *self);
        let mut places = vec![self.clone()];
        if usual {
            let session = absolute("XDG_RUNTIME_DIR").or_else(|| session_folder(Uid::effective().as_raw()));
            let home = absolute("HOME");
            let service = home.and_then(|home| Self::of_a_users_service(&home, session.as_deref()));
            let others = service.into_iter().chain([Self::of_the_machine()]);
            places.extend(others.filter(|other| other != self));
        }
        places
    }

    /// While this file is there the circuit is open.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state.join("breaker.lock")
    }

    /// What the breaker knew last.
    pub(crate) fn breaker(&self) -> PathBuf {
        self.state.join("breaker.json")
    }

    /// The policy that was in force last.
    pub(crate) fn last_policy(&self) -> PathBuf {
        self.state.join("policy.toml")
    }

    /// Everything that happened.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal.jsonl")
    }

    /// What was changed on this host and has to be taken back.
    pub(crate) fn undo(&self) -> PathBuf {
        self.state.join("undo.jsonl")
    }

    /// The processes that are being ended: of no use after a reboot.
    pub(crate) fn endings(&self) -> PathBuf {
        self.runtime.join("ending.json")
    }

    /// Says that there has been a Guardian before: a missing state is no first start then.
    pub(crate) fn mark(&self) -> PathBuf {
        self.state.join("started")
    }

    /// What the installer has added to this host.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.state.join("installed.json")
    }

    /// Where the daemon listens for commands.
    pub(crate) fn control(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }

    /// What the gate has to read and nobody but the owner may write: fingerprints of tokens, the
    /// hash of the passphrase, the secret of its codes, the certificate.
    pub(crate) fn gate(&self) -> PathBuf {
        self.state.join("gate")
    }

    /// The permissions of what is in it: for nobody but its owner, unless there is a user for the gate.
    pub(crate) fn gate_mode() -> u32 {
        if gate_group().is_some() { 0o640 } else { 0o600 }
    }

    /// The fingerprints of the gate's tokens.
    pub(crate) fn gate_tokens(&self) -> PathBuf {
        self.gate().join("tokens.json")
    }

    /// The hash of the owner's passphrase.
    pub(crate) fn gate_passphrase(&self) -> PathBuf {
        self.gate().join("passphrase")
    }

    /// The secret of the codes that go with it, where they are on.
    pub(crate) fn gate_totp(&self) -> PathBuf {
        self.gate().join("totp.json")
    }

    /// Makes the folders where they are missing. One that others could write is refused.
    ///
    /// The state folder can be passed through by all, for supervisors of other users have to see
    /// the lock; what is in it has its own permissions.
    pub(crate) fn prepare(&self) -> Result<(), PathsError> {
        for folder in [&self.state, &self.runtime] {
            let unusable = |cause| PathsError::Unusable { path: folder.display().to_string(), cause };
            if let Err(failure) = fs::symlink_metadata(folder) {
                if failure.kind() != io::ErrorKind::NotFound {
                    return Err(unusable(failure));
                }
                DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(unusable)?;
            }
            trust(folder)?;
        }
        Ok(())
    }

    /// Whether [`Paths::prepare`] would do; makes nothing.
    pub(crate) fn can_be_prepared(&self) -> Result<(), PathsError> {
        for folder in [&self.state, &self.runtime] {
            match fs::symlink_metadata(folder) {
                Ok(_) => {
                    trust(folder)?;
                }
                Err(none) if none.kind() == io::ErrorKind::NotFound => takes_a_folder(folder)?,
                Err(cause) => {
                    return Err(PathsError::Unusable { path: folder.display().to_string(), cause });
                }
            }
        }
        Ok(())
    }

    /// Makes the gate's folder too. It belongs to whoever owns the state; the gate's own user, where
    /// there is one, may look into it.
    pub(crate) fn prepare_gate(&self) -> Result<(), PathsError> {
        self.prepare()?;
        let folder = self.gate();
        let unusable = |cause| PathsError::Unusable { path: folder.display().to_string(), cause };
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(there) if there.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(unusable)?,
        }
        trust(&folder)?;
        if let Some(group) = gate_group() {
            std::os::unix::fs::lchown(&folder, None, Some(group)).map_err(unusable)?;
            // What is made in it belongs to its group, too.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o2750)).map_err(unusable)?;
        }
        Ok(())
    }

    /// Gives what is in the gate's folder already to the gate's user, where there is one: it may have been
    /// made before there was.
    pub(crate) fn hand_over_gate(&self) -> Result<(), PathsError> {
        self.prepare_gate()?;
        let Some(group) = gate_group() else { return Ok(()) };
        let files = fs::read_dir(self.gate()).into_iter().flatten().filter_map(Result::ok);
        for file in files.map(|file| file.path()) {
            // Nobody else can put a link there: the folder is ours.
            if fs::symlink_metadata(&file).is_ok_and(|it| it.is_file()) {
                std::os::unix::fs::lchown(&file, None, Some(group))
                    .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o640)))
                    .map_err(|cause| PathsError::Unusable { path: file.display().to_string(), cause })?;
            }
        }
        Ok(())
    }

    /// Whether the state folder is there, and nobody else could have written it.
    pub(crate) fn trusted_state(&self) -> Result<Metadata, PathsError> {
        trust(&self.state)
    }
}

/// A path that the environment names.
fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The folder that systemd makes for the sessions of a user, if it is there and nobody else can look into it.
fn session_folder(uid: u32) -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return None;
    }
    let folder = PathBuf::from(format!("/run/user/{uid}"));
    is_private(&folder, uid).then_some(folder)
}

fn is_private(folder: &Path, uid: u32) -> bool {
    const OTHERS: u32 = 0o077;
    fs::symlink_metadata(folder).is_ok_and(|it| it.is_dir() && it.uid() == uid && it.mode() & OTHERS == 0)
}

/// The group of the user that the installer makes for the gate; to root alone it matters.
fn gate_group() -> Option<u32> {
    if !Uid::effective().is_root() {
        return None;
    }
    User::from_name(GATE_USER).ok().flatten().map(|user| user.gid.as_raw())
}

/// Whether a folder that is not there can be made: the nearest one above it that is there takes new ones.
fn takes_a_folder(missing: &Path) -> Result<(), PathsError> {
    let there = missing.ancestors().skip(1).find(|it| it.exists()).unwrap_or(Path::new("/"));
    nix::unistd::access(there, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|cause| PathsError::Unusable { path: there.display().to_string(), cause: cause.into() })
}

/// A folder that only root and whoever runs this may write.
fn trust(folder: &Path) -> Result<Metadata, PathsError> {
    let path = folder.display().to_string();
    let metadata =
        fs::symlink_metadata(folder).map_err(|cause| PathsError::Unusable { path: path.clone(), cause })?;
    if !metadata.is_dir() {
        return Err(PathsError::NotAFolder { path });
    }
    match others(&metadata) {
        Some(Others::Own { uid, expected }) => Err(PathsError::Owner { path, uid, expected }),
        Some(Others::Write { mode } | Others::Add { mode }) => Err(PathsError::Writable { path, mode }),
        None => Ok(metadata),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn within(folder: &Path) -> Paths {
        Paths { state: folder.join("state"), runtime: folder.join("state/run") }
    }

    #[test]
    fn missing_folders_are_made_and_others_can_pass_but_not_write() {
        let folder = tempfile::tempdir().unwrap();
        let paths = within(folder.path());
        paths.prepare().unwrap();
        paths.prepare().unwrap();
        assert_eq!(fs::metadata(&paths.state).unwrap().mode() & 0o022, 0);
    }

    #[test]
    fn to_look_whether_folders_can_be_made_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = within(&folder.path().join("home/of/nobody"));
        paths.can_be_prepared().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        paths.prepare().unwrap();
        paths.can_be_prepared().unwrap();
        fs::set_permissions(&paths.state, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(paths.can_be_prepared(), Err(PathsError::Writable { .. })));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(within(&file).can_be_prepared(), Err(PathsError::Unusable { .. })));
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = within(folder.path());
        paths.prepare().unwrap();
        for mode in [0o775, 0o757, 0o1777] {
            fs::set_permissions(&paths.state, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(paths.prepare(), Err(PathsError::Writable { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        symlink(folder.path().join("elsewhere"), folder.path().join("state")).unwrap();
        assert!(matches!(within(folder.path()).prepare(), Err(PathsError::NotAFolder { .. })));
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        if !Uid::effective().is_root() {
            eprintln!("left out: only root can give a folder away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let paths = within(folder.path());
        paths.prepare().unwrap();
        std::os::unix::fs::chown(&paths.state, Some(4001), None).unwrap();
        assert!(matches!(paths.prepare(), Err(PathsError::Owner { uid: 4001, .. })));
    }

    #[test]
    fn a_session_is_found_without_being_told_of_it_unless_somebody_else_could_have_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let uid = Uid::effective().as_raw();
        let is = |mode: u32, uid| {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            is_private(folder.path(), uid)
        };
        assert!(is(0o700, uid));
        assert!(!is(0o700, uid + 1) && !is(0o750, uid) && !is(0o701, uid));
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(is(0o700, uid) && !is_private(&link, uid));
        assert!(!is_private(Path::new("/nonexistent"), uid));
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn a_users_folders_follow_the_environment_and_a_service_has_none_of_it() {
        let home = Path::new("/home/ana");
        let of = |state: Option<&str>, runtime: Option<&str>| {
            Paths::of_a_user_with(Some(home), state.map(Into::into), runtime.map(Into::into)).unwrap()
        };
        let service = Paths::of_a_users_service(home, Some(Path::new("/run/user/7"))).unwrap();
        assert_eq!(service, of(None, Some("/run/user/7")));
        assert_eq!(service.state, Path::new("/home/ana/.local/state/guardian"));
        assert_eq!(service.runtime, Path::new("/run/user/7/guardian"));
        assert_eq!(of(Some("/data"), None).runtime, Path::new("/data/guardian/run"));
        assert_eq!(Paths::of_a_user_with(None, None, None), None);
    }

    #[test]
    fn what_is_named_is_the_only_place_to_ask() {
        let named = within(Path::new("/nonexistent"));
        assert_eq!(named.to_ask(), std::slice::from_ref(&named));
        if let Some(usual) = Paths::of_a_user() {
            assert_eq!(usual.to_ask(), [usual.clone(), Paths::of_the_machine()]);
        }
    }

    #[test]
    fn what_is_named_comes_first() {
        let paths = Paths::of_this_user(Some(Path::new("/a")), Some(Path::new("/b"))).unwrap();
        assert_eq!((paths.lock(), paths.control()), ("/a/breaker.lock".into(), "/b/control.sock".into()));
        let paths = Paths::of_this_user(Some(Path::new("/a")), None).unwrap();
        assert_eq!(paths.runtime, Path::new("/a/run"));
    }
}
