//! The configurations that gateways would start with, read for a review.
//!
//! They lie where others may have put something that never answers: they are read apart, by one
//! reader at a time, and nobody waits for it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use guardian_probes::gateway::configuration;
use guardian_probes::gateway::devices;
use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{ConfigState, Device};
use tokio::sync::mpsc;

use crate::sys::clock::Moment;

/// One configuration.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) path: PathBuf,
    pub(super) state: ConfigState,
    /// Who is paired with its gateway; none if the file lies nowhere.
    pub(super) devices: Option<Result<Vec<Device>, Blindness>>,
}

/// What the reader has brought back last.
#[derive(Debug)]
struct Read {
    began: Moment,
    configurations: Vec<Configuration>,
}

/// The reader of configurations.
#[derive(Debug)]
pub(super) struct Reader {
    tell: mpsc::Sender<Read>,
    heard: mpsc::Receiver<Read>,
    busy: bool,
    latest: Option<Read>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let (tell, heard) = mpsc::channel(1);
        Self { tell, heard, busy: false, latest: None }
    }

    /// Begins to read, unless it is at it.
    pub(super) fn read(&mut self, paths: BTreeSet<PathBuf>, now: Moment) {
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        let tell = self.tell.clone();
        tokio::task::spawn_blocking(move || {
            let read = |path: PathBuf| Configuration {
                state: configuration(&path),
                devices: path.parent().map(devices::paired),
                path,
            };
            let configurations = paths.into_iter().map(read).collect();
            // Nobody may be there any more.
            let _ = tell.blocking_send(Read { began: now, configurations });
        });
    }

    /// Takes in what has come.
    pub(super) fn hear(&mut self) {
        while let Ok(read) = self.heard.try_recv() {
            self.busy = false;
            self.latest = Some(read);
        }
    }

    /// What was read last, if that began at this moment or later.
    pub(super) fn since(&self, moment: Moment) -> Option<&[Configuration]> {
        let latest = self.latest.as_ref().filter(|read| read.began >= moment)?;
        Some(&latest.configurations)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    async fn heard(reader: &mut Reader) {
        while reader.busy {
            tokio::time::sleep(Duration::from_millis(1)).await;
            reader.hear();
        }
    }

    #[tokio::test]
    async fn what_was_read_before_it_was_asked_for_does_not_count() {
        let mut reader = Reader::new();
        assert!(reader.since(at(0)).is_none());
        reader.read(BTreeSet::from(["/nowhere/openclaw.json".into()]), at(1));
        heard(&mut reader).await;
        assert_eq!(reader.since(at(1)).map(<[_]>::len), Some(1));
        assert!(reader.since(at(2)).is_none());
    }

    #[tokio::test]
    async fn one_reader_at_a_time() {
        let mut reader = Reader::new();
        reader.read(BTreeSet::new(), at(1));
        reader.read(BTreeSet::from(["/nowhere/openclaw.json".into()]), at(2));
        heard(&mut reader).await;
        assert_eq!(reader.since(at(1)).map(<[_]>::len), Some(0));
        assert!(reader.since(at(2)).is_none(), "it was at it");
    }
}
