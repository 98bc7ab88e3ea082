//! How tailscaled is reached: a socket of a file; on macOS the app's extensions have a port and a
//! secret (package safesocket of tailscale/tailscale).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Listener;
use guardian_rules::observation::Observation;
use tokio::net::UnixStream;

use crate::api::doors::doors;
use crate::api::{self, Question};
use crate::command::Tool;
use crate::file::{Links, View};
use crate::routes::argument::values;

/// Where tailscaled's socket is unless it is told otherwise.
const SOCKETS: &[&str] = if cfg!(target_os = "macos") {
    &["/var/run/tailscaled.socket"]
} else {
    &["/var/run/tailscale/tailscaled.sock", "/var/run/tailscaled.sock"]
};

/// How the API calls itself, whatever it is reached by.
const HOST: &str = "local-tailscaled.sock";

/// Where the app that is not from the App Store leaves port and secret.
const SHARED: &str = "/Library/Tailscale";

/// Bytes of a secret.
const MAX_SECRET: u64 = 4096;

/// An answer, and whether it is proven to be tailscaled's.
#[derive(Debug)]
pub(in crate::tunnels) struct Heard {
    pub(in crate::tunnels) body: Vec<u8>,
    pub(in crate::tunnels) proven: bool,
}

/// Asks tailscaled.
pub(in crate::tunnels) async fn ask(
    program: &str,
    pid: u32,
    arguments: &[String],
    holders: &BTreeSet<u32>,
    listeners: &Observation<Vec<Listener>>,
    path: &str,
) -> Result<Heard, Blindness> {
    if program == "tailscaled" {
        let (stream, proven) = connect(&sockets(pid, arguments), holders).await?;
        let question = Question { host: HOST, path, authorization: None };
        return Ok(Heard { body: api::get(stream, question).await?, proven });
    }
    let Proof { port, secret } = if program == "ipnextension" { of_sandbox(pid).await? } else { shared()? };
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    // The secret is for the extension alone.
    if !doors(listeners, holders, 0..=0).proven.contains(&at) {
        return Err(Blindness::denied(format!("that {at} is Tailscale's cannot be told")));
    }
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(format!(":{secret}")));
    let question = Question { host: HOST, path, authorization: Some(&authorization) };
    Ok(Heard { body: api::get(api::connect(at).await?, question).await?, proven: true })
}

/// The sockets that tailscaled may have, by its arguments; in a container as seen from here.
fn sockets(pid: u32, arguments: &[String]) -> Vec<PathBuf> {
    let told: Vec<&str> = values(arguments, &["--socket", "-socket"]).take(1).collect();
    let told = if told.is_empty() { SOCKETS } else { &told };
    told.iter().map(|socket| as_seen_by(pid, Path::new(socket))).collect()
}

#[cfg(target_os = "linux")]
fn as_seen_by(pid: u32, path: &Path) -> PathBuf {
    if crate::gateway::procfs::is_contained(pid) {
        let inside = path.strip_prefix("/").unwrap_or(path);
        return Path::new("/proc").join(pid.to_string()).join("root").join(inside);
    }
    path.to_owned()
}

#[cfg(not(target_os = "linux"))]
fn as_seen_by(_: u32, path: &Path) -> PathBuf {
    path.to_owned()
}

/// Connects to the first socket that there is, and tells whether one of `holders` listens there.
async fn connect(sockets: &[PathBuf], holders: &BTreeSet<u32>) -> Result<(UnixStream, bool), Blindness> {
    let mut refused = None;
    for socket in sockets {
        // It accepts at once or not at all: the kernel queues.
        match UnixStream::connect(socket).await {
            Ok(stream) => {
                let listener = stream.peer_cred().ok().and_then(|peer| peer.pid());
                let proven = listener.and_then(|pid| u32::try_from(pid).ok());
                let proven = proven.is_some_and(|pid| holders.contains(&pid));
                return Ok((stream, proven));
            }
            Err(failure) => {
                let cause = match failure.kind() {
                    std::io::ErrorKind::PermissionDenied => Cause::Denied,
                    _ => Cause::Interrupted,
                };
                let why = format!("tailscaled cannot be asked at {}: {failure}", socket.display());
                refused.get_or_insert_with(|| Blindness::new(cause, why));
            }
        }
    }
    Err(refused.unwrap_or_else(|| Blindness::denied("tailscaled has no socket")))
}

/// A port and what proves that one may ask there.
#[derive(Debug, PartialEq, Eq)]
struct Proof {
    port: u16,
    secret: String,
}

/// What the app that is not from the App Store leaves for administrators.
fn shared() -> Result<Proof, Blindness> {
    let folder = Path::new(SHARED);
    let link = folder.join("ipnport");
    let port = std::fs::read_link(&link)
        .map_err(|failure| Blindness::denied(format!("{}: {failure}", link.display())))?;
    let port: u16 = port
        .to_str()
        .and_then(|port| port.parse().ok())
        .ok_or_else(|| Blindness::malformed(format!("{} names no port", link.display())))?;
    let file = folder.join(format!("sameuserproof-{port}"));
    let content = View::own()
        .map_err(|failure| Blindness::denied(failure.to_string()))?
        .read(&file, MAX_SECRET, Links::Refuse)
        .map_err(|why| why.blindness(&file))?;
    let secret = String::from_utf8_lossy(&content.bytes).trim().to_owned();
    Ok(Proof { port, secret })
}

/// What the App Store's extension leaves in the name of a file in its sandbox, which it keeps open.
async fn of_sandbox(pid: u32) -> Result<Proof, Blindness> {
    let lsof = Tool::new("lsof", ["-n", "-a", "-p", &pid.to_string(), "-F", "n"]);
    let printed = lsof.run().await.map_err(|why| Blindness::new(Cause::ToolMissing, why.to_string()))?;
    proof_in(&printed.stdout)
        .ok_or_else(|| Blindness::denied("the secret of Tailscale's extension cannot be seen"))
}

/// The file among those that lsof(8) prints: `n/…/sameuserproof-PORT-SECRET`.
fn proof_in(printed: &str) -> Option<Proof> {
    printed.lines().find_map(|line| {
        let (_, told) = line.split_once("tailscale.ipn.macos/sameuserproof-")?;
        let (port, secret) = told.split_once('-')?;
        let proof = Proof { port: port.parse().ok()?, secret: secret.trim().to_owned() };
        (!proof.secret.is_empty() && proof.secret.chars().all(|c| c.is_ascii_alphanumeric())).then_some(proof)
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn the_socket_is_the_one_that_the_arguments_name() {
        let own = std::process::id();
        let of = |line: &str| {
            let arguments: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
            sockets(own, &arguments)
        };
        assert_eq!(of("").len(), SOCKETS.len());
        for line in ["--socket=/run/x.sock --port 41641", "--socket /run/x.sock", "-socket /run/x.sock"] {
            let found = of(line);
            assert!(found.len() == 1 && found[0].ends_with("run/x.sock"), "{line}: {found:?}");
        }
    }

    #[tokio::test]
    async fn who_listens_at_the_socket_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("t.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let arguments = [format!("--socket={}", socket.display())];
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 1024];
                let length = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..length]).to_ascii_lowercase();
                assert!(
                    asked.starts_with("get /x ") && asked.contains("host: local-tailscaled.sock"),
                    "{asked}"
                );
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull").await.unwrap();
            }
        });
        let own = std::process::id();
        for (holders, proven) in [(BTreeSet::from([own]), true), (BTreeSet::from([1]), false)] {
            // Not in a container as far as this process is concerned: its own root is used.
            let listeners = Observation::Seen(Vec::new());
            let heard = ask("tailscaled", own, &arguments, &holders, &listeners, "/x").await.unwrap();
            assert_eq!((heard.body.as_slice(), heard.proven), (&b"null"[..], proven));
        }
        server.await.unwrap();
        let (arguments, listeners) = (["--socket=/nowhere".to_owned()], Observation::Seen(Vec::new()));
        let holders = BTreeSet::new();
        let none = ask("tailscaled", own, &arguments, &holders, &listeners, "/x");
        assert!(none.await.unwrap_err().detail.contains("/nowhere"));
    }

    #[test]
    fn the_secret_of_the_sandbox_is_found_in_a_files_name() {
        let printed = "p412\nf3\nn/Users/ana/Library/Group Containers/W5364U7YZB.group.io.tailscale.ipn.macos/sameuserproof-61577-2ae2ec9e0aa2005784f1\n";
        assert_eq!(proof_in(printed), Some(Proof { port: 61577, secret: "2ae2ec9e0aa2005784f1".to_owned() }));
        for other in [
            "",
            "n/x/sameuserproof-1-a",
            "n/tailscale.ipn.macos/sameuserproof-1",
            "n/tailscale.ipn.macos/sameuserproof-x-y",
        ] {
            assert_eq!(proof_in(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "(tailscale\\.ipn\\.macos/sameuserproof-|[0-9]{1,6}|-|\n|é|[a-z]){0,20}") {
            let _ = proof_in(&text);
        }
    }
}
