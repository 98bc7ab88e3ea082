//! Notices as they come: one line of JSON each, from the daemon's control socket or any other source.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::sync::mpsc;

use crate::notify::Stamped;

/// The longest line, in bytes. A trip with all its findings is far shorter.
const LINE: usize = 1024 * 1024;

/// The first pause before the daemon is looked for again.
const FIRST: Duration = Duration::from_millis(250);
/// The longest.
const LAST: Duration = Duration::from_secs(30);
/// A connection that held this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// Hands notices on until the source ends. A line that is no notice, or too long for one, is left out.
pub(crate) async fn hear(
    mut source: impl AsyncBufRead + Unpin,
    notices: &mpsc::Sender<Stamped>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let bytes = source.fill_buf().await?;
        let at_end = bytes.is_empty();
        let piece = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_whole = piece.len() < bytes.len();
        too_long |= line.len() + piece.len() > LINE;
        if !too_long {
            line.extend_from_slice(piece);
        }
        let used = piece.len() + usize::from(is_whole);
        source.consume(used);
        if is_whole || at_end {
            if too_long {
                tracing::warn!("a line of more than {LINE} bytes is left out");
            } else if !line.trim_ascii().is_empty() {
                match serde_json::from_slice::<Stamped>(&line) {
                    Ok(notice) => {
                        if notices.send(notice).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(odd) => tracing::warn!("a line that is no notice is left out: {odd}"),
                }
            }
            line.clear();
            too_long = false;
        }
        if at_end {
            return Ok(());
        }
    }
}

/// The pauses between attempts to reach the daemon: ever longer, and short again after a connection
/// that held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pauses {
    /// The pause after a connection that held this long; zero if there was none.
    pub(crate) fn after(&mut self, held: Duration) -> Duration {
        let pause = if held >= GOOD { FIRST } else { self.0 };
        self.0 = pause.saturating_mul(2).min(LAST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::breaker::effect::Notice;
    use crate::notify::message::tests::{stamped, trip};

    async fn heard(source: &[u8], capacity: usize) -> Vec<Stamped> {
        let (sender, mut receiver) = mpsc::channel(64);
        let source = tokio::io::BufReader::with_capacity(capacity, source);
        hear(source, &sender).await.unwrap();
        drop(sender);
        let mut heard = Vec::new();
        while let Some(notice) = receiver.recv().await {
            heard.push(notice);
        }
        heard
    }

    fn line(id: i64) -> String {
        serde_json::to_string(&stamped(Notice::Tripped(trip(id, 2)))).unwrap()
    }

    #[tokio::test]
    async fn notices_are_heard_however_the_bytes_come_and_other_lines_are_left_out() {
        let text = format!("{}\nhello\n\n{{\"at\":1}}\n{}", line(1), line(2));
        for capacity in [1, 7, 100, 1 << 16] {
            let heard = heard(text.as_bytes(), capacity).await;
            assert_eq!(heard, [1, 2].map(|id| stamped(Notice::Tripped(trip(id, 2)))));
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_left_out_and_the_next_one_heard() {
        let text = format!("{}\n{}\n", "x".repeat(3 * LINE), line(1));
        assert_eq!(heard(text.as_bytes(), 8192).await.len(), 1);
    }

    #[test]
    fn pauses_grow_to_half_a_minute_and_begin_anew_after_a_good_connection() {
        let mut pauses = Pauses::default();
        let none: Vec<u128> = (0..9).map(|_| pauses.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(none, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(pauses.after(Duration::from_secs(1)), LAST, "whoever hangs up at once is not rushed");
        assert_eq!(pauses.after(GOOD), FIRST);
        assert_eq!(pauses.after(Duration::ZERO), FIRST * 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..2000), capacity in 1usize..50) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert!(runtime.block_on(heard(&bytes, capacity)).is_empty());
        }
    }
}
