//! Tries, as the gateway's user, what it must not be able to do.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The most of a list that is read, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deed {
    /// Reads the file, or lists the folder.
    Read,
    /// Opens the file to change it.
    Change,
    /// Makes a file in the folder.
    Make,
    /// Connects to the socket.
    Connect,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) deed: Deed,
    pub(crate) path: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(crate) attempt: Attempt,
    /// Why it was refused; none if it was not.
    pub(crate) refused: Option<String>,
}

impl Attempt {
    /// Makes the try. Nothing is changed where it is not refused: a file that is made is removed again.
    pub(crate) fn make(self) -> Outcome {
        let done = match self.deed {
            Deed::Read if self.path.is_dir() => fs::read_dir(&self.path).map(drop),
            Deed::Read => fs::File::open(&self.path).and_then(|mut file| file.read(&mut [0; 1]).map(drop)),
            Deed::Change => fs::OpenOptions::new().append(true).open(&self.path).map(drop),
            Deed::Make => make_and_remove(&self.path),
            Deed::Connect => UnixStream::connect(&self.path).map(drop),
        };
        Outcome { refused: done.err().map(|error| error.kind().to_string()), attempt: self }
    }

    /// As one would say it.
    pub(crate) fn told(&self) -> String {
        let path = self.path.display();
        match self.deed {
            Deed::Read => format!("read {path}"),
            Deed::Change => format!("change {path}"),
            Deed::Make => format!("make a file in {path}"),
            Deed::Connect => format!("talk to {path}"),
        }
    }
}

fn make_and_remove(folder: &Path) -> io::Result<()> {
    tempfile::Builder::new().prefix(".guardian-attempt.").tempfile_in(folder).map(drop)
}

/// Reads what is to be tried, tries it, and answers.
pub(crate) fn all(input: impl io::Read) -> io::Result<Vec<Outcome>> {
    let attempts: Vec<Attempt> = serde_json::from_reader(input.take(LIMIT))?;
    Ok(attempts.into_iter().map(Attempt::make).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_not_refused_is_told_and_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (deed, path) in [
            (Deed::Read, &file),
            (Deed::Read, &folder.path().to_owned()),
            (Deed::Change, &file),
            (Deed::Make, &folder.path().to_owned()),
            (Deed::Connect, &socket),
        ] {
            let outcome = Attempt { deed, path: path.clone() }.make();
            assert_eq!(outcome.refused, None, "{outcome:?}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_refused_says_why() {
        for deed in [Deed::Read, Deed::Change, Deed::Make, Deed::Connect] {
            let outcome = Attempt { deed, path: "/nonexistent/x".into() }.make();
            assert!(outcome.refused.is_some(), "{outcome:?}");
        }
    }

    #[test]
    fn a_list_is_read_and_garbage_is_an_error() {
        let list = br#"[{"deed":"read","path":"/nonexistent"}]"#;
        assert_eq!(all(&list[..]).unwrap().len(), 1);
        assert!(all(&b"garbage"[..]).is_err());
    }
}
