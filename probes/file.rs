//! Reads files that somebody else has named, without harm.
//!
//! A gateway's or a proxy's configuration may be named by anyone who can start a process. So only
//! regular files are opened (opening a device can act on it), nothing blocks, and nothing is read
//! beyond a bound. Files are looked up as the process that names them sees them: in a container or
//! with a private `/tmp`, the same path is another file.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use guardian_rules::blindness::{Blindness, Cause};

/// The file system as one process sees it.
#[derive(Debug)]
pub struct View {
    at: platform::Root,
}

/// A file's identity and the time of its last change: if it is the same, so is the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    // Set by the kernel alone, so it also moves when the time of modification is set back.
    changed: (i64, i64),
}

impl Stamp {
    /// Of what is at a path now, a link itself included; none where there is nothing.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().as_ref().map(Self::of)
    }

    /// When it was last changed in any way, in seconds since the epoch. Nobody but the kernel sets this.
    pub(crate) fn changed(&self) -> i64 {
        self.changed.0
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file that was read whole.
#[derive(Debug)]
pub struct Content {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Its state before it was read.
    pub stamp: Stamp,
    /// Who owns it.
    pub uid: u32,
    /// When it was last modified, in seconds since the epoch.
    pub modified: i64,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// There is none.
    #[error("there is no such file")]
    Absent,
    /// The system refused.
    #[error("permission denied")]
    Denied,
    /// A folder, a device, a pipe, or (where links are not followed) a link.
    #[error("it is not a regular file")]
    NotAFile,
    /// Larger than the bound, in bytes.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// More names than are looked at.
    #[error("there are too many names")]
    TooMany,
    /// Anything else.
    #[error("it cannot be read: {0}")]
    Failed(#[source] io::Error),
}

impl Unread {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Failed(error),
        }
    }

    /// The same as a blind look at `path`.
    #[must_use]
    pub fn blindness(&self, path: &Path) -> Blindness {
        let cause = match self {
            Self::Denied => Cause::Denied,
            Self::TooLarge(_) | Self::TooMany => Cause::TooMuch,
            Self::NotAFile => Cause::Malformed,
            Self::Absent | Self::Failed(_) => Cause::Interrupted,
        };
        Blindness::new(cause, format!("{}: {self}", path.display()))
    }
}

/// Whether links are followed at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are: a person may have put the file elsewhere.
    Follow,
    /// They are not: anyone may have put a link there.
    Refuse,
}

impl View {
    /// As this program sees it.
    pub fn own() -> io::Result<Self> {
        Ok(Self { at: platform::Root::own()? })
    }

    /// As a process sees it; as this program does where the process does not let itself be looked at.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { at: platform::Root::of(pid)? })
    }

    /// Reads a regular file of at most `most` bytes.
    pub fn read(&self, path: &Path, most: u64, links: Links) -> Result<Content, Unread> {
        let mut file = self.open(path, links)?;
        let metadata = file.metadata().map_err(Unread::of)?;
        if metadata.len() > most {
            return Err(Unread::TooLarge(most));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Unread::of)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
            return Err(Unread::TooLarge(most));
        }
        Ok(Content { bytes, stamp: Stamp::of(&metadata), uid: metadata.uid(), modified: metadata.mtime() })
    }

    /// The state of whatever a path leads to, links followed.
    #[must_use]
    pub fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.at.metadata(path, Links::Follow).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// What lies at a path; the last link is not followed.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.at.metadata(path, Links::Refuse)
    }

    /// The names in a folder, at most `most` of them, in order.
    pub fn names(&self, folder: &Path, most: usize, links: Links) -> Result<Vec<OsString>, Unread> {
        let mut names: Vec<OsString> = self
            .at
            .entries(folder, links)
            .map_err(Unread::of)?
            .take(most)
            .filter_map(|entry| entry.ok().map(|entry| entry.file_name()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, links: Links) -> Result<File, Unread> {
        // Whether it is a regular file is asked before it is opened, and again of what was opened.
        let file = self.at.open(path, links, Metadata::is_file);
        let file = file.map_err(Unread::of)?.ok_or(Unread::NotAFile)?;
        if file.metadata().map_err(Unread::of)?.is_file() { Ok(file) } else { Err(Unread::NotAFile) }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs::{File, Metadata, OpenOptions, ReadDir};
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};

    use nix::errno::Errno;
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

    use super::Links;

    /// A root folder; paths and links are resolved below it.
    #[derive(Debug)]
    pub(super) struct Root {
        folder: OwnedFd,
        own: bool,
    }

    impl Root {
        pub(super) fn own() -> io::Result<Self> {
            Ok(Self { folder: folder(Path::new("/"))?, own: true })
        }

        pub(super) fn of(pid: u32) -> io::Result<Self> {
            match folder(Path::new(&format!("/proc/{pid}/root"))) {
                Ok(folder) => Ok(Self { folder, own: false }),
                Err(_) => Self::own(),
            }
        }

        /// Finds what a path leads to without opening it.
        fn find(&self, path: &Path, links: Links) -> io::Result<File> {
            let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
            flags.set(OFlag::O_NOFOLLOW, links == Links::Refuse);
            let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            let how = OpenHow::new().flags(flags).resolve(resolve);
            match openat2(&self.folder, path, how) {
                Ok(found) => Ok(found.into()),
                // Older kernels, and sandboxes that refuse what they do not know.
                Err(Errno::ENOSYS | Errno::EPERM) if self.own => {
                    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
                }
                Err(error) => Err(error.into()),
            }
        }

        pub(super) fn metadata(&self, path: &Path, links: Links) -> io::Result<Metadata> {
            self.find(path, links)?.metadata()
        }

        pub(super) fn open(
            &self,
            path: &Path,
            links: Links,
            wanted: impl Fn(&Metadata) -> bool,
        ) -> io::Result<Option<File>> {
            let found = self.find(path, links)?;
            if !wanted(&found.metadata()?) {
                return Ok(None);
            }
            // The very file that was found, whatever has happened to its name since.
            let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
            OpenOptions::new().read(true).custom_flags(flags.bits()).open(again(&found)).map(Some)
        }

        pub(super) fn entries(&self, path: &Path, links: Links) -> io::Result<ReadDir> {
            let found = self.find(path, links)?;
            if !found.metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            std::fs::read_dir(again(&found))
        }
    }

    fn folder(path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map(Into::into)
    }

    fn again(found: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::fs::{File, Metadata, OpenOptions, ReadDir};
    use std::io;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    use nix::fcntl::OFlag;

    use super::Links;

    /// The one root there is.
    #[derive(Debug)]
    pub(super) struct Root;

    impl Root {
        #[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
        pub(super) fn own() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn of(_: u32) -> io::Result<Self> {
            Self::own()
        }

        #[expect(clippy::unused_self, reason = "on Linux it is needed")]
        pub(super) fn metadata(&self, path: &Path, links: Links) -> io::Result<Metadata> {
            match links {
                Links::Follow => std::fs::metadata(path),
                Links::Refuse => std::fs::symlink_metadata(path),
            }
        }

        pub(super) fn open(
            &self,
            path: &Path,
            links: Links,
            wanted: impl Fn(&Metadata) -> bool,
        ) -> io::Result<Option<File>> {
            if !wanted(&self.metadata(path, links)?) {
                return Ok(None);
            }
            let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
            flags.set(OFlag::O_NOFOLLOW, links == Links::Refuse);
            OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map(Some)
        }

        pub(super) fn entries(&self, path: &Path, links: Links) -> io::Result<ReadDir> {
            if !self.metadata(path, links)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            std::fs::read_dir(path)
        }
    }
}

#[cfg(test)]
mod tests;
