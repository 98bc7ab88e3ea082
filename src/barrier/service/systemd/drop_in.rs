//! The drop-in: one small file of guardian's own, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::barrier::service::ServiceError;

/// Drop-ins apply in the order of their names, and a later one could take the condition back.
const STEM: &str = "zz-guardian";

/// The name of a drop-in: for whoever loads it, or for one user alone.
pub(super) fn name(user: Option<u32>) -> String {
    match user {
        None => format!("{STEM}.conf"),
        Some(uid) => format!("{STEM}-{uid}.conf"),
    }
}

/// Whom a drop-in with this name is for; none if it is not one of guardian's names.
#[expect(clippy::option_option, reason = "a name for everybody differs from no name")]
fn user(drop_in: &Path) -> Option<Option<u32>> {
    let told = drop_in.file_name()?.to_str()?;
    let number = || told.strip_prefix(STEM)?.strip_prefix('-')?.strip_suffix(".conf")?.parse().ok();
    let user = number();
    (told == name(user)).then_some(user)
}

/// What a drop-in says. `/` is always there, and a user's manager runs as that user (systemd.unit(5)),
/// so neither condition ever holds; the latter does for all other users.
fn content(drop_in: &Path) -> String {
    let condition = match user(drop_in).flatten() {
        None => "ConditionPathExists=!/".to_owned(),
        Some(uid) => format!("ConditionUser=!{uid}"),
    };
    format!(
        "# Written by guardian: the circuit is open, and this service is kept from starting.\n\
         # To take it back, type: guardian rescue\n\
         [Unit]\n\
         {condition}\n"
    )
}

/// Whoever reads it runs as another user, whatever the umask was.
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The folders on the way to a drop-in that are not there, outermost first.
fn missing_folders(drop_in: &Path) -> Vec<PathBuf> {
    on_the_way(drop_in, |folder| fs::symlink_metadata(folder).is_err())
}

/// The folders on the way to a drop-in that are there for guardian alone, outermost first: they are
/// to be made, or were made for other drop-ins of guardian, and the last one of these takes them away.
pub(super) fn folders(drop_in: &Path) -> Vec<PathBuf> {
    on_the_way(drop_in, |folder| fs::symlink_metadata(folder).is_err() || is_guardians(folder, 1))
}

fn on_the_way(drop_in: &Path, so: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        drop_in.ancestors().skip(1).take_while(|folder| so(folder)).map(Path::to_owned).collect();
    folders.reverse();
    folders
}

/// There is something in a folder, and all of it is guardian's; folders within, so deep, too.
fn is_guardians(folder: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut entries = entries.peekable();
    entries.peek().is_some()
        && entries.all(|entry| {
            entry.is_ok_and(|entry| match entry.file_type() {
                Ok(kind) if kind.is_file() => user(&entry.path()).is_some(),
                Ok(kind) if kind.is_dir() && depth > 0 => is_guardians(&entry.path(), depth - 1),
                _ => false,
            })
        })
}

/// Writes it, if it is not there as it should be.
pub(super) fn write(drop_in: &Path) -> Result<(), ServiceError> {
    let failed = |cause| file_error(drop_in, "written", cause);
    let content = content(drop_in);
    match read(drop_in) {
        Ok(text) if text == content => return Ok(()),
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
    file.write_all(content.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(drop_in).map_err(|failure| failed(failure.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// It is there, and says what it should.
pub(super) fn in_place(drop_in: &Path) -> io::Result<bool> {
    match read(drop_in) {
        Ok(text) => Ok(text == content(drop_in)),
        Err(failure) if is_absent(&failure) || is_link(&failure) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Another drop-in is guardian's too, and says what it should.
pub(super) fn holds_too(other: &Path) -> bool {
    user(other).is_some() && in_place(other).unwrap_or(false)
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
        let drop_in = folder.path().join("systemd/user/gateway.service.d").join(name(None));
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
        fs::write(&elsewhere, content(&drop_in)).unwrap();
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
    #[test]
    fn a_name_tells_whom_a_drop_in_is_for() {
        for (told, whom) in [
            ("zz-guardian.conf", Some(None)),
            ("zz-guardian-1000.conf", Some(Some(1000))),
            ("zz-guardian-01000.conf", None),
            ("zz-guardian-ana.conf", None),
            ("zz-guardian-4294967296.conf", None),
            ("zzz.conf", None),
            ("zz-guardian", None),
        ] {
            assert_eq!(user(&Path::new("/run").join(told)), whom, "{told}");
        }
        assert!(content(Path::new("/run/zz-guardian-1000.conf")).ends_with("[Unit]\nConditionUser=!1000\n"));
        assert!(content(Path::new("/run/zz-guardian.conf")).ends_with("[Unit]\nConditionPathExists=!/\n"));
    }

    #[test]
    fn several_users_of_one_name_do_not_disturb_each_other_and_the_last_leaves_nothing() {
        let (folder, first) = place();
        let [first, second] = [1000, 1001].map(|uid| first.with_file_name(name(Some(uid))));
        let made_first = folders(&first);
        write(&first).unwrap();
        let made_second = folders(&second);
        write(&second).unwrap();
        assert_eq!((made_first.len(), made_second.len()), (3, 2), "systemd/user and below");
        remove(&first, &made_first).unwrap();
        assert!(in_place(&second).unwrap() && holds_too(&second) && !first.exists());
        remove(&second, &made_second).unwrap();
        assert!(!folder.path().join("systemd/user").exists());
        fs::create_dir_all(first.parent().unwrap()).unwrap();
        assert!(folders(&first).is_empty(), "an empty folder is somebody's");
    }

    #[test]
    fn another_drop_in_holds_too_only_if_it_is_guardians_by_name_and_by_what_it_says() {
        let (_folder, ours) = place();
        write(&ours).unwrap();
        let other = ours.with_file_name("zz-guardian-1000.conf");
        assert!(!holds_too(&other), "it is not there");
        fs::write(&other, "# Written by guardian\n[Unit]\nConditionPathExists=\n").unwrap();
        assert!(!holds_too(&other));
        let renamed = ours.with_file_name("zzz.conf");
        fs::copy(&ours, &renamed).unwrap();
        assert!(!holds_too(&renamed) && holds_too(&ours));
    }
}
