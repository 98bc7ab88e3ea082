//! Gives a folder and all that is in it to another user.
//!
//! The folder was somebody's who may have put links in it: names are looked up in folders that are held
//! open, links are given away themselves and never followed, and what another file system has mounted
//! there is left alone.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchown, fchownat};
use serde::{Deserialize, Serialize};

/// Deeper than this nobody goes.
const DEPTH: usize = 64;
/// As many files belong to somebody else, at most, and are remembered.
const OTHERS: usize = 4096;

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A file that belonged to neither, by its path below the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Other {
    pub(crate) path: PathBuf,
    pub(crate) owner: Owner,
}

/// Who owns what in a folder that is not `owner`'s.
pub(crate) fn others(folder: &Path, owner: Owner) -> io::Result<Vec<Other>> {
    let mut others = Vec::new();
    walk(folder, &mut |entry| {
        entry.has_one_name()?;
        let found = Owner { uid: entry.stat.st_uid, gid: entry.stat.st_gid };
        if found != owner {
            if others.len() == OTHERS {
                return Err(io::Error::other(format!("more than {OTHERS} files in it belong to others")));
            }
            others.push(Other { path: entry.path.to_owned(), owner: found });
        }
        Ok(())
    })?;
    Ok(others)
}

/// Gives the folder and all that is in it to `owner`, except for what `others` says.
pub(crate) fn give(folder: &Path, owner: Owner, others: &[Other]) -> io::Result<()> {
    walk(folder, &mut |entry| {
        let owner = others.iter().find(|it| it.path == entry.path).map_or(owner, |it| it.owner);
        entry.has_one_name()?;
        entry.give(Uid::from_raw(owner.uid), Gid::from_raw(owner.gid))
    })
}

/// Something in the folder.
struct Entry<'e> {
    /// Below the folder; empty for the folder itself.
    path: &'e Path,
    stat: FileStat,
    at: At<'e>,
}

enum At<'e> {
    Folder(&'e OwnedFd),
    In(&'e OwnedFd, &'e Path),
}

impl Entry<'_> {
    /// A second name may be somebody else's, elsewhere.
    fn has_one_name(&self) -> io::Result<()> {
        if is(&self.stat, SFlag::S_IFREG) && self.stat.st_nlink > 1 {
            let linked =
                format!("{} has a second name (a hard link): remove one of them", self.path.display());
            return Err(io::Error::other(linked));
        }
        Ok(())
    }

    fn give(&self, uid: Uid, gid: Gid) -> io::Result<()> {
        let given = match self.at {
            At::Folder(folder) => fchown(folder, Some(uid), Some(gid)),
            At::In(folder, name) => {
                fchownat(folder, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            }
        };
        Ok(given?)
    }
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(folder, flags, Mode::empty())?;
    let device = fstat(&opened)?.st_dev;
    descend(&opened, Path::new(""), device, 0, visit)
}

fn descend(
    folder: &OwnedFd,
    path: &Path,
    device: nix::libc::dev_t,
    depth: usize,
    visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    if depth > DEPTH {
        return Err(io::Error::other(format!("{} lies deeper than {DEPTH} folders", path.display())));
    }
    let mut names = Vec::new();
    for entry in Dir::from_fd(folder.try_clone()?)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(PathBuf::from(OsStr::from_bytes(name)));
        }
    }
    for name in names {
        let inside = path.join(&name);
        let stat = fstatat(folder, &name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if stat.st_dev != device {
            return Err(io::Error::other(format!("{} is another file system", inside.display())));
        }
        if is(&stat, SFlag::S_IFDIR) {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let opened = nix::fcntl::openat(folder, &name, flags, Mode::empty())?;
            descend(&opened, &inside, device, depth + 1, visit)?;
        } else {
            visit(&Entry { path: &inside, stat, at: At::In(folder, &name) })?;
        }
    }
    let stat = fstat(folder)?;
    visit(&Entry { path, stat, at: At::Folder(folder) })
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn owner(path: &Path) -> (u32, u32) {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    fn own() -> Owner {
        Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
    }

    #[test]
    fn a_second_name_of_somebodys_file_is_refused() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("outside"), "").unwrap();
        let folder = top.path().join("state");
        fs::create_dir(&folder).unwrap();
        fs::hard_link(top.path().join("outside"), folder.join("inside")).unwrap();
        let refused = others(&folder, own()).unwrap_err().to_string();
        assert!(refused.contains("inside has a second name"), "{refused}");
        assert!(give(&folder, own(), &[]).is_err());
    }

    #[test]
    fn a_folder_behind_a_link_is_nobodys_to_give() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("real")).unwrap();
        symlink("real", top.path().join("link")).unwrap();
        assert!(give(&top.path().join("link"), own(), &[]).is_err());
    }

    /// Takes root, as all of this does; elsewhere nobody can give a file away.
    #[test]
    fn all_of_it_is_given_and_given_back_with_its_exceptions_and_links_are_not_followed() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("state");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        for name in ["a/b/file", "a/roots"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::write(top.path().join("outside"), "").unwrap();
        symlink("../../outside", folder.join("a/link")).unwrap();
        let ana = Owner { uid: 4001, gid: 4001 };
        give(&folder, ana, &[]).unwrap();
        std::os::unix::fs::chown(folder.join("a/roots"), Some(0), Some(5)).unwrap();
        let kept = others(&folder, ana).unwrap();
        assert_eq!(kept, [Other { path: "a/roots".into(), owner: Owner { uid: 0, gid: 5 } }]);
        give(&folder, Owner { uid: 4100, gid: 4100 }, &[]).unwrap();
        for name in ["", "a", "a/b", "a/b/file", "a/roots", "a/link"] {
            assert_eq!(owner(&folder.join(name)), (4100, 4100), "{name}");
        }
        assert_eq!(owner(&top.path().join("outside")), (own().uid, own().gid));
        give(&folder, ana, &kept).unwrap();
        assert_eq!(owner(&folder.join("a/b/file")), (4001, 4001));
        assert_eq!(owner(&folder.join("a/roots")), (0, 5));
    }
}
