//! Replaces the policy file: the old text or the new one is there, whatever happens in between.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use super::AllowError;

/// The mode of a file that was not there: the gate and other users may read the policy.
const MODE: u32 = 0o644;

/// Replaces the text `before` of a file by another one. A file that is not there is made, with its
/// folder; one that says something else by now is left alone.
pub(super) fn replace(path: &Path, before: &str, text: &str) -> Result<(), AllowError> {
    let unwritten = |cause| AllowError::Unwritten { path: path.to_owned(), cause };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(unwritten)?;
    let held = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).bits())
        .open(folder)
        .map_err(unwritten)?;
    match held.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AllowError::Changed(path.to_owned())),
        Err(TryLockError::Error(cause)) => return Err(unwritten(cause)),
    }
    let mode = match read(path).map_err(unwritten)? {
        Some((file, now)) if now == before.as_bytes() => {
            file.metadata().map_err(unwritten)?.permissions().mode() & 0o777
        }
        None if before.is_empty() => MODE,
        Some(_) | None => return Err(AllowError::Changed(path.to_owned())),
    };
    let mut file =
        tempfile::Builder::new().prefix(".guardian.toml.").tempfile_in(folder).map_err(unwritten)?;
    let write = |file: &mut File| {
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write(file.as_file_mut()).map_err(unwritten)?;
    file.persist(path).map_err(|failed| unwritten(failed.error))?;
    held.sync_all().map_err(unwritten)
}

/// A file that is not a link, and what is in it; none if it is not there.
fn read(path: &Path) -> io::Result<Option<(File, Vec<u8>)>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let mut bytes = Vec::new();
    (&file).take(crate::config::LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(Some((file, bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_made_with_its_folder_and_keeps_its_mode_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guardian/guardian.toml");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        replace(&path, "", "one\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode()), ("one\n", 0o644));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        replace(&path, "one\n", "two\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode()), ("two\n", 0o600));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_somebody_else_wrote_in_the_meantime_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guardian.toml");
        fs::write(&path, "theirs\n").unwrap();
        assert!(matches!(replace(&path, "mine\n", "new\n"), Err(AllowError::Changed(_))));
        assert!(matches!(replace(&path, "", "new\n"), Err(AllowError::Changed(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
    }

    #[test]
    fn a_link_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("guardian.toml"), folder.path().join("target"));
        fs::write(&target, "").unwrap();
        symlink(&target, &path).unwrap();
        assert!(matches!(replace(&path, "", "new\n"), Err(AllowError::Unwritten { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "");
    }
}
