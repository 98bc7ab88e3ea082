//! Where the configuration is, and whether somebody else could have written it.
//!
//! The agent must not be able to change what guards it: a file or folder that another user owns,
//! or that others may write, is refused.

use std::env;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::Uid;

/// The largest file that is read, in bytes.
const LIMIT: u64 = 256 * 1024;

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
    /// It cannot be opened or read.
    #[error("the configuration {path} cannot be read")]
    Unreadable {
        path: String,
        #[source]
        cause: io::Error,
    },
    /// It is not a plain file.
    #[error("the configuration {path} is not a plain file (links are not followed)")]
    NotAFile { path: String },
    /// It is too long.
    #[error("the configuration {path} is longer than {LIMIT} bytes")]
    TooLong { path: String },
    /// Somebody else owns it.
    #[error(
        "the configuration {path} belongs to user {uid}, who could change it; type: chown {expected} {path}"
    )]
    Owner { path: String, uid: u32, expected: u32 },
    /// Others may write it.
    #[error("the configuration {path} can be written by others (mode {mode:03o}); type: chmod go-w {path}")]
    Writable { path: String, mode: u32 },
}

/// Reads the configuration file that applies; `None` if none was named and none is there.
pub(super) fn find(named: Option<&Path>) -> Result<Option<Source>, SourceError> {
    let named = named.map(Path::to_owned).or_else(|| env::var_os("GUARDIAN_CONFIG").map(PathBuf::from));
    if let Some(path) = named {
        return read(&path).map(Some);
    }
    for path in usual_places() {
        match read(&path) {
            Err(SourceError::Unreadable { cause, .. })
                if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            other => return other.map(Some),
        }
    }
    Ok(None)
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
    let shown = path.display().to_string();
    let unreadable = |cause| SourceError::Unreadable { path: shown.clone(), cause };
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
        .open(path);
    let mut file: File = match opened {
        Ok(file) => file,
        // What O_NOFOLLOW says of a link.
        Err(cause) if cause.raw_os_error() == Some(nix::Error::ELOOP as i32) => {
            return Err(SourceError::NotAFile { path: shown });
        }
        Err(cause) => return Err(unreadable(cause)),
    };
    let of_file = file.metadata().map_err(unreadable)?;
    if !of_file.is_file() {
        return Err(SourceError::NotAFile { path: shown });
    }
    trust(path, &of_file)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    trust(folder, &folder.metadata().map_err(unreadable)?)?;
    let mut text = String::new();
    let read = Read::by_ref(&mut file).take(LIMIT + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > LIMIT {
        return Err(SourceError::TooLong { path: shown });
    }
    Ok(Source { path: path.to_owned(), text })
}

/// Owned by root or by whoever runs this, and not writable by others; in a folder with the sticky
/// bit others may add files but not replace this one.
fn trust(path: &Path, metadata: &Metadata) -> Result<(), SourceError> {
    const WRITABLE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let shown = path.display().to_string();
    let user = Uid::effective().as_raw();
    if metadata.uid() != 0 && metadata.uid() != user {
        return Err(SourceError::Owner { path: shown, uid: metadata.uid(), expected: user });
    }
    let sticky_folder = metadata.is_dir() && metadata.mode() & STICKY != 0;
    if metadata.mode() & WRITABLE != 0 && !sticky_folder {
        return Err(SourceError::Writable { path: shown, mode: metadata.mode() & 0o777 });
    }
    Ok(())
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
            assert!(matches!(read(&path), Err(SourceError::Writable { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_unless_it_is_sticky() {
        let (folder, path) = written(0o600);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(read(&path), Err(SourceError::Writable { .. })));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(read(&path).is_ok());
    }

    #[test]
    fn a_link_is_not_followed_and_a_pipe_does_not_hang() {
        let (folder, path) = written(0o600);
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link), Err(SourceError::NotAFile { .. })));
        let pipe = folder.path().join("pipe.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(matches!(read(&pipe), Err(SourceError::NotAFile { .. })));
    }

    #[test]
    fn a_file_that_was_named_must_exist() {
        assert!(matches!(
            find(Some(Path::new("/nonexistent/guardian.toml"))),
            Err(SourceError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        let (_folder, path) = written(0o600);
        fs::write(&path, vec![b'#'; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
        assert!(matches!(read(&path), Err(SourceError::TooLong { .. })));
    }
}
