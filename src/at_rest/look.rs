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
            lock(&way).left.extend(homes());
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
