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

/// Owned by root or by whoever runs this, and not writable by others; in a folder with the sticky
/// bit others may add files but not replace one that is not theirs.
pub(crate) fn judge(path: &Path, metadata: &Metadata) -> Result<(), TrustError> {
    const WRITABLE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let shown = path.display().to_string();
    let user = Uid::effective().as_raw();
    if metadata.uid() != 0 && metadata.uid() != user {
        return Err(TrustError::Owner { path: shown, uid: metadata.uid(), expected: user });
    }
    let sticky_folder = metadata.is_dir() && metadata.mode() & STICKY != 0;
    if metadata.mode() & WRITABLE != 0 && !sticky_folder {
        return Err(TrustError::Writable { path: shown, mode: metadata.mode() & 0o777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;
    use crate::sys::scratch::leave_out;

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
