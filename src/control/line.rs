//! Lines of bounded length from a stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// As much is read at once, in bytes.
const CHUNK: usize = 4096;

/// Reads lines. To drop a read that is under way loses nothing.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    /// What was read and belongs to lines to come.
    ahead: Vec<u8>,
    /// As much of it is known to hold no end of a line.
    searched: usize,
    longest: usize,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// No end in sight.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    /// The stream ended within a line.
    #[error("the last line has no end")]
    Half,
    /// The stream failed.
    #[error("the connection failed")]
    Failed(#[from] io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most so many bytes, the end of the line not counted.
    pub(super) fn new(from: R, longest: usize) -> Self {
        Self { from, ahead: Vec::new(), searched: 0, longest }
    }

    /// The next line without its end; none at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            let rest = self.ahead.get(self.searched..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.ahead.drain(..=self.searched + length).collect();
                line.pop();
                self.searched = 0;
                return if line.len() > self.longest { Err(self.too_long()) } else { Ok(Some(line)) };
            }
            self.searched = self.ahead.len();
            if self.searched > self.longest {
                return Err(self.too_long());
            }
            let mut chunk = (&mut self.from).take(CHUNK as u64);
            if chunk.read_buf(&mut self.ahead).await? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(LineError::Half) };
            }
        }
    }

    /// Returns when the other side hangs up or says anything more.
    pub(super) async fn ended(&mut self) {
        if self.ahead.is_empty() {
            // Whatever comes of it, it is the end.
            let _ = self.from.read(&mut [0]).await;
        }
    }

    fn too_long(&self) -> LineError {
        LineError::TooLong(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(bytes: &[u8], longest: usize) -> (Vec<Vec<u8>>, Option<LineError>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut lines = Lines::new(bytes, longest);
            let mut read = Vec::new();
            loop {
                match lines.next().await {
                    Ok(Some(line)) => read.push(line),
                    Ok(None) => return (read, None),
                    Err(error) => return (read, Some(error)),
                }
            }
        })
    }

    #[test]
    fn lines_come_one_by_one_and_half_a_line_is_none() {
        let (lines, error) = lines_of(b"one\n\ntwo\nthr", 10);
        assert_eq!(lines, [&b"one"[..], b"", b"two"]);
        assert!(matches!(error, Some(LineError::Half)));
    }

    #[test]
    fn a_line_may_be_as_long_as_it_may_be_and_not_a_byte_longer() {
        let line = |length| [vec![b'x'; length], vec![b'\n']].concat();
        assert_eq!(lines_of(&line(5000), 5000).0.len(), 1);
        assert!(matches!(lines_of(&line(5001), 5000).1, Some(LineError::TooLong(5000))));
        assert!(matches!(lines_of(&vec![b'x'; 1_000_000], 5000).1, Some(LineError::TooLong(5000))));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_sent(sent in proptest::collection::vec("[^\n]{0,40}", 0..20)) {
            let bytes: Vec<u8> = sent.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
            let (lines, error) = lines_of(&bytes, 400);
            prop_assert!(error.is_none());
            prop_assert_eq!(lines, sent.into_iter().map(String::into_bytes).collect::<Vec<_>>());
        }
    }
}
