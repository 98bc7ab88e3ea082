//! A gate, its watcher and its gateway, and how one talks to it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::gateway::Gateway;
use crate::watcher::Watcher;

pub(crate) struct House {
    pub(crate) door: SocketAddr,
    pub(crate) token: String,
    pub(crate) watcher: Watcher,
    pub(crate) gateway: Gateway,
    gate: Child,
    folder: tempfile::TempDir,
}

/// A WebSocket, asked for properly.
pub(crate) const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PATIENCE: Duration = Duration::from_secs(20);
const GENEROUS: &str = "rate = { per_second = 1000000, burst = 1000000 }\n\
                        rate_of_all = { per_second = 1000000, burst = 1000000 }\n";

impl House {
    /// A house whose gate has no budget to speak of.
    pub(crate) fn new() -> Self {
        Self::with(GENEROUS)
    }

    /// A house with settings of its gate.
    pub(crate) fn with(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start();
        let watcher = Watcher::at(&folder.path().join("run"));
        // Free a moment ago; the gate says at once if somebody else has taken it.
        let door = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let policy = folder.path().join("guardian.toml");
        let text = format!(
            "[gate]\nlisten = [\"{door}\"]\ngateway = \"{}\"\naccess_log = false\n{settings}",
            gateway.at
        );
        std::fs::write(&policy, text).unwrap();
        let token = said(guardian(folder.path(), &["token", "new", "test"]));
        let mut gate = guardian(folder.path(), &["gate"]);
        let gate = gate.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let house = Self { door, token, watcher, gateway, gate, folder };
        house.until(200);
        house.gateway.forget();
        house
    }

    /// What a command of this house's Guardian says.
    pub(crate) fn guardian(&self, arguments: &[&str]) -> String {
        said(guardian(self.folder.path(), arguments))
    }

    /// Sets a passphrase, and signs in with it: the cookie of the session.
    pub(crate) fn sign_in(&self, passphrase: &str) -> String {
        let mut command = guardian(self.folder.path(), &["gate", "passphrase", "--stdin"]);
        let mut setting = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(setting.stdin.take().unwrap(), "{passphrase}").unwrap();
        assert!(setting.wait().unwrap().success());
        let answer = self.send_form(&format!("passphrase={}", passphrase.replace(' ', "+")));
        let cookie = answer
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "))
            .unwrap_or_else(|| panic!("{answer}"));
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Sends the form of the sign-in page.
    pub(crate) fn send_form(&self, body: &str) -> String {
        self.say(
            format!(
                "POST /_guardian/sign-in HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nConnection: close\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {1}\r\n\r\n{body}",
                self.door,
                body.len()
            )
            .as_bytes(),
        )
    }

    /// A command of this house's Guardian, for whoever talks with it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        guardian(self.folder.path(), arguments)
    }

    /// The head of a request with the token.
    pub(crate) fn head(&self, line: &str, fields: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: {}\r\nGuardian-Token: {}\r\n{fields}\r\n", self.door, self.token)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.door).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A connection from another address of this host's.
    #[cfg(target_os = "linux")]
    pub(crate) fn connect_from(&self, address: std::net::Ipv4Addr) -> TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&self.door.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own; everything that comes back until the gate hangs up,
    /// or says nothing for a while.
    pub(crate) fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A refusal may come while it is still being sent.
        let _ = stream.write_all(bytes);
        stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 16 * 1024];
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match stream.read(&mut part) {
                Ok(count @ 1..) => answer.extend_from_slice(&part[..count]),
                Ok(0) => break,
                Err(_) if !answer.is_empty() => break,
                Err(_) => {}
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The statuses that bytes are answered with.
    pub(crate) fn statuses(&self, bytes: &[u8]) -> Vec<u16> {
        statuses(&self.say(bytes))
    }

    /// The status of a plain request with the token.
    pub(crate) fn status(&self) -> u16 {
        let request = self.head("GET /", "Connection: close\r\n");
        statuses(&self.say(request.as_bytes())).first().copied().unwrap_or(0)
    }

    /// Waits until a request is answered so; how long that took.
    #[track_caller]
    pub(crate) fn until(&self, status: u16) -> Duration {
        let begun = Instant::now();
        loop {
            let now = TcpStream::connect(self.door).map_or(0, |_| self.status());
            if now == status {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "waited for {status}, and it is {now}");
            sleep(Duration::from_millis(10));
        }
    }

    /// Resident memory of the gate, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gate.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

fn guardian(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guardian"));
    command
        .args(arguments)
        .env("GUARDIAN_STATE_DIR", folder.join("state"))
        .env("GUARDIAN_RUNTIME_DIR", folder.join("run"))
        .env("GUARDIAN_CONFIG", folder.join("guardian.toml"));
    command
}

fn said(mut command: Command) -> String {
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

pub(crate) fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ").skip(1).filter_map(|part| part.get(..3)?.parse().ok()).collect()
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.gate.kill();
        let _ = self.gate.wait();
    }
}
