//! Writes what must survive a crash: whole or not at all, and on the disk before it is relied on.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::trusted::{self, TrustError};

/// What the name of an unfinished file ends with.
const UNFINISHED: &str = ".new";

/// Why something is not safely on the disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The system refused.
    #[error("{path} cannot be written")]
    Unwritable {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// What is there already is not relied on.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
}

impl WriteError {
    /// The system refused to write this file.
    pub(crate) fn unwritable(path: &Path, cause: io::Error) -> Self {
        Self::Unwritable { path: path.display().to_string(), cause }
    }
}

/// Puts a file with these bytes and permissions in place of whatever file or link is there.
///
/// After a crash at any point there is the old one or the new one (`rename(2)`).
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    put(path, bytes, mode, true)
}

/// The same without waiting for the disk: the file outlives this process, and not a power cut.
pub(crate) fn replace_until_reboot(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    put(path, bytes, mode, false)
}

fn put(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), WriteError> {
    let written = || {
        let mut prefix = OsStr::new(".").to_owned();
        prefix.push(path.file_name().unwrap_or(OsStr::new("file")));
        let mut file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(UNFINISHED)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder_of(path))?;
        file.write_all(bytes)?;
        // The umask has no say in this.
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        if sync {
            file.as_file().sync_all()?;
        }
        file.persist(path).map_err(|failure| failure.error)?;
        if sync { sync_folder_of(path) } else { Ok(()) }
    };
    written().map_err(|cause| WriteError::unwritable(path, cause))
}

/// Takes a file or link away for good. If there is none, that is as well.
pub(crate) fn remove(path: &Path) -> Result<(), WriteError> {
    let removed = match fs::remove_file(path) {
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.and_then(|()| sync_folder_of(path)),
    };
    removed.map_err(|cause| WriteError::unwritable(path, cause))
}

/// Opens a file to read it and to write at its end; makes it if it is missing.
pub(crate) fn open_append(path: &Path, mode: u32) -> Result<File, WriteError> {
    let mut how = OpenOptions::new();
    how.read(true).append(true);
    match trusted::open(path, &mut how) {
        Err(failure) if failure.is_absent() => {}
        other => return Ok(other?),
    }
    let file = trusted::open(path, how.create_new(true).mode(mode))?;
    sync_folder_of(path).map_err(|cause| WriteError::unwritable(path, cause))?;
    Ok(file)
}

/// Writes at the end of a file, in one piece, and waits until that is on the disk.
///
/// An error can leave a part of it there.
pub(crate) fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let written = loop {
        match file.write(bytes) {
            Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if written < bytes.len() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.sync_data()
}

/// Waits until names in the folder of a file are on the disk.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Takes away what was being written when a Guardian before this one was killed.
///
/// Nobody else may be writing there. Looks at no more than a thousand names, and takes away what it
/// can; a file that stays is in nobody's way.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.take(1000).flatten() {
        let name = entry.file_name();
        let name = name.as_bytes();
        if name.starts_with(b".") && name.ends_with(UNFINISHED.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
