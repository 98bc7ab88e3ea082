//! Where the configuration is, and whether somebody else could have written it.
//!
//! The agent must not be able to change what guards it: a file or folder that another user owns,
//! or that others may write, is refused.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::sys::trusted::{self, TrustError};

/// The largest file that is read, in bytes.
pub(crate) const LIMIT: u64 = 256 * 1024;

/// A configuration file's path and text.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) text: String,
}

/// Why a file cannot be taken for configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// It cannot be read, or somebody else could have written it.
    #[error("the configuration cannot be used")]
    Untrusted(#[from] TrustError),
    /// It is not text.
    #[error("the configuration {path} is not text in UTF-8")]
    NotText {
        path: String,
        #[source]
        cause: std::string::FromUtf8Error,
    },
}

impl SourceError {
    /// There is no such file.
    fn is_missing(&self) -> bool {
        matches!(self, Self::Untrusted(failure)
            if failure.is_absent() || failure.is(io::ErrorKind::NotADirectory))
    }
}

/// Reads the configuration file that applies; `None` if none was named and none is there.
pub(super) fn find(named: Option<&Path>) -> Result<Option<Source>, SourceError> {
    if let Some(path) = named_path(named) {
        return read(&path).map(Some);
    }
    for path in usual_places() {
        match read(&path) {
            Err(missing) if missing.is_missing() => {}
            other => return other.map(Some),
        }
    }
    Ok(None)
}

/// The same; where there is none, the place where it is looked for first, and no text.
pub(super) fn find_or_new(named: Option<&Path>) -> Result<Source, SourceError> {
    let found = match find(named) {
        Err(missing) if missing.is_missing() => None,
        other => other?,
    };
    let new = || named_path(named).or_else(|| usual_places().into_iter().next()).unwrap_or_default();
    Ok(found.unwrap_or_else(|| Source { path: new(), text: String::new() }))
}

/// Where whoever runs this keeps a policy of their own: root the machine's, a user theirs.
pub(super) fn own_place() -> Option<PathBuf> {
    usual_places().into_iter().next()
}

fn named_path(named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(|| env::var_os("GUARDIAN_CONFIG").map(PathBuf::from))
}

/// The user's own file first, then the machine's. Root has only the machine's.
fn usual_places() -> Vec<PathBuf> {
    let machine = PathBuf::from("/etc/guardian/guardian.toml");
    if Uid::effective().is_root() {
        return vec![machine];
    }
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let own = if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library/Application Support/Guardian"))
    } else {
        env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| home.map(|home| home.join(".config")))
            .map(|folder| folder.join("guardian"))
    };
    own.map(|folder| folder.join("guardian.toml")).into_iter().chain([machine]).collect()
}

fn read(path: &Path) -> Result<Source, SourceError> {
    let bytes = trusted::read_bounded(path, LIMIT)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let of_folder = folder
        .metadata()
        .map_err(|cause| TrustError::Unreadable { path: folder.display().to_string(), cause })?;
    trusted::judge(folder, &of_folder)?;
    let text = String::from_utf8(bytes)
        .map_err(|cause| SourceError::NotText { path: path.display().to_string(), cause })?;
    Ok(Source { path: path.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn written(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guardian.toml");
        fs::write(&path, "mode = \"observe\"\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_of_ones_own_is_read() {
        let (_folder, path) = written(0o644);
        assert_eq!(read(&path).unwrap().text, "mode = \"observe\"\n");
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        for mode in [0o664, 0o646] {
            let (_folder, path) = written(mode);
            assert!(
                matches!(read(&path), Err(SourceError::Untrusted(TrustError::Writable { .. }))),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_unless_it_is_sticky() {
        let (folder, path) = written(0o600);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(read(&path), Err(SourceError::Untrusted(TrustError::Writable { .. }))));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(read(&path).is_ok());
    }

    #[test]
    fn a_link_is_not_followed_and_a_pipe_does_not_hang() {
        let (folder, path) = written(0o600);
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link), Err(SourceError::Untrusted(TrustError::NotAFile { .. }))));
        let pipe = folder.path().join("pipe.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(matches!(read(&pipe), Err(SourceError::Untrusted(TrustError::NotAFile { .. }))));
    }

    #[test]
    fn a_file_that_was_named_must_exist() {
        assert!(matches!(
            find(Some(Path::new("/nonexistent/guardian.toml"))),
            Err(SourceError::Untrusted(TrustError::Unreadable { .. }))
        ));
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        let (_folder, path) = written(0o600);
        fs::write(&path, vec![b'#'; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
        assert!(matches!(read(&path), Err(SourceError::Untrusted(TrustError::TooLong { .. }))));
    }
}
