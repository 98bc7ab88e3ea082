//! The one thing that a connection's two ends tell each other: whether an answer is under way. The
//! wire sees requests come, the service sees answers end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// In place of a time, while an answer is under way.
const UNDER_WAY: u64 = u64::MAX;

/// Whether an answer is under way, and when the last one was over.
#[derive(Debug)]
pub(crate) struct Answering {
    since: Instant,
    /// Milliseconds from `since` to the end of the last answer; [`UNDER_WAY`] while there is one.
    ended: AtomicU64,
    /// All of the last answer was written to the client.
    written: AtomicBool,
    /// Who waits until it is.
    waiting: Mutex<Option<Waker>>,
}

impl Answering {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            ended: AtomicU64::new(0),
            written: AtomicBool::new(true),
            waiting: Mutex::new(None),
        }
    }

    /// A request was handed on.
    pub(super) fn begin(&self) {
        self.ended.store(UNDER_WAY, Ordering::Relaxed);
    }

    /// The answer has been given, or nobody takes it any more.
    pub(crate) fn end(&self, now: Instant) {
        self.written.store(false, Ordering::Relaxed);
        self.rests(now);
    }

    /// Nothing is under way, from now on.
    pub(super) fn rests(&self, now: Instant) {
        let ended = u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(UNDER_WAY - 1);
        self.ended.store(ended, Ordering::Relaxed);
    }

    /// The library has nothing left to write.
    pub(super) fn flushed(&self) {
        if self.ended.load(Ordering::Relaxed) == UNDER_WAY || self.written.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waiting.wake();
        }
    }

    /// Whether one is under way, or not written to the client to its end; `cx` is woken then.
    pub(super) fn poll_under_way(&self, cx: &Context<'_>) -> bool {
        let ended = self.ended.load(Ordering::Relaxed) != UNDER_WAY;
        let under_way = !(ended && self.written.load(Ordering::Relaxed));
        if under_way {
            *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        }
        under_way
    }

    /// When the last answer was over; now, while one is under way.
    pub(super) fn idle_since(&self) -> Instant {
        match self.ended.load(Ordering::Relaxed) {
            UNDER_WAY => Instant::now(),
            ended => self.since + Duration::from_millis(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Until then the connection is cut with what lets the answer through, and nobody else writes to it.
    #[test]
    fn an_answer_is_under_way_until_nothing_is_left_to_write_after_its_end() {
        let answering = Answering::new();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        assert!(!answering.poll_under_way(&cx), "there was none yet");
        answering.begin();
        answering.flushed();
        assert!(answering.poll_under_way(&cx));
        answering.end(Instant::now());
        assert!(answering.poll_under_way(&cx), "its end is still to be written");
        assert!(!woken.0.load(Ordering::Relaxed));
        answering.flushed();
        assert!(!answering.poll_under_way(&cx) && woken.0.load(Ordering::Relaxed));
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
