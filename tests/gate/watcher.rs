//! A watcher that vouches as long as it is told to: the control socket's lease stream, played.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What the watcher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Says {
    /// A fresh lease every 200 ms.
    Vouches,
    /// A fresh lease for loopback alone.
    VouchesForLoopback,
    /// That there is none.
    Nothing,
    /// Not a word: it hangs.
    Silent,
    /// Nonsense.
    Nonsense,
    /// A lease that ended long ago.
    Stale,
}

/// A watcher's control socket.
pub(crate) struct Watcher {
    says: Arc<AtomicU8>,
}

/// How long a lease lives: three rounds.
const LEASE: Duration = Duration::from_millis(600);

impl Watcher {
    pub(crate) fn at(runtime: &Path) -> Self {
        std::fs::create_dir_all(runtime).unwrap();
        let listener = UnixListener::bind(runtime.join("control.sock")).unwrap();
        let says = Arc::new(AtomicU8::new(Says::Vouches as u8));
        let saying = Arc::clone(&says);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let saying = Arc::clone(&saying);
                thread::spawn(move || serve(&stream, &saying));
            }
        });
        Self { says }
    }

    pub(crate) fn says(&self, what: Says) {
        self.says.store(what as u8, Ordering::Relaxed);
    }
}

/// Milliseconds since boot, as leases count them.
fn since_boot() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    u64::try_from(Duration::from(clock_gettime(CLOCK).unwrap()).as_millis()).unwrap()
}

fn serve(mut stream: &UnixStream, saying: &AtomicU8) {
    let mut question = String::new();
    BufReader::new(stream).read_line(&mut question).unwrap_or(0);
    if !question.contains("lease") {
        return;
    }
    for serial in 1_u64.. {
        let says = saying.load(Ordering::Relaxed);
        let lease = |reach: &str, expires: u64| {
            format!(r#"{{"v":1,"ok":{{"reach":"{reach}","serial":{serial},"expires":{expires}}}}}"#)
        };
        let ends = since_boot() + u64::try_from(LEASE.as_millis()).unwrap();
        let line = match says {
            says if says == Says::Vouches as u8 => lease("allowed", ends),
            says if says == Says::VouchesForLoopback as u8 => lease("loopback", ends),
            says if says == Says::Nothing as u8 => r#"{"v":1,"ok":null}"#.to_owned(),
            says if says == Says::Nonsense as u8 => "\u{0}nonsense".to_owned(),
            says if says == Says::Stale as u8 => lease("allowed", 1),
            _ => String::new(),
        };
        if !line.is_empty() && writeln!(stream, "{line}").is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
}
