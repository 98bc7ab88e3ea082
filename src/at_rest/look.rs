//! A look into the homes of a machine, which may lie where nobody answers.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use guardian_probes::gateway::at_rest::AtRest;

/// What was found in a home.
pub(crate) type Home = (PathBuf, Vec<AtRest>);

/// A look into homes, one after the other, in a thread that is left behind if it hangs.
#[derive(Debug)]
pub(crate) struct Look {
    /// A home each; after the last one the channel ends.
    pub(crate) told: Receiver<Home>,
    way: Arc<Mutex<Way>>,
}

/// Where a look is, and where it will be.
#[derive(Debug, Default)]
struct Way {
    at: Option<PathBuf>,
    left: VecDeque<PathBuf>,
}

impl Look {
    /// Begins. An error: there is no thread for it.
    pub(crate) fn begin(
        homes: impl FnOnce() -> BTreeSet<PathBuf> + Send + 'static,
        within: impl Fn(&Path) -> Vec<AtRest> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, told) = mpsc::channel();
        let way = Arc::new(Mutex::new(Way::default()));
        let look = Self { told, way: Arc::clone(&way) };
        std::thread::Builder::new().name("homes".to_owned()).spawn(move || {
            // To list them may take for ever, and whoever asks where it is does not wait for that.
            let homes = homes();
            lock(&way).left.extend(homes);
            while let Some(home) = next(&way) {
                let found = within(&home);
                if tell.send((home, found)).is_err() {
                    break;
                }
            }
        })?;
        Ok(look)
    }

    /// The home that it is in.
    pub(crate) fn at(&self) -> Option<PathBuf> {
        lock(&self.way).at.clone()
    }

    /// If it is still in this home, it goes into no other.
    pub(crate) fn ends_with(&self, home: &Path) -> bool {
        let mut way = lock(&self.way);
        let is_there = way.at.as_deref() == Some(home);
        if is_there {
            way.left.clear();
        }
        is_there
    }
}

fn next(way: &Mutex<Way>) -> Option<PathBuf> {
    let mut way = lock(way);
    way.at = way.left.pop_front();
    way.at.clone()
}

/// Nothing that holds it can panic.
fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_asks_where_a_look_is_waits_for_no_list_of_homes() {
        let ((entered, enters), (go, going)) = (mpsc::channel::<()>(), mpsc::channel::<()>());
        let homes = move || {
            entered.send(()).unwrap();
            let _ = going.recv();
            BTreeSet::new()
        };
        let look = Look::begin(homes, |_| Vec::new()).unwrap();
        enters.recv().unwrap();
        let (answer, answered) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = answer.send((look.at(), look.ends_with(Path::new("/a"))));
        });
        assert_eq!(answered.recv_timeout(Duration::from_secs(10)), Ok((None, false)));
        drop(go);
    }
}
