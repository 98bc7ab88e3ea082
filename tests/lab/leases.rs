//! The leases that a watcher gives out, as its gate hears of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::host::Host;

/// A listener to the stream of leases of root's watcher.
pub(crate) struct Leases {
    stream: UnixStream,
    listening: JoinHandle<Vec<Heard>>,
    begun: Instant,
}

/// A line of the stream: a lease that lives until then, or none.
struct Heard {
    at: Instant,
    given: bool,
    until: Instant,
}

/// What came of listening.
pub(crate) struct Record {
    heard: Vec<Heard>,
    begun: Instant,
    ended: Instant,
}

impl Leases {
    pub(crate) fn listen(host: &Host) -> Self {
        let socket = host.path("/mnt/guardian-root/run/control.sock");
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"{\"v\":1,\"ask\":\"lease\"}\n").unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        let listening = thread::spawn(move || {
            let mut heard = Vec::new();
            for line in lines.lines().map_while(Result::ok) {
                let said: Value = serde_json::from_str(&line).unwrap();
                if let Some(lease) = said.get("ok") {
                    heard.push(Heard::of(lease));
                }
            }
            heard
        });
        Self { stream, listening, begun: Instant::now() }
    }

    pub(crate) fn stop(self) -> Record {
        let ended = Instant::now();
        let _ = self.stream.shutdown(Shutdown::Both);
        Record { heard: self.listening.join().unwrap(), begun: self.begun, ended }
    }
}

impl Heard {
    fn of(lease: &Value) -> Self {
        let at = Instant::now();
        let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap());
        let expires = Duration::from_millis(lease["expires"].as_u64().unwrap_or(0));
        Self { at, given: lease["serial"].is_u64(), until: at + expires.saturating_sub(now) }
    }
}

impl Record {
    /// The longest time without a lease, and the share of time with one.
    pub(crate) fn coverage(&self) -> (Duration, f64) {
        let (mut longest, mut covered) = (Duration::ZERO, Duration::ZERO);
        let mut dark_since = self.begun;
        for (place, heard) in self.heard.iter().enumerate() {
            let next = self.heard.get(place + 1).map_or(self.ended, |next| next.at).min(self.ended);
            if heard.given {
                longest = longest.max(heard.at.saturating_duration_since(dark_since));
                dark_since = heard.until.min(next);
                covered += dark_since.saturating_duration_since(heard.at);
            }
        }
        longest = longest.max(self.ended.saturating_duration_since(dark_since));
        (longest, covered.as_secs_f64() / self.ended.duration_since(self.begun).as_secs_f64())
    }

    /// The first time that there was none any more.
    pub(crate) fn cut(&self) -> Option<Duration> {
        let cut = self.heard.iter().find(|heard| !heard.given)?;
        Some(cut.at.saturating_duration_since(self.begun))
    }

    pub(crate) fn print(&self, what: &str) {
        let (longest, share) = self.coverage();
        println!(
            "measured: {what}: a lease for {:.1} % of the time, longest without {longest:?}",
            share * 100.0
        );
    }
}
