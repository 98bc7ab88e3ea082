//! A line of JSON a request, on standard output or in a file. No query, no header, no secret.
//!
//! What a line says is gathered; a thread of its own makes the lines and writes them: neither that nor whoever reads
//! them slowly slows the gate down. Lines that find no room are counted, and the count is written when there is.

mod bounded;

use std::cell::RefCell;
use std::env;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use bounded::Bounded;

/// The file that they go to, instead of standard output.
pub(crate) const VARIABLE: &str = "GUARDIAN_ACCESS_LOG";
/// Requests that are handed over at once; fewer are handed over by [`AccessLog::flush`].
const BLOCK: usize = 256;
/// The same of their text, in bytes.
const TEXT: usize = 16 * 1024;
/// Blocks that may wait.
const ROOM: usize = 64;
/// The longest path that is written down, in bytes.
const LONGEST_PATH: usize = 512;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct AccessLog {
    gathered: RefCell<Block>,
    blocks: Option<SyncSender<Block>>,
    lost: Arc<AtomicU64>,
    writer: Option<thread::JoinHandle<()>>,
}

/// Requests, and what is known of them as text: of each its method and its path, one after the other.
#[derive(Debug, Default)]
struct Block {
    notes: Vec<Note>,
    text: String,
}

/// A request and its answer, before it is a line.
#[derive(Debug)]
struct Note {
    at: Timestamp,
    remote: IpAddr,
    /// The lengths of both, in bytes.
    method: usize,
    path: usize,
    status: u16,
    sent: u64,
    caller: Option<Arc<str>>,
    refused: Option<&'static str>,
    took: Duration,
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) remote: IpAddr,
    pub(crate) method: &'a str,
    /// Without the query, which may hold a token.
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    /// Bytes of the answer's body.
    pub(crate) sent: u64,
    /// Whose credential it was.
    pub(crate) caller: Option<&'a Arc<str>>,
    /// Why there is no answer of the gateway's.
    pub(crate) refused: Option<&'static str>,
    pub(crate) took: Duration,
}

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    client: IpAddr,
    method: &'a str,
    path: &'a str,
    status: u16,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
    micros: u64,
}

impl AccessLog {
    /// One that writes to standard output, or to the file that the environment names.
    pub(crate) fn usual() -> Self {
        match env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(path) => Self::to(Bounded::at(path)),
            None => Self::to(io::stdout()),
        }
    }

    /// One that writes nothing.
    pub(crate) fn none() -> Self {
        Self { gathered: RefCell::default(), blocks: None, lost: Arc::default(), writer: None }
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        let (blocks, waiting) = sync_channel(ROOM);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let writer = thread::Builder::new()
            .name("access-log".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || write(&waiting, &counted, out))
            .inspect_err(|failed| tracing::error!("requests are not written down: {failed}"))
            .ok();
        Self { gathered: RefCell::default(), blocks: Some(blocks), lost, writer }
    }

    /// Writes an entry down, or counts it where there is no room.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        if self.blocks.is_none() {
            return;
        }
        let path = bounded(entry.path);
        let note = Note {
            at: Timestamp::now(),
            remote: entry.remote,
            method: entry.method.len(),
            path: path.len(),
            status: entry.status,
            sent: entry.sent,
            caller: entry.caller.map(Arc::clone),
            refused: entry.refused,
            took: entry.took,
        };
        let mut gathered = self.gathered.borrow_mut();
        if gathered.notes.is_empty() {
            gathered.notes.reserve_exact(BLOCK);
        }
        gathered.notes.push(note);
        gathered.text.push_str(entry.method);
        gathered.text.push_str(path);
        let full = gathered.notes.len() >= BLOCK || gathered.text.len() >= TEXT;
        drop(gathered);
        if full {
            self.flush();
        }
    }

    /// Hands over what has been gathered; counts it where there is no room.
    pub(crate) fn flush(&self) {
        let block = self.gathered.take();
        let (Some(blocks), false) = (&self.blocks, block.notes.is_empty()) else { return };
        if let Err(TrySendError::Full(block) | TrySendError::Disconnected(block)) = blocks.try_send(block) {
            self.lost.fetch_add(block.notes.len() as u64, Ordering::Relaxed);
        }
    }
}

impl Block {
    /// A line each.
    fn lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        let mut text = self.text.as_str();
        let mut next = |length: usize| {
            let (next, rest) = text.split_at_checked(length).unwrap_or_default();
            text = rest;
            next
        };
        for note in &self.notes {
            let line = Line {
                at: note.at,
                client: note.remote,
                method: next(note.method),
                path: next(note.path),
                status: note.status,
                bytes: note.sent,
                caller: note.caller.as_deref(),
                refused: note.refused,
                micros: u64::try_from(note.took.as_micros()).unwrap_or(u64::MAX),
            };
            // Numbers and text can always be written into memory.
            let _ = serde_json::to_writer(&mut lines, &line);
            lines.push(b'\n');
        }
        lines
    }
}

/// Writes what still waits.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
        self.blocks = None;
        if let Some(writer) = self.writer.take() {
            // It cannot panic; and if it did, nothing is left to be written.
            let _ = writer.join();
        }
    }
}

fn bounded(path: &str) -> &str {
    let mut end = path.len().min(LONGEST_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    path.get(..end).unwrap_or_default()
}

fn write(waiting: &Receiver<Block>, lost: &AtomicU64, mut out: impl Write) {
    while let Ok(block) = waiting.recv() {
        // Nobody is left to read them when this fails.
        let _ = out.write_all(&block.lines());
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "{{\"at\":\"{}\",\"lost\":{lost}}}", Timestamp::now());
        }
        let _ = out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn entry<'a>(caller: &'a Arc<str>, path: &'a str) -> Entry<'a> {
        Entry {
            remote: "127.0.0.1".parse().unwrap(),
            method: "GET",
            path,
            status: 200,
            sent: 5,
            caller: Some(caller),
            refused: None,
            took: Duration::from_micros(120),
        }
    }

    #[test]
    fn every_request_is_a_line_of_json() {
        let out = Shared::default();
        let log = AccessLog::to(out.clone());
        let backup = "backup".into();
        log.write(&entry(&backup, "/a\"\n"));
        log.write(&entry(&backup, &"é".repeat(400)));
        log.write(&Entry { method: "", refused: Some("malformed"), caller: None, ..entry(&backup, "") });
        drop(log);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["path"], "/a\"\n");
        assert_eq!((&lines[1]["method"], &lines[1]["caller"]), (&"GET".into(), &"backup".into()));
        assert_eq!((&lines[2]["method"], &lines[2]["path"]), (&"".into(), &"".into()));
        assert_eq!((&lines[2]["refused"], lines[2].get("caller")), (&"malformed".into(), None));
        assert_eq!(lines[0]["micros"], 120);
        assert!(lines[1]["path"].as_str().unwrap().len() <= LONGEST_PATH);
    }

    #[test]
    fn a_reader_who_does_not_read_slows_nobody_down_and_what_is_lost_is_counted() {
        struct Stuck(std::sync::mpsc::Receiver<()>, Shared);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                self.1.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (go, wait) = std::sync::mpsc::channel();
        let out = Shared::default();
        let log = AccessLog::to(Stuck(wait, out.clone()));
        let backup = "backup".into();
        for _ in 0..3 * ROOM {
            log.write(&entry(&backup, "/"));
            log.flush();
        }
        drop(go);
        log.write(&entry(&backup, "/"));
        drop(log);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("\"lost\":"), "the loss is told");
    }
}
