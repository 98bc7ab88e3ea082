//! Gives a folder and all that is in it from one user to another.
//!
//! The folder was, or will be, somebody's who may be hostile and may still hold it open. So nothing is
//! looked up twice: each file is held, looked at and given away as the same thing, links are given away
//! themselves, and what belongs to anybody else is not touched.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{Gid, Uid, fchownat};
use serde::{Deserialize, Serialize};

/// Deeper than this nobody goes: each folder on the way is held open.
const DEPTH: usize = 256;

/// How a folder is opened.
const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Which folder it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of a folder that is no link.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let metadata = File::from(open(folder)?).metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Whether all of it is `owner`'s; else the first thing that is not.
pub(crate) fn all_is(folder: &Path, owner: Owner) -> io::Result<()> {
    walk(folder, &mut |entry| {
        if entry.stat.st_uid == owner.uid {
            return Ok(());
        }
        let whose = format!(
            "{} belongs to user {}: give it to its owner, or move it away",
            entry.path.display(),
            entry.stat.st_uid
        );
        Err(io::Error::other(whose))
    })
}

/// Gives what is `from`'s to `to`: a group that is not `from`'s stays.
pub(crate) fn give(folder: &Path, from: Owner, to: Owner) -> io::Result<()> {
    walk(folder, &mut |entry| {
        if entry.stat.st_uid != from.uid {
            return Ok(());
        }
        let group = (entry.stat.st_gid == from.gid).then(|| Gid::from_raw(to.gid));
        Ok(entry.give(Uid::from_raw(to.uid), group)?)
    })
}

/// Something in the folder.
struct Entry<'e> {
    /// Below the folder; empty for the folder itself.
    path: &'e Path,
    stat: FileStat,
    held: Held<'e>,
}

/// What is given away is what was looked at.
enum Held<'e> {
    /// It is held.
    Itself(&'e OwnedFd),
    /// It cannot be held on this system; it is given away by its name, and never followed. Whoever
    /// exchanges it meanwhile gives away another thing of this folder.
    Named(&'e OwnedFd, &'e CStr),
}

impl Entry<'_> {
    fn give(&self, uid: Uid, gid: Option<Gid>) -> nix::Result<()> {
        match self.held {
            #[cfg(target_os = "linux")]
            Held::Itself(held) => fchownat(held, c"", Some(uid), gid, AtFlags::AT_EMPTY_PATH),
            #[cfg(not(target_os = "linux"))]
            Held::Itself(held) => nix::unistd::fchown(held, Some(uid), gid),
            Held::Named(folder, name) => fchownat(folder, name, Some(uid), gid, AtFlags::AT_SYMLINK_NOFOLLOW),
        }
    }
}

/// Holds a file without opening it: nothing is read, no device acts, no pipe waits.
#[cfg(target_os = "linux")]
fn hold(folder: &OwnedFd, name: &CStr) -> nix::Result<(FileStat, Option<OwnedFd>)> {
    let held = openat(folder, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok((fstat(&held)?, Some(held)))
}

/// Without `O_PATH` only folders can be held and not be opened for anything.
#[cfg(not(target_os = "linux"))]
fn hold(folder: &OwnedFd, name: &CStr) -> nix::Result<(FileStat, Option<OwnedFd>)> {
    let stat = nix::sys::stat::fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if !is(&stat, SFlag::S_IFDIR) {
        return Ok((stat, None));
    }
    let held = openat(folder, name, FOLDER, Mode::empty())?;
    Ok((fstat(&held)?, Some(held)))
}

fn open(folder: &Path) -> nix::Result<OwnedFd> {
    nix::fcntl::open(folder, FOLDER, Mode::empty())
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>) -> io::Result<()> {
    let opened = open(folder)?;
    let device = fstat(&opened)?.st_dev;
    let mut walk = Walk { device, visit };
    walk.descend(&opened, Path::new(""), 0)?;
    (walk.visit)(&Entry { path: Path::new(""), stat: fstat(&opened)?, held: Held::Itself(&opened) })
}

struct Walk<'v> {
    device: nix::libc::dev_t,
    visit: &'v mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
}

impl Walk<'_> {
    fn descend(&mut self, folder: &OwnedFd, path: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH {
            return Err(io::Error::other(format!("there are more than {DEPTH} folders within each other")));
        }
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::from_fd(folder.try_clone()?)?.iter() {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        for name in names {
            let inside = path.join(PathBuf::from(std::ffi::OsStr::new(&*name.to_string_lossy())));
            let (stat, held) = hold(folder, &name)?;
            if stat.st_dev != self.device {
                return Err(io::Error::other(format!("{} is another file system", inside.display())));
            }
            if let Some(held) = held.as_ref().filter(|_| is(&stat, SFlag::S_IFDIR)) {
                // The same folder, opened to be listed.
                let opened = openat(held, c".", FOLDER, Mode::empty())?;
                self.descend(&opened, &inside, depth + 1)?;
            }
            let held = held.as_ref().map_or(Held::Named(folder, &name), Held::Itself);
            (self.visit)(&Entry { path: &inside, stat, held })?;
        }
        Ok(())
    }
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::scratch::leave_out;

    const ANA: Owner = Owner { uid: 4001, gid: 4001 };
    const GATEWAY: Owner = Owner { uid: 4100, gid: 4100 };

    fn owner(path: &Path) -> (u32, u32) {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    fn own() -> Owner {
        Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
    }

    /// Takes root, as all of this does; elsewhere nobody can give a file away.
    fn is_root() -> bool {
        if !nix::unistd::geteuid().is_root() {
            leave_out("only root can give files away");
        }
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn a_folder_behind_a_link_is_nobodys_to_give() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("real")).unwrap();
        symlink("real", top.path().join("link")).unwrap();
        assert!(give(&top.path().join("link"), own(), own()).is_err());
        assert!(Identity::of(&top.path().join("link")).is_err());
    }

    #[test]
    fn what_is_somebody_elses_is_named_before_anything_is_given() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("file"), "").unwrap();
        all_is(top.path(), own()).unwrap();
        let refused = all_is(top.path(), ANA).unwrap_err().to_string();
        assert!(refused.contains("file belongs to user"), "{refused}");
    }

    #[test]
    fn all_of_it_is_given_and_given_back_and_nothing_of_anybody_else() {
        if !is_root() {
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("state");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        for name in ["a/b/file", "a/of a group", "a/roots"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::write(top.path().join("outside"), "").unwrap();
        symlink("../../outside", folder.join("a/link")).unwrap();
        fs::hard_link(top.path().join("outside"), folder.join("a/second name")).unwrap();
        nix::unistd::mkfifo(&folder.join("a/pipe"), Mode::S_IRWXU).unwrap();
        for name in ["", "a", "a/b", "a/b/file", "a/link", "a/pipe", "a/of a group"] {
            std::os::unix::fs::lchown(folder.join(name), Some(4001), Some(4001)).unwrap();
        }
        std::os::unix::fs::lchown(folder.join("a/of a group"), None, Some(5)).unwrap();
        give(&folder, ANA, GATEWAY).unwrap();
        for name in ["", "a", "a/b", "a/b/file", "a/link", "a/pipe"] {
            assert_eq!(owner(&folder.join(name)), (4100, 4100), "{name}");
        }
        assert_eq!(owner(&folder.join("a/of a group")), (4100, 5));
        for name in ["a/roots", "a/second name"] {
            assert_eq!(owner(&folder.join(name)), (own().uid, own().gid), "{name}");
        }
        assert_eq!(owner(&top.path().join("outside")), (own().uid, own().gid));
        give(&folder, GATEWAY, ANA).unwrap();
        assert_eq!(owner(&folder.join("a/b/file")), (4001, 4001));
        assert_eq!(owner(&folder.join("a/of a group")), (4001, 5));
    }

    #[test]
    fn a_folder_that_was_put_in_its_place_is_another_one() {
        let top = tempfile::tempdir().unwrap();
        let (one, other) = (top.path().join("one"), top.path().join("other"));
        fs::create_dir(&one).unwrap();
        let identity = Identity::of(&one).unwrap();
        fs::rename(&one, &other).unwrap();
        fs::create_dir(&one).unwrap();
        assert_ne!(Identity::of(&one).unwrap(), identity);
        assert_eq!(Identity::of(&other).unwrap(), identity);
    }
}
