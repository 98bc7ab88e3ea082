//! A file of lines that does not grow without end: at its bound it gets the name of the one before it, and the next
//! one is begun. launchd, which has no journal, would give standard output a file that nothing bounds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::sys::durable;

/// From this size on, in bytes, the next file is begun.
const LIMIT: u64 = 16 * 1024 * 1024;

/// The file that is written, and its size in bytes.
#[derive(Debug)]
pub(super) struct Bounded {
    path: PathBuf,
    limit: u64,
    open: Option<(File, u64)>,
    /// It has been said that it cannot be written.
    said: bool,
}

impl Bounded {
    /// Of this name; the one before it has `.1` behind it.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, limit: LIMIT, open: None, said: false }
    }

    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        if size >= self.limit {
            fs::rename(&self.path, self.before())?;
            (file, size) = self.begin()?;
        }
        file.write_all(lines)?;
        self.open = Some((file, size + lines.len() as u64));
        Ok(())
    }

    fn begin(&self) -> io::Result<(File, u64)> {
        let file = durable::open_append(&self.path, 0o600).map_err(io::Error::other)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn before(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".1");
        name.into()
    }
}

impl Write for Bounded {
    /// All of it, so that no line is torn in two by the bound.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.put(lines);
        if let Err(failed) = &written
            && !self.said
        {
            tracing::error!("requests are not written to {}: {failed}", self.path.display());
        }
        self.said = written.is_err();
        written.map(|()| lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn at(folder: &tempfile::TempDir) -> Bounded {
        Bounded { limit: 10, ..Bounded::at(folder.path().join("access.log")) }
    }

    #[test]
    fn at_its_bound_it_is_kept_once_and_the_next_one_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = at(&folder);
        let (now, before) = (out.path.clone(), out.before());
        for line in ["one 67890\n", "two 67890\n"] {
            out.write_all(line.as_bytes()).unwrap();
        }
        let read = |path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&now), read(&before)), ("two 67890\n".to_owned(), "one 67890\n".to_owned()));
        // Whoever begins anew goes on where the last one ended.
        let mut again = at(&folder);
        again.write_all(b"three\n").unwrap();
        again.write_all(b"four\n").unwrap();
        assert_eq!((read(&now), read(&before)), ("three\nfour\n".to_owned(), "two 67890\n".to_owned()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is kept");
    }

    #[test]
    fn what_cannot_be_written_now_is_tried_again_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = at(&folder);
        symlink(folder.path().join("elsewhere"), &out.path).unwrap();
        assert!(out.write(b"a\n").is_err());
        assert!(!folder.path().join("elsewhere").exists());
        fs::remove_file(&out.path).unwrap();
        out.write_all(b"b\n").unwrap();
        assert_eq!(fs::read_to_string(&out.path).unwrap(), "b\n");
    }
}
