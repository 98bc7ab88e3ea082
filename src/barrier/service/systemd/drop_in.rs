//! The drop-in: one small file of guardian's own, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::barrier::service::ServiceError;

/// Drop-ins apply in the order of their names, and a later one could take the condition back.
pub(super) const NAME: &str = "zz-guardian.conf";

/// `/` is always there, so the condition never holds.
const CONTENT: &str = "\
# Written by guardian: the circuit is open, and this service is kept from starting.
# To take it back, type: guardian rescue
[Unit]
ConditionPathExists=!/
";

/// Whoever reads it runs as another user, whatever the umask was.
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The folders on the way to a drop-in that are not there, outermost first.
pub(super) fn missing_folders(drop_in: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = drop_in
        .ancestors()
        .skip(1)
        .take_while(|folder| fs::symlink_metadata(folder).is_err())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Writes it, if it is not there as it should be.
pub(super) fn write(drop_in: &Path) -> Result<(), ServiceError> {
    let failed = |cause| file_error(drop_in, "written", cause);
    match read(drop_in) {
        Ok(text) if text == CONTENT => return Ok(()),
        Ok(text) if !is_ours(&text) => return Err(ServiceError::Foreign(drop_in.display().to_string())),
        _ => {}
    }
    let folder = drop_in.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    for missing in missing_folders(drop_in) {
        DirBuilder::new().mode(FOLDER_MODE).create(&missing).map_err(failed)?;
        fs::set_permissions(&missing, Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
    }
    if !fs::symlink_metadata(folder).map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let mut file = tempfile::Builder::new().prefix(".guardian").tempfile_in(folder).map_err(failed)?;
    file.write_all(CONTENT.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(drop_in).map_err(|failure| failed(failure.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// It is there, and says what it should.
pub(super) fn in_place(drop_in: &Path) -> io::Result<bool> {
    match read(drop_in) {
        Ok(text) => Ok(text == CONTENT),
        Err(failure) if is_absent(&failure) || is_link(&failure) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Takes it away, and the folders that were made for it where nothing else is in them. Another
/// file in its place is left alone.
pub(super) fn remove(drop_in: &Path, made: &[PathBuf]) -> Result<(), ServiceError> {
    match read(drop_in) {
        Ok(text) if is_ours(&text) => match fs::remove_file(drop_in) {
            Err(cause) if !is_absent(&cause) => return Err(file_error(drop_in, "removed", cause)),
            _ => {}
        },
        Ok(_) => return Err(ServiceError::Foreign(drop_in.display().to_string())),
        Err(failure) if is_link(&failure) => {
            return Err(ServiceError::Foreign(drop_in.display().to_string()));
        }
        Err(failure) if is_absent(&failure) => {}
        Err(cause) => return Err(file_error(drop_in, "read", cause)),
    }
    for folder in made.iter().rev().filter(|folder| drop_in.starts_with(folder)) {
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(failure) if is_absent(&failure) => {}
            // Somebody else has put something there since.
            Err(failure) if failure.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(cause) => return Err(file_error(folder, "removed", cause)),
        }
    }
    Ok(())
}

/// What guardian wrote, in this version or another.
fn is_ours(text: &str) -> bool {
    text.starts_with("# Written by guardian")
}

/// A plain file of at most a few kilobytes; links are not followed.
fn read(path: &Path) -> io::Result<String> {
    const LIMIT: u64 = 4096;
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(LIMIT).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_absent(failure: &io::Error) -> bool {
    matches!(failure.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What `O_NOFOLLOW` says of a link.
fn is_link(failure: &io::Error) -> bool {
    failure.raw_os_error() == Some(nix::Error::ELOOP as i32)
}

fn file_error(path: &Path, what: &'static str, cause: io::Error) -> ServiceError {
    ServiceError::File { path: path.display().to_string(), what, cause }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let drop_in = folder.path().join("systemd/user/gateway.service.d").join(NAME);
        (folder, drop_in)
    }

    #[test]
    fn what_was_written_is_taken_away_with_the_folders_made_for_it() {
        let (folder, drop_in) = place();
        let made = missing_folders(&drop_in);
        assert_eq!(made.len(), 3);
        write(&drop_in).unwrap();
        write(&drop_in).unwrap();
        assert!(in_place(&drop_in).unwrap());
        assert_eq!(fs::read_dir(drop_in.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
        remove(&drop_in, &made).unwrap();
        remove(&drop_in, &made).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_that_were_there_or_are_used_by_others_stay() {
        let (folder, drop_in) = place();
        fs::create_dir_all(folder.path().join("systemd")).unwrap();
        let made = missing_folders(&drop_in);
        write(&drop_in).unwrap();
        fs::write(drop_in.with_file_name("override.conf"), "").unwrap();
        remove(&drop_in, &made).unwrap();
        assert!(drop_in.with_file_name("override.conf").exists() && !drop_in.exists());
        fs::remove_file(drop_in.with_file_name("override.conf")).unwrap();
        remove(&drop_in, &made).unwrap();
        assert!(folder.path().join("systemd").exists() && !folder.path().join("systemd/user").exists());
    }

    #[test]
    fn others_can_read_it_but_not_write_it() {
        let (_folder, drop_in) = place();
        write(&drop_in).unwrap();
        assert_eq!(fs::metadata(&drop_in).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(drop_in.parent().unwrap()).unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_file_that_is_not_ours_or_a_link_is_left_alone_and_does_not_count() {
        let (folder, drop_in) = place();
        write(&drop_in).unwrap();
        fs::write(&drop_in, "[Unit]\n").unwrap();
        assert!(!in_place(&drop_in).unwrap());
        assert!(matches!(write(&drop_in), Err(ServiceError::Foreign(_))));
        assert!(matches!(remove(&drop_in, &[]), Err(ServiceError::Foreign(_))));
        fs::remove_file(&drop_in).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, CONTENT).unwrap();
        symlink(&elsewhere, &drop_in).unwrap();
        assert!(!in_place(&drop_in).unwrap());
        assert!(remove(&drop_in, &[]).is_err());
        assert!(elsewhere.exists());
    }

    #[test]
    fn one_that_was_changed_is_written_again() {
        let (_folder, drop_in) = place();
        write(&drop_in).unwrap();
        fs::write(&drop_in, "# Written by guardian\n").unwrap();
        assert!(!in_place(&drop_in).unwrap());
        write(&drop_in).unwrap();
        assert!(in_place(&drop_in).unwrap());
    }
}
