//! Reads files that decide something, if nobody else could have written them.
//!
//! Links are not followed, nothing blocks, and nothing is read beyond a bound. A file that another
//! user owns, or that others may write, is refused.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::Uid;

/// How such files are opened (`open(2)`): a link at the end of the path is an error, a pipe does
/// not block, programs that are started do not inherit it.
const FLAGS: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// Why a file is not relied on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// It cannot be opened or read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// It is a link, a folder, a pipe or the like.
    #[error("{path} is not a plain file (links are not followed)")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// It is too long.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: String,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// Somebody else owns it.
    #[error("{path} belongs to user {uid}, who could change it; type: chown {expected} {path}")]
    Owner {
        /// The file.
        path: String,
        /// Who owns it.
        uid: u32,
        /// Who should.
        expected: u32,
    },
    /// Others may write it.
    #[error("{path} can be written by others (mode {mode:03o}); type: chmod go-w {path}")]
    Writable {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
}

impl TrustError {
    /// There is no such file.
    pub(crate) fn is_absent(&self) -> bool {
        self.is(io::ErrorKind::NotFound)
    }

    /// The system said this.
    pub(crate) fn is(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::Unreadable { cause, .. } if cause.kind() == kind)
    }

    fn unreadable(path: &Path, cause: io::Error) -> Self {
        let path = path.display().to_string();
        match cause.raw_os_error().map(nix::Error::from_raw) {
            // What O_NOFOLLOW says of a link, and what writing says of a folder.
            Some(nix::Error::ELOOP | nix::Error::EISDIR) => Self::NotAFile { path },
            _ => Self::Unreadable { path, cause },
        }
    }
}

/// Reads a plain file of at most `limit` bytes that nobody else could have written.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, TrustError> {
    read_to_end(&open(path, OpenOptions::new().read(true))?, path, limit)
}

/// Opens a plain file that nobody else could have written, as the options say.
pub(crate) fn open(path: &Path, how: &mut OpenOptions) -> Result<File, TrustError> {
    let unreadable = |cause| TrustError::unreadable(path, cause);
    let file = how.custom_flags(FLAGS.bits()).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(TrustError::NotAFile { path: path.display().to_string() });
    }
    judge(path, &metadata)?;
    Ok(file)
}

/// Reads the rest of an open file, if that is at most `limit` bytes.
pub(crate) fn read_to_end(file: &File, path: &Path, limit: u64) -> Result<Vec<u8>, TrustError> {
    let mut bytes = Vec::new();
    let mut bounded = file.take(limit.saturating_add(1));
    bounded.read_to_end(&mut bytes).map_err(|cause| TrustError::unreadable(path, cause))?;
    if bytes.len() as u64 > limit {
        return Err(TrustError::TooLong { path: path.display().to_string(), limit });
    }
    Ok(bytes)
}

/// A file, or a folder on the way to one, is owned by root or by whoever runs this, and not writable by others. In
/// a folder with the sticky bit others may add files but not replace one that is not theirs, and each file is
/// judged itself.
pub(crate) fn judge(path: &Path, metadata: &Metadata) -> Result<(), TrustError> {
    let shown = || path.display().to_string();
    match others(metadata) {
        Some(Others::Own { uid, expected }) => Err(TrustError::Owner { path: shown(), uid, expected }),
        Some(Others::Write { mode }) => Err(TrustError::Writable { path: shown(), mode }),
        Some(Others::Add { .. }) | None => Ok(()),
    }
}

/// What others than root and whoever runs this could do to a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// One of them owns it.
    Own {
        /// Who.
        uid: u32,
        /// Who should.
        expected: u32,
    },
    /// They could write into it, or replace what is in it.
    Write {
        /// Its permissions.
        mode: u32,
    },
    /// They could add files to it, and replace none (the sticky bit): too much for a folder in which a file that
    /// is merely there says something, as the lock does.
    Add {
        /// Its permissions.
        mode: u32,
    },
}

/// The most that they could do.
pub(crate) fn others(metadata: &Metadata) -> Option<Others> {
    const WRITABLE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (uid, expected) = (metadata.uid(), Uid::effective().as_raw());
    if uid != 0 && uid != expected {
        return Some(Others::Own { uid, expected });
    }
    let mode = metadata.mode() & 0o777;
    if mode & WRITABLE == 0 {
        None
    } else if metadata.is_dir() && metadata.mode() & STICKY != 0 {
        Some(Others::Add { mode })
    } else {
        Some(Others::Write { mode })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;
    use crate::sys::scratch::leave_out;

    #[test]
    fn the_sticky_bit_lets_others_add_to_a_folder_and_change_nothing_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let seen = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let metadata = fs::metadata(path).unwrap();
            (others(&metadata), judge(path, &metadata).is_ok())
        };
        assert_eq!(seen(folder.path(), 0o755), (None, true));
        assert_eq!(seen(folder.path(), 0o1777), (Some(Others::Add { mode: 0o777 }), true));
        assert_eq!(seen(folder.path(), 0o777), (Some(Others::Write { mode: 0o777 }), false));
        assert_eq!(seen(&file, 0o644), (None, true));
        assert_eq!(seen(&file, 0o1622), (Some(Others::Write { mode: 0o622 }), false), "a file has none");
    }

    #[test]
    fn a_plain_file_is_read_up_to_the_bound_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert!(matches!(read_bounded(&path, 4), Err(TrustError::TooLong { limit: 4, .. })));
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"").unwrap();
        for mode in [0o664, 0o646, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_bounded(&path, 1), Err(TrustError::Writable { .. })), "{mode:o}");
        }
    }

    #[test]
    fn links_folders_and_pipes_are_no_files_and_nothing_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        fs::write(&file, b"").unwrap();
        symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [&link, &pipe, folder.path()] {
            assert!(matches!(read_bounded(path, 1), Err(TrustError::NotAFile { .. })), "{path:?}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        if !Uid::effective().is_root() {
            return leave_out("only root can give a file away");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"").unwrap();
        chown(&path, Some(4001), None).unwrap();
        assert!(matches!(read_bounded(&path, 1), Err(TrustError::Owner { uid: 4001, .. })));
    }

    #[test]
    fn a_file_that_is_not_there_is_told_from_one_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        assert!(read_bounded(&folder.path().join("none"), 1).unwrap_err().is_absent());
        assert!(!read_bounded(&folder.path().join("file/in"), 1).unwrap_err().is_absent());
    }
}
