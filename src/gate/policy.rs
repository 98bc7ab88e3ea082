//! The policy's file while the gate runs: what is taken out of it ends here, too. What is put into it waits for the
//! gate's next start, for it may have to listen elsewhere.

use std::path::PathBuf;

use guardian_probes::file::Stamp;

use super::leave::Leaves;
use crate::cli::chain;
use crate::config::Config;
use crate::sys::clock::Now;

/// The file, and what was read of it last.
#[derive(Debug)]
pub(super) struct PolicyFile {
    path: Option<PathBuf>,
    read: Option<Stamp>,
}

impl PolicyFile {
    /// The file that a configuration was read from.
    pub(super) fn of(config: &Config) -> Self {
        // What it is by now may be another already: it is read again then.
        Self { path: config.source.clone(), read: None }
    }

    /// Ends the allowances that are not in the file any more; whether there were any. While it cannot be read, what
    /// it said last holds, as it does for the watcher.
    pub(super) fn sweep(&mut self, leaves: &Leaves, now: Now) -> bool {
        let Some(path) = &self.path else { return false };
        let stamp = Stamp::at(path);
        if stamp.is_none() || self.read == stamp {
            return false;
        }
        self.read = stamp;
        match Config::load(Some(path)) {
            Ok(config) => leaves.keep(&config.networks(now.wall)),
            Err(failed) => {
                tracing::warn!("what was allowed goes on: {}", chain(&failed));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    const KIOSK: &str =
        "[[allowance]]\nnetwork = \"192.168.1.0/24\"\nreason = \"kiosk\"\nuntil = 2999-12-31T00:00:00Z\n";

    #[test]
    fn an_allowance_that_is_taken_out_of_the_file_ends_while_the_gate_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guardian.toml");
        std::fs::write(&path, KIOSK).unwrap();
        let config = Config::load(Some(&path)).unwrap();
        let leaves = Leaves::new(config.networks(clock::now().wall), clock::now());
        let mut file = PolicyFile::of(&config);
        let covers = || leaves.cover("192.168.1.9".parse().unwrap());
        assert!(!file.sweep(&leaves, clock::now()) && covers());
        std::fs::write(&path, format!("{KIOSK}half")).unwrap();
        assert!(!file.sweep(&leaves, clock::now()) && covers(), "it says nothing that is understood");
        std::fs::write(&path, "# nobody\n").unwrap();
        assert!(file.sweep(&leaves, clock::now()) && !covers());
        std::fs::write(&path, KIOSK).unwrap();
        assert!(!file.sweep(&leaves, clock::now()) && !covers(), "it is for the next start");
    }

    #[test]
    fn a_gate_without_a_policy_has_nothing_to_end() {
        let config = Config { source: None, settings: crate::config::Settings::default() };
        let leaves = Leaves::new([], clock::now());
        assert!(!PolicyFile::of(&config).sweep(&leaves, clock::now()));
    }
}
