//! What comes of answers that were recorded, and of those that do not come.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use guardian_rules::fact::{Attribution, Publication, TunnelKind};

use super::*;

/// A server of this process that gives these answers, by their path, as often as it is asked.
fn server(answers: &'static [(&'static str, &'static [u8])]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            let asked = String::from_utf8_lossy(&asked[..length]);
            let found = answers.iter().find(|(path, _)| asked.starts_with(&format!("GET {path} ")));
            let (status, body) = found.map_or((404, &b"404 page not found"[..]), |(_, body)| (200, *body));
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
        }
    });
    at
}

const NGROK: &[(&str, &[u8])] = &[(
    "/api/tunnels",
    br#"{"tunnels":[{"public_url":"https://x.example","config":{"addr":"http://localhost:18789"}}]}"#,
)];
const CLOUDFLARED: &[(&str, &[u8])] = &[
    ("/config", include_bytes!("../../fixtures/cloudflared/config-quick.json")),
    ("/quicktunnel", br#"{"hostname":"four-words.example"}"#),
];

fn group(line: &str) -> Group {
    let mut words = line.split(' ').map(str::to_owned);
    let program = words.next().unwrap();
    let arguments: Vec<String> = words.collect();
    let manner = manner(guardian_rules::fact::Role::Tunnel, &program, &arguments).unwrap();
    Group { pid: 7, program, manner, arguments, members: BTreeSet::from([7]), is_outdated: false }
}

fn held(at: SocketAddr, owner: Attribution) -> Observation<Vec<Listener>> {
    Observation::Seen(vec![Listener {
        bound: at,
        dual_stack: false,
        device: None,
        uid: None,
        socket: 0,
        owner,
    }])
}

fn own() -> Attribution {
    Attribution::Named(vec![7])
}

async fn published(
    line: &str,
    listeners: &Observation<Vec<Listener>>,
) -> Vec<Result<Vec<Publication>, Cause>> {
    let facts = group(line).facts(listeners, &Host::default()).await;
    assert!(facts.iter().all(|fact| fact.pid == 7 && fact.kind == TunnelKind::Public), "{facts:?}");
    facts.into_iter().map(|fact| fact.publishes.map_err(|why| why.cause)).collect()
}

fn ports(found: &[Result<Vec<Publication>, Cause>]) -> Vec<Result<Vec<(String, u16)>, Cause>> {
    let line = |it: &Publication| (it.public.clone(), it.to_port);
    found
        .iter()
        .map(|it| it.as_ref().map(|it| it.iter().map(line).collect()).map_err(|cause| *cause))
        .collect()
}

#[tokio::test]
async fn a_tunnel_is_asked_at_its_own_socket() {
    let ngrok = held(server(NGROK), own());
    let expected = Ok(vec![("https://x.example".to_owned(), 18789)]);
    assert_eq!(ports(&published("ngrok start --all", &ngrok).await), [expected]);
    let cloudflared = held(server(CLOUDFLARED), own());
    let expected = Ok(vec![("https://four-words.example".to_owned(), 18789)]);
    assert_eq!(ports(&published("cloudflared tunnel run", &cloudflared).await), [expected]);
}

#[tokio::test]
async fn a_tunnel_that_has_no_socket_is_unknown_unless_its_arguments_tell() {
    let none = Observation::Seen(Vec::new());
    assert_eq!(published("ngrok start --all", &none).await, [Err(Cause::Denied)]);
    assert_eq!(published("ngrok http 18789", &none).await, [Ok(Vec::new())]);
    assert_eq!(published("newt --id x", &none).await, [Err(Cause::Denied)]);
    assert_eq!(published("lt --port 18789", &none).await, [Ok(Vec::new())]);
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_unknown() {
    let other = held(server(&[("/config", b"{}")]), own());
    assert_eq!(published("cloudflared tunnel run", &other).await, [Err(Cause::Malformed)]);
    let old = held(server(&[]), own());
    assert_eq!(published("cloudflared tunnel run", &old).await, [Err(Cause::Malformed)]);
}

#[tokio::test]
async fn a_socket_of_another_process_is_not_asked() {
    let other = held(server(NGROK), Attribution::Named(vec![8]));
    assert_eq!(published("ngrok start --all", &other).await, [Err(Cause::Denied)]);
}

#[tokio::test]
async fn an_answer_that_may_be_anothers_accuses_and_does_not_clear() {
    let shared = held(server(NGROK), Attribution::Named(vec![7, 8]));
    let expected = [Ok(vec![("https://x.example".to_owned(), 18789)]), Err(Cause::Denied)];
    assert_eq!(ports(&published("ngrok start --all", &shared).await), expected);
    let empty = held(server(&[("/api/tunnels", br#"{"tunnels":[]}"#)]), Attribution::Named(vec![7, 8]));
    assert_eq!(published("ngrok start --all", &empty).await, [Err(Cause::Denied)]);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_keeps_silent_is_unknown_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = held(silent.local_addr().unwrap(), own());
    assert_eq!(published("ngrok start --all", &listeners).await, [Err(Cause::TimedOut)]);
}

/// Without a bridge of its own this host has no guests: what is a neighbour's is asked nothing.
#[tokio::test]
async fn a_guest_of_nobodys_is_not_asked_and_not_published() {
    let guests = Guests::of_one_bridge();
    let body =
        br#"{"tunnels":[{"public_url":"https://x.example","config":{"addr":"http://172.17.0.2:18789"}},
        {"public_url":"https://y.example","config":{"addr":"http://192.168.1.9:18789"}}]}"#;
    let told = ngrok::tunnels(body, &Host { guests, ..Host::default() }).unwrap();
    let mut facts = told.facts(7, "ngrok", TunnelKind::Public);
    let places: Vec<_> =
        facts[0].publishes.iter().flatten().map(|it| it.guest.as_ref().map(|it| it.at)).collect();
    assert_eq!(places, [Some("172.17.0.2:18789".parse().unwrap())]);
    look_behind(&mut facts, &Guests::default()).await;
    assert_eq!(facts[0].publishes, Ok(Vec::new()));
}

/// An ssh of this test's own, which waits for a greeting that does not come.
fn ssh(arguments: &[&str]) -> Option<(Running, std::net::TcpListener)> {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let mut command = std::process::Command::new("ssh");
    command.args(["-p", &port]).args(arguments).arg("nobody@127.0.0.1");
    match command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn() {
        Ok(child) => Some((Running(child), server)),
        Err(error) => {
            eprintln!("left out: ssh: {error}");
            None
        }
    }
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The group of a process, once it shows its arguments.
fn found(pid: u32) -> Option<Group> {
    for _ in 0..20 {
        let groups = find(&mut Table::default(), &Snapshot::default()).unwrap();
        if let Some(group) = groups.into_iter().find(|group| group.members.contains(&pid)) {
            return Some(group);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

#[tokio::test]
async fn an_idle_ssh_that_leads_anywhere_is_a_tunnel_that_does_not_tell() {
    let Some((ssh, _server)) = ssh(&["-F", "/dev/null", "-NR", "1080"]) else { return };
    let group = found(ssh.0.id()).unwrap();
    let facts = group.facts(&Observation::Seen(Vec::new()), &Host::default()).await;
    assert_eq!(facts.len(), 1);
    assert_eq!(facts[0].kind, TunnelKind::Public);
    assert_eq!(facts[0].publishes.as_ref().unwrap_err().cause, Cause::Denied);
}

#[test]
fn an_ssh_whose_arguments_are_too_many_to_be_kept_does_not_tell_all() {
    let long = format!("SetEnv=X={}", "x".repeat(70 * 1024));
    let Some((ssh, _server)) = ssh(&["-F", "/dev/null", "-o", &long, "-NR", "1080"]) else { return };
    let group = found(ssh.0.id()).unwrap();
    assert_eq!((group.manner.kind, group.manner.told), (TunnelKind::Public, false));
}

#[test]
fn an_ssh_that_tells_all_is_no_tunnel_of_this_kind() {
    for arguments in [&["-F", "/dev/null", "-N"][..], &["-F", "none", "-NR", "8080:localhost:18789"]] {
        let Some((ssh, _server)) = ssh(arguments) else { return };
        assert!(found(ssh.0.id()).is_none(), "{arguments:?}");
    }
}

#[test]
fn an_ssh_whose_file_names_what_only_it_can_make_out_is_a_tunnel_that_seldom_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, "Include ${HOME}/none-of-this-name\n").unwrap();
    let named = file.display().to_string();
    for (arguments, kind) in [(&["-N"][..], TunnelKind::Seldom), (&["-NR", "1080"], TunnelKind::Public)] {
        let Some((ssh, _server)) = ssh(&[&["-F", &named], arguments].concat()) else { return };
        let Some(group) = found(ssh.0.id()) else {
            eprintln!("left out: this ssh does not take such a line");
            return;
        };
        assert_eq!((group.manner.kind, group.manner.told), (kind, false));
    }
}

#[tokio::test]
async fn an_ssh_whose_file_was_changed_after_it_started_is_a_tunnel_that_seldom_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, "Host *\n").unwrap();
    let named = file.display().to_string();
    let Some((ssh, _server)) = ssh(&["-F", &named, "-N"]) else { return };
    assert!(found(ssh.0.id()).is_none(), "it runs by what is written");
    std::thread::sleep(Duration::from_secs(4));
    std::fs::write(&file, "Host x\n").unwrap();
    let facts = found(ssh.0.id()).unwrap().facts(&Observation::Seen(Vec::new()), &Host::default()).await;
    assert_eq!(facts[0].kind, TunnelKind::Seldom);
    assert_eq!(facts[0].publishes.as_ref().unwrap_err().cause, Cause::Stale);
}

#[test]
fn of_processes_that_started_each_other_the_gravest_that_does_not_tell_counts() {
    let ssh = |kind, told| Manner { voice: Voice::Mute, kind, told };
    let group = |first: (Manner, bool), second: (Manner, bool)| {
        let mut group = Group { manner: first.0, is_outdated: first.1, ..group("lt --port 1") };
        group.join(8, second.0, second.1);
        assert_eq!(group.members, BTreeSet::from([7, 8]));
        (group.manner.kind, group.manner.told, group.is_outdated)
    };
    let (seldom, public) = ((ssh(TunnelKind::Seldom, false), true), (ssh(TunnelKind::Public, false), false));
    for (first, second) in [(seldom, public), (public, seldom)] {
        assert_eq!(group(first, second), (TunnelKind::Public, false, false));
    }
    assert_eq!(group(seldom, seldom), (TunnelKind::Seldom, false, true));
    let told = (ssh(TunnelKind::Public, true), false);
    for (first, second) in [(seldom, told), (told, seldom)] {
        assert_eq!(group(first, second), (TunnelKind::Seldom, false, true));
    }
    assert_eq!(group(told, told), (TunnelKind::Public, true, false));
}

#[tokio::test]
async fn a_host_without_tunnels_has_none() {
    let ground = Ground { policy: std::sync::Arc::default(), known: std::sync::Arc::default() };
    let facts = Tunnels::default().observe(ground).await.unwrap();
    // Whatever runs on the machine of this test, none of it is a tunnel of its own.
    assert!(facts.iter().all(|fact| fact.pid != std::process::id()));
}
