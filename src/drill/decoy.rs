//! A gateway that is none: it bears a gateway's marks and gives a gateway's answers, and has no
//! agent behind it.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ground::{Ending, Ground, PORT};

/// The hidden command that serves as a decoy.
pub(crate) const SUBCOMMAND: &str = "drill-decoy";
/// The title of a late gateway.
const TITLE: &str = "openclaw-gateway";

/// Why there is no decoy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecoyError {
    #[error("the decoy cannot be started")]
    Start(#[source] io::Error),
    #[error("the decoy does not listen")]
    Silent,
}

/// A decoy that runs.
pub(crate) struct Decoy {
    process: Option<Ending>,
    program: PathBuf,
}

impl Decoy {
    /// Starts it on loopback and asking for credentials, as a sound gateway.
    pub(crate) fn start(ground: &Ground) -> Result<Self, DecoyError> {
        // A copy: this very program is known to the watcher and left alone.
        let program = ground.folder().join("node");
        let own = std::env::current_exe().map_err(DecoyError::Start)?;
        fs::copy(own, &program).map_err(DecoyError::Start)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(DecoyError::Start)?;
        let state = ground.home().join(".openclaw");
        let config = format!(
            r#"{{"gateway":{{"mode":"local","port":{PORT},"bind":"loopback","auth":{{"mode":"token","token":"a decoy's"}}}}}}"#
        );
        fs::write(state.join("openclaw.json"), config).map_err(DecoyError::Start)?;
        for private in [state.join("openclaw.json"), state] {
            let mode = if private.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(&private, fs::Permissions::from_mode(mode)).map_err(DecoyError::Start)?;
        }
        let mut decoy = Self { process: None, program };
        decoy.serve(ground, &[loopback()], false)?;
        Ok(decoy)
    }

    /// Exposes it; gives the address at which it is exposed.
    pub(crate) fn expose(&mut self, ground: &Ground) -> Result<SocketAddr, DecoyError> {
        if let Some(outside) = ground.outside() {
            self.serve(ground, &[SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))], false)?;
            Ok(SocketAddr::new(outside, PORT))
        } else {
            self.serve(ground, &[loopback()], true)?;
            Ok(loopback())
        }
    }

    /// Ends the exposure: the decoy is gone.
    #[expect(clippy::unnecessary_wraps, reason = "the parts of the rehearsal read alike")]
    pub(crate) fn conceal(&mut self, _: &Ground) -> Result<(), DecoyError> {
        self.process = None;
        Ok(())
    }

    /// Starts it again as it should be.
    pub(crate) fn revive(&mut self, ground: &Ground) -> Result<(), DecoyError> {
        self.serve(ground, &[loopback()], false)
    }

    fn serve(&mut self, ground: &Ground, at: &[SocketAddr], open: bool) -> Result<(), DecoyError> {
        self.process = None;
        let state = ground.home().join(".openclaw");
        let mut command = Command::new(&self.program);
        command
            .arg0(TITLE)
            .arg(SUBCOMMAND)
            .args(at.iter().map(ToString::to_string))
            .args(open.then_some("--open"))
            .env_clear()
            .env("HOME", ground.home())
            .env("OPENCLAW_STATE_DIR", &state)
            .env("OPENCLAW_CONFIG_PATH", state.join("openclaw.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = Ending(command.spawn().map_err(DecoyError::Start)?);
        let said = process.0.stdout.take().ok_or(DecoyError::Silent)?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).map_err(DecoyError::Start)?;
        if line.trim() != "listening" {
            return Err(DecoyError::Silent);
        }
        self.process = Some(process);
        Ok(())
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

/// Serves as a decoy until it is ended: what `guardian drill-decoy` does.
pub(crate) fn serve(at: &[SocketAddr], open: bool) -> io::Result<()> {
    let listeners = at.iter().map(bind).collect::<io::Result<Vec<_>>>()?;
    println!("listening");
    std::thread::scope(|scope| {
        for listener in listeners {
            scope.spawn(move || {
                for stream in listener.incoming().flatten() {
                    // One at a time is enough, and a visitor who stays silent is left soon.
                    let _ = answer(stream, open);
                }
            });
        }
    });
    Ok(())
}

/// The barrier may hold the port for a moment longer.
fn bind(at: &SocketAddr) -> io::Result<TcpListener> {
    for _ in 0..50 {
        match TcpListener::bind(at) {
            Err(failed) if failed.kind() == io::ErrorKind::AddrInUse => {
                std::thread::sleep(Duration::from_millis(100));
            }
            bound => return bound,
        }
    }
    TcpListener::bind(at)
}

fn answer(mut stream: TcpStream, open: bool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut asked = [0; 4096];
    let read = stream.read(&mut asked)?;
    let asked = String::from_utf8_lossy(asked.get(..read).unwrap_or_default()).into_owned();
    let (status, kind, body) = if !asked.starts_with("POST /tools/invoke ") {
        ("200 OK", "text/html", "<!doctype html><title>A decoy</title>")
    } else if open {
        (
            "400 Bad Request",
            "application/json",
            r#"{"ok":false,"error":{"type":"invalid_request","message":"tools.invoke requires name"}}"#,
        )
    } else {
        (
            "401 Unauthorized",
            "application/json",
            r#"{"error":{"message":"Unauthorized","type":"unauthorized"}}"#,
        )
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
