//! Whether somebody has the owner's passphrase, and the code that goes with it where one is asked for.
//! The gate asks so, and so does the watcher, which does not take the gate's word.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Duration, timeout};

use super::passphrase::{self, PassphraseError};
use super::spent::Spent;
use super::totp::{Kept, Step, TotpError};
use crate::sys::clock::{self, Now};
use crate::sys::paths::Paths;
use crate::sys::trusted::{self, TrustError};

/// The longest file with a passphrase's hash, in bytes.
const LIMIT: u64 = 1024;

/// Why it is not, or cannot be told to be, the passphrase.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// It is another.
    #[error("that is not the passphrase")]
    Wrong,
    /// One of the two is wrong, and nobody is told which.
    #[error(
        "the passphrase or the code is wrong; a code is good once, and after several wrong ones you have to wait"
    )]
    WrongPair,
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
    /// Nor does what is kept of the codes.
    #[error("the code cannot be checked")]
    Codes(#[from] TotpError),
}

/// What somebody gives to show that they are the owner. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) passphrase: String,
    pub(crate) code: Option<String>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given(..)")
    }
}

/// Knows where the hash is, and checks one passphrase at a time: each takes 64 MiB.
#[derive(Debug)]
pub(crate) struct Keeper {
    passphrase: PathBuf,
    totp: PathBuf,
    spent: Arc<Mutex<Spent>>,
    turn: Arc<Semaphore>,
    /// Those who wait for it.
    waiting: Semaphore,
}

/// Who may wait for a turn, and for how long: nobody keeps the owner from it by asking all the time.
const WAITING: usize = 8;
const WAIT: Duration = Duration::from_secs(5);

impl Keeper {
    pub(crate) fn new(paths: &Paths) -> Self {
        Self::of(paths.gate_passphrase(), paths.gate_totp(), Timestamp::now())
    }

    fn of(passphrase: PathBuf, totp: PathBuf, now: Timestamp) -> Self {
        Self {
            passphrase,
            totp,
            spent: Arc::new(Mutex::new(Spent::new(Step::at(now)))),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// Whether this is the passphrase, with its code where codes are on. The code is used up by that.
    pub(crate) async fn check(&self, given: Given) -> Result<(), Denied> {
        self.check_at(given, clock::now).await
    }

    async fn check_at(&self, given: Given, now: fn() -> Now) -> Result<(), Denied> {
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(Denied::Busy) };
        let Ok(Ok(turn)) = timeout(WAIT, Arc::clone(&self.turn).acquire_owned()).await else {
            return Err(Denied::Busy);
        };
        let (passphrase, totp, spent) = (self.passphrase.clone(), self.totp.clone(), Arc::clone(&self.spent));
        let check = move || {
            // It lasts as long as the work, whether or not somebody still waits for the outcome.
            let _turn = turn;
            judge(&given, &passphrase, &totp, &spent, now)
        };
        // It computes for a tenth of a second: elsewhere. It does not panic.
        tokio::task::spawn_blocking(check).await.unwrap_or(Err(Denied::Busy))
    }
}

/// The passphrase takes as long whether or not the code is right, and the code is looked at last:
/// whoever does not have the passphrase uses none up.
fn judge(
    given: &Given,
    passphrase: &Path,
    totp: &Path,
    spent: &Mutex<Spent>,
    now: fn() -> Now,
) -> Result<(), Denied> {
    let hash = match trusted::read_bounded(passphrase, LIMIT) {
        Err(absent) if absent.is_absent() => return Err(Denied::NotSet),
        other => other?,
    };
    let kept = Kept::read(totp)?;
    let right = passphrase::verify(&given.passphrase, &String::from_utf8_lossy(&hash))?;
    match kept {
        None if right => Ok(()),
        None => Err(Denied::Wrong),
        Some(_) if !right => Err(Denied::WrongPair),
        Some(kept) => {
            let (code, now) = (given.code.as_deref().unwrap_or_default(), now());
            let mut spent = spent.lock().unwrap_or_else(PoisonError::into_inner);
            if spent.take(&kept, code, Step::at(now.wall), now.moment) {
                Ok(())
            } else {
                tracing::warn!(
                    "the right passphrase came without its code; if that was not you, set another one: \
                     guardian gate passphrase"
                );
                Err(Denied::WrongPair)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::Moment;

    const RIGHT: &str = "correct horse battery";
    const WRONG: &str = "wrong horse battery";
    /// The code of RFC 6238, appendix B, at the time of [`then`].
    const CODE: &str = "005924";
    const SECRET: &str = r#"{"v":1,"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","confirmed":0}"#;

    fn given(passphrase: &str, code: Option<&str>) -> Given {
        Given { passphrase: passphrase.to_owned(), code: code.map(str::to_owned) }
    }

    fn then() -> Now {
        Now {
            moment: Moment::after_boot(Duration::from_secs(9)),
            wall: Timestamp::from_second(1_234_567_890).unwrap(),
        }
    }

    fn keeper(folder: &tempfile::TempDir) -> Keeper {
        let place = |name| folder.path().join(name);
        Keeper::of(place("passphrase"), place("totp.json"), Timestamp::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn the_passphrase_is_told_from_another_and_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        let keeper = keeper(&folder);
        let check = |it: &str| keeper.check(given(it, None));
        assert!(matches!(check("x").await, Err(Denied::NotSet)));
        std::fs::write(&file, passphrase::hash(RIGHT).unwrap()).unwrap();
        assert!(check(RIGHT).await.is_ok());
        assert!(matches!(check(WRONG).await, Err(Denied::Wrong)));
        let (one, other) = tokio::join!(check(RIGHT), check(WRONG));
        assert!(one.is_ok() && matches!(other, Err(Denied::Wrong)), "one after the other");
        // Whoever hangs up does not free the turn before the work is done.
        let hung_up = timeout(Duration::from_millis(1), check(RIGHT)).await;
        assert!(hung_up.is_err() && keeper.turn.available_permits() == 0);
        drop(keeper.turn.acquire().await.unwrap());
        std::fs::write(&file, "garbage").unwrap();
        assert!(matches!(check("x").await, Err(Denied::Garbled(_))));
    }

    #[tokio::test]
    async fn where_codes_are_on_it_takes_both_and_nobody_is_told_which_was_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(&folder);
        std::fs::write(folder.path().join("passphrase"), passphrase::hash(RIGHT).unwrap()).unwrap();
        std::fs::write(folder.path().join("totp.json"), SECRET).unwrap();
        let check = |it: &str, code| keeper.check_at(given(it, code), then);
        for (passphrase, code) in [(RIGHT, None), (RIGHT, Some("000000")), (WRONG, Some(CODE)), (WRONG, None)]
        {
            let denied = check(passphrase, code).await.unwrap_err();
            assert!(matches!(denied, Denied::WrongPair), "{passphrase} {code:?}");
        }
        // A wrong passphrase has not used the code up; a right one does, for whoever asks at the same time too.
        let (one, other) = tokio::join!(check(RIGHT, Some(CODE)), check(RIGHT, Some(CODE)));
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        assert!(matches!(check(RIGHT, Some(CODE)).await, Err(Denied::WrongPair)));
        std::fs::write(folder.path().join("totp.json"), "garbage").unwrap();
        assert!(matches!(check(RIGHT, Some(CODE)).await, Err(Denied::Codes(_))), "never without it");
        std::fs::remove_file(folder.path().join("totp.json")).unwrap();
        assert!(check(RIGHT, None).await.is_ok());
    }
}
