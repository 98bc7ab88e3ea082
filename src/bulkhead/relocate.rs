//! Moves a folder, to another disk too, so that a whole one is there at every moment.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guardian_probes::command::Tool;

use super::BulkheadError;
use crate::install::plan::line;

/// A state of some gigabytes is copied within this time.
const COPIES: Duration = Duration::from_mins(30);

/// What is being copied.
pub(crate) fn partial(to: &Path) -> PathBuf {
    with(to, ".partial")
}

/// What has been copied, and is about to go.
pub(crate) fn leaving(from: &Path) -> PathBuf {
    with(from, ".leaving")
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Moves a folder. `to` is not there.
pub(crate) async fn relocate(from: &Path, to: &Path) -> Result<(), BulkheadError> {
    let unchanged = |path: &Path, cause| BulkheadError::Unchanged { path: path.to_owned(), cause };
    match fs::rename(from, to) {
        Err(apart) if apart.kind() == io::ErrorKind::CrossesDevices => {}
        renamed => return renamed.map_err(|cause| unchanged(from, cause)),
    }
    let (partial, leaving) = (partial(to), leaving(from));
    clear(&partial)?;
    let arguments = [OsString::from("-a"), "--".into(), from.into(), partial.clone().into()];
    let copy = Tool::new("cp", arguments).within(COPIES);
    copy.run().await.map_err(|cause| BulkheadError::Command { line: line(&copy), cause })?;
    nix::unistd::sync();
    fs::rename(&partial, to).map_err(|cause| unchanged(&partial, cause))?;
    fs::rename(from, &leaving).map_err(|cause| unchanged(from, cause))?;
    clear(&leaving)
}

/// What a move that was interrupted has left beside the whole folder goes.
pub(crate) fn clear(path: &Path) -> Result<(), BulkheadError> {
    match fs::remove_dir_all(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|cause| BulkheadError::Unchanged { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    /// Two folders on different disks, where this machine has two.
    fn disks() -> Option<(tempfile::TempDir, tempfile::TempDir)> {
        let one = tempfile::tempdir_in("/dev/shm").ok()?;
        let other = tempfile::tempdir_in(std::env::temp_dir()).ok()?;
        let device = |path: &Path| fs::metadata(path).map(|it| it.dev()).ok();
        (device(one.path()) != device(other.path())).then_some((one, other))
    }

    #[tokio::test]
    async fn to_another_disk_all_of_it_goes_with_its_permissions_and_links_and_nothing_stays() {
        let Some((one, other)) = disks() else {
            println!("skipped: there is but one disk");
            return;
        };
        let (from, to) = (one.path().join("state"), other.path().join("state"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/secret"), "x").unwrap();
        fs::set_permissions(from.join("a/secret"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("a/secret", from.join("link")).unwrap();
        fs::create_dir(partial(&to)).unwrap();
        fs::write(partial(&to).join("of an earlier try"), "").unwrap();
        relocate(&from, &to).await.unwrap();
        assert_eq!(fs::read_to_string(to.join("a/secret")).unwrap(), "x");
        assert_eq!(fs::metadata(to.join("a/secret")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a/secret"));
        assert_eq!(fs::read_dir(&to).unwrap().count(), 2, "nothing of the earlier try");
        for folder in [one.path(), other.path()] {
            let names: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name()).collect();
            assert!(names.iter().all(|name| name == "state"), "{names:?}");
        }
        assert!(!from.exists());
    }

    #[tokio::test]
    async fn on_one_disk_it_is_renamed() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (top.path().join("from"), top.path().join("to"));
        fs::create_dir(&from).unwrap();
        let inode = fs::metadata(&from).unwrap().ino();
        relocate(&from, &to).await.unwrap();
        assert_eq!(fs::metadata(&to).unwrap().ino(), inode);
    }
}
