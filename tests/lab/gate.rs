//! The real `guardian gate` on a host, and clients that go through it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{guardian, guardian_command};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LOOPBACK, at};
use crate::running::Running;

/// Where it listens.
pub(crate) const DOOR: SocketAddr = at(LOOPBACK, 18700);
/// A passphrase.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
const ASKED: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// Sets the passphrase of root's Guardian.
pub(crate) fn set_passphrase(host: &Host) {
    let state = "/mnt/guardian-root/state";
    let line = format!("echo {PASSPHRASE} | /mnt/bin/guardian gate passphrase --stdin --state-dir {state}");
    host.run(User::Root, &["bash", "-c", &line]);
}

/// Has root's Guardian ask for codes, as `guardian gate totp on` does, with the secret of RFC 6238's vectors.
pub(crate) fn turn_codes_on(host: &Host) {
    let kept = r#"{"v":1,"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","confirmed":0}"#;
    let line = format!("umask 027; echo '{kept}' > /mnt/guardian-root/state/gate/totp.json");
    host.run(User::Root, &["bash", "-c", &line]);
}

/// A gate on a host, with a token that opens it.
pub(crate) struct Gate<'a> {
    host: &'a Host,
    pub(crate) process: Running,
    pub(crate) token: String,
}

impl<'a> Gate<'a> {
    /// Makes a token and starts the gate of a user's Guardian. Root's runs as the user made for it.
    pub(crate) fn start(host: &'a Host, user: User) -> Self {
        guardian(host, user, user, &["token", "revoke", "lab"]);
        let (code, token) = guardian(host, user, user, &["token", "new", "lab"]);
        assert_eq!(code, 0, "{token}");
        let mut command = guardian_command(user);
        command.arg("gate").env("GUARDIAN_LOG", "guardian=info");
        let runs_as = if user == User::Root { User::Gate } else { user };
        let mut process = host.start(runs_as, &mut command);
        process.wait_until("its socket", Duration::from_secs(20), || host.listens(DOOR.port()));
        // What is said of it to a person comes behind it.
        Self { host, process, token: token.lines().next().unwrap_or_default().to_owned() }
    }

    /// Asks from the gate's own host with the token.
    pub(crate) fn ask(&self, request: &str) -> http::Answer {
        http::ask(self.host, DOOR, request, &[&format!("Guardian-Token: {}", self.token)]).unwrap()
    }

    /// Asks until somebody vouches: on a busy machine a gateway may hang for a moment, and then
    /// nobody does.
    pub(crate) fn vouched(ask: impl Fn() -> http::Answer) -> http::Answer {
        let begun = Instant::now();
        loop {
            let answer = ask();
            if answer.status != 503 || begun.elapsed() > Duration::from_secs(30) {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a request is answered so.
    #[track_caller]
    pub(crate) fn until(&self, status: u16) -> Duration {
        let begun = Instant::now();
        loop {
            let answer = self.ask("GET /");
            if answer.status == status {
                return begun.elapsed();
            }
            if begun.elapsed() > Duration::from_secs(40) {
                let (_, watcher) = guardian(self.host, User::Root, User::Root, &["status"]);
                panic!("waited for {status}: {answer:?}\n{watcher}\n{}", self.process.printed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A WebSocket through the gate, as soon as somebody vouches; what the gateway says first.
    pub(crate) fn socket(&self, from: &Host, at: SocketAddr) -> Result<Socket, String> {
        let begun = Instant::now();
        loop {
            match Socket::open(from, at, &format!("Guardian-Token: {}", self.token)) {
                Err(said)
                    if said.starts_with("HTTP/1.1 503") && begun.elapsed() < Duration::from_secs(30) =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                other => return other,
            }
        }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGTERM);
        assert!(
            self.process.ends_or(Duration::from_secs(10), || false) || std::thread::panicking(),
            "the gate does not stop"
        );
    }
}

/// A WebSocket that is open.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    /// The first frame's text, and whatever came with it.
    pub(crate) first: String,
}

impl Socket {
    /// Opens one with a field that says who asks; else what was answered.
    pub(crate) fn open(from: &Host, at: SocketAddr, credential: &str) -> Result<Self, String> {
        let mut stream = from.connect(at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {at}\r\n{ASKED}\r\n{credential}\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).unwrap_or(0);
            answer.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            if count == 0 || !text.is_empty() && !text.starts_with("HTTP/1.1 101") {
                return Err(text);
            }
            // The gateway challenges whoever connects.
            if let Some((_, first)) = text.split_once("\r\n\r\n")
                && first.contains("connect.challenge")
            {
                return Ok(Self { stream, first: first.to_owned() });
            }
        }
    }

    /// Waits until it ends; what came until then, and how long that took.
    pub(crate) fn ends(mut self, limit: Duration) -> Option<(Vec<u8>, Duration)> {
        let begun = Instant::now();
        self.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut came = Vec::new();
        let mut part = [0; 4096];
        while begun.elapsed() < limit {
            match self.stream.read(&mut part) {
                Ok(0) => return Some((came, begun.elapsed())),
                Ok(count) => came.extend_from_slice(&part[..count]),
                Err(waits)
                    if matches!(
                        waits.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(_) => return Some((came, begun.elapsed())),
            }
        }
        None
    }
}
