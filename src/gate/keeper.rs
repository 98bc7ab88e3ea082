//! Whether somebody has the owner's passphrase. The gate asks so, and so does the watcher, which
//! does not take the gate's word.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{Duration, timeout};

use super::passphrase::{self, PassphraseError};
use crate::sys::trusted::{self, TrustError};

/// The longest file with a passphrase's hash, in bytes.
const LIMIT: u64 = 1024;

/// Why it is not, or cannot be told to be, the passphrase.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// It is another.
    #[error("that is not the passphrase")]
    Wrong,
    /// There is none.
    #[error("no passphrase is set; on the gateway's machine, type: guardian gate passphrase")]
    NotSet,
    /// Another one is being checked.
    #[error("another passphrase is being checked; try again")]
    Busy,
    /// It cannot be read.
    #[error("the passphrase cannot be read")]
    Unreadable(#[from] TrustError),
    /// What is kept makes no sense.
    #[error("the passphrase cannot be checked")]
    Garbled(#[from] PassphraseError),
}

/// Knows where the hash is, and checks one passphrase at a time: each takes 64 MiB.
#[derive(Debug)]
pub(crate) struct Keeper {
    file: PathBuf,
    turn: Arc<Semaphore>,
    /// Those who wait for it.
    waiting: Semaphore,
}

/// Who may wait for a turn, and for how long: nobody keeps the owner from it by asking all the time.
const WAITING: usize = 8;
const WAIT: Duration = Duration::from_secs(5);

impl Keeper {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, turn: Arc::new(Semaphore::new(1)), waiting: Semaphore::new(WAITING) }
    }

    /// Whether this is the passphrase.
    pub(crate) async fn check(&self, given: String) -> Result<(), Denied> {
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(Denied::Busy) };
        let Ok(Ok(turn)) = timeout(WAIT, Arc::clone(&self.turn).acquire_owned()).await else {
            return Err(Denied::Busy);
        };
        let file = self.file.clone();
        let check = move || {
            // It lasts as long as the work, whether or not somebody still waits for the outcome.
            let _turn = turn;
            let hash = match trusted::read_bounded(&file, LIMIT) {
                Err(absent) if absent.is_absent() => return Err(Denied::NotSet),
                other => other?,
            };
            let right = passphrase::verify(&given, &String::from_utf8_lossy(&hash))?;
            if right { Ok(()) } else { Err(Denied::Wrong) }
        };
        // It computes for a tenth of a second: elsewhere. It does not panic.
        tokio::task::spawn_blocking(check).await.unwrap_or(Err(Denied::Busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_passphrase_is_told_from_another_and_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        let keeper = Keeper::new(file.clone());
        let check = |given: &str| keeper.check(given.to_owned());
        assert!(matches!(check("x").await, Err(Denied::NotSet)));
        std::fs::write(&file, passphrase::hash("correct horse battery").unwrap()).unwrap();
        assert!(check("correct horse battery").await.is_ok());
        assert!(matches!(check("wrong horse battery").await, Err(Denied::Wrong)));
        let (one, other) = tokio::join!(check("correct horse battery"), check("wrong horse battery"));
        assert!(one.is_ok() && matches!(other, Err(Denied::Wrong)), "one after the other");
        // Whoever hangs up does not free the turn before the work is done.
        let hung_up = timeout(Duration::from_millis(1), check("correct horse battery")).await;
        assert!(hung_up.is_err() && keeper.turn.available_permits() == 0);
        drop(keeper.turn.acquire().await.unwrap());
        std::fs::write(&file, "garbage").unwrap();
        assert!(matches!(check("x").await, Err(Denied::Garbled(_))));
    }
}
