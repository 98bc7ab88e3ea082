//! Somebody outside who connects as fast as he can.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::host::Host;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knocks {
    pub(crate) tried: u32,
    pub(crate) through: u32,
}

/// Ends the knocking, also when what goes on meanwhile fails.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has so many hands knock at a door for as long as something else goes on. Who is met with silence
/// waits a while, so one hand alone may miss a short opening.
pub(crate) fn knocked<T>(
    from: &Host,
    door: SocketAddr,
    hands: u32,
    meanwhile: impl FnOnce() -> T,
) -> (T, Knocks) {
    let (enough, tried, through) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let result = thread::scope(|scope| {
        for _ in 0..hands {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    tried.fetch_add(1, Ordering::Relaxed);
                    through.fetch_add(u32::from(from.reaches(door)), Ordering::Relaxed);
                    sleep(Duration::from_millis(1));
                }
            });
        }
        let _enough = Enough(&enough);
        meanwhile()
    });
    (result, Knocks { tried: tried.into_inner(), through: through.into_inner() })
}
