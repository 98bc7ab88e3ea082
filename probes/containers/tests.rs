//! Engines on real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;

use super::*;
use crate::ask::stage::{http, request, saying};
use crate::guests::link::Link;

const DOCKER: &str = include_str!("../../fixtures/containers/docker.json");
const REQUIRED: &str = include_str!("../../fixtures/gateway/invoke-required.json");

/// An engine that gives this answer to whoever asks.
struct Stage {
    folder: tempfile::TempDir,
    heard: Arc<AtomicUsize>,
    asked: Arc<std::sync::Mutex<String>>,
}

fn engine(answer: impl Into<Vec<u8>>) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
    let answer: Arc<[u8]> = answer.into().into();
    let (heard, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(String::new())));
    let (count, question) = (Arc::clone(&heard), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let head = request(&mut stream).await;
            *question.lock().unwrap() = head;
            let _ = stream.write_all(&answer).await;
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
        }
    });
    Stage { folder, heard, asked }
}

impl Stage {
    fn place(&self) -> Place {
        Place {
            engine: "docker",
            socket: self.folder.path().join("docker.sock"),
            is_users: true,
            starts_on_connection: false,
        }
    }
}

async fn cause(answer: impl Into<Vec<u8>>) -> Cause {
    let stage = engine(answer);
    api::published(&stage.place()).await.unwrap().unwrap_err().cause
}

#[tokio::test]
async fn an_engine_is_asked_what_it_publishes_and_nothing_else() {
    let stage = engine(http("200 OK", "", DOCKER));
    let published = api::published(&stage.place()).await.unwrap().unwrap();
    assert_eq!(published.len(), 3);
    let asked = stage.asked.lock().unwrap().clone();
    assert!(asked.starts_with("GET /containers/json HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("user-agent: guardian/"), "{asked}");
}

#[tokio::test]
async fn where_nobody_answers_there_is_no_engine() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let place = Place { engine: "docker", socket, is_users: false, starts_on_connection: false };
    assert_eq!(api::published(&place).await, None, "the socket of one that has ended");
}

#[tokio::test]
async fn what_is_no_answer_of_an_engine_is_unknown() {
    assert_eq!(cause("SSH-2.0-OpenSSH\r\n").await, Cause::Malformed);
    assert_eq!(cause(http("200 OK", "", "<html>")).await, Cause::Malformed);
    assert_eq!(cause(http("403 Forbidden", "", "")).await, Cause::Denied);
    assert_eq!(cause(http("302 Found", "Location: http://127.0.0.1:1/\r\n", "")).await, Cause::Malformed);
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(5 * 1024 * 1024));
    assert_eq!(cause(endless).await, Cause::TooMuch);
    assert_eq!(cause("").await, Cause::TimedOut);
}

#[tokio::test]
async fn a_users_link_to_another_socket_is_not_followed() {
    let stage = engine(http("200 OK", "", "[]"));
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("podman");
    std::os::unix::fs::symlink(stage.folder.path(), &inner).unwrap();
    let place = Place { socket: inner.join("docker.sock"), ..stage.place() };
    let answer = api::published(&place).await;
    assert!(answer.is_none_or(|answer| answer.is_err()));
    assert_eq!(stage.heard.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_engine_that_does_not_run_is_not_started_by_asking() {
    let stage = engine(http("200 OK", "", "[]"));
    let place = Place { starts_on_connection: true, ..stage.place() };
    let mut probe = Containers::default();
    assert_eq!(probe.ask(vec![place.clone()], &Running::default()).await, []);
    assert_eq!(stage.heard.load(Ordering::SeqCst), 0);
    let hidden = Running { is_hidden: true, ..Running::default() };
    assert!(probe.ask(vec![place.clone()], &hidden).await[0].1.is_err());
    let running = Running { docker: BTreeSet::from([7]), ..Running::default() };
    assert_eq!(probe.ask(vec![place.clone()], &running).await, [(place, Ok(Vec::new()))]);
}

#[tokio::test]
async fn podman_which_is_started_to_be_asked_is_asked_when_a_container_comes_or_goes() {
    let stage = engine(http("200 OK", "", "[]"));
    let place = Place { engine: "podman", starts_on_connection: true, ..stage.place() };
    let mut probe = Containers::default();
    for (containers, asked) in [(7, 1), (7, 1), (8, 2)] {
        let running = Running { podman: BTreeSet::from([containers]), ..Running::default() };
        assert_eq!(probe.ask(vec![place.clone()], &running).await.len(), 1);
        assert_eq!(stage.heard.load(Ordering::SeqCst), asked);
    }
}

fn published(on: &str, ends: &[&str]) -> Published {
    Published {
        container: "box".to_owned(),
        image: "image".to_owned(),
        is_named_like_a_gateway: true,
        on: on.parse().unwrap(),
        ends: ends.iter().map(|end| end.parse().unwrap()).collect(),
    }
}

fn own(interface: &str, address: &str) -> InterfaceAddress {
    InterfaceAddress {
        interface: interface.to_owned(),
        index: Some(3),
        address: address.parse().unwrap(),
        prefix: 16,
        tunnel: false,
    }
}

#[test]
fn the_containers_own_end_is_asked_where_it_is_a_guest_of_this_host() {
    let own = [own("lo", "127.0.0.1"), own("eth0", "192.168.1.5"), own("docker0", "172.17.0.1")];
    let bridge =
        Link { index: 3, name: "docker0".to_owned(), kind: "bridge".to_owned(), master: None, tun: false };
    let guests = Guests::new(&[bridge], &BTreeSet::new(), &own);
    let asked = |on, ends: &[&str]| {
        let target = whom_to_ask(&published(on, ends), &guests, &own);
        (target.at.to_string(), target.through)
    };
    let behind = Some("docker0".to_owned());
    assert_eq!(asked("0.0.0.0:80", &["10.9.0.2:1", "172.17.0.2:1"]), ("172.17.0.2:1".to_owned(), behind));
    assert_eq!(asked("0.0.0.0:80", &["192.168.9.9:1"]), ("192.168.1.5:80".to_owned(), None), "a neighbour");
    assert_eq!(asked("127.0.0.1:80", &[]), ("127.0.0.1:80".to_owned(), None));
    assert_eq!(asked("[::]:80", &[]), ("[::1]:80".to_owned(), None));
}

#[tokio::test]
async fn a_gateway_in_a_container_is_told_by_its_answer_and_a_refusal_clears_nothing() {
    let gateway = saying(http("401 Unauthorized", "", REQUIRED)).await;
    let site = saying(http("404 Not Found", "", "")).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let places = [gateway.at, site.at, nobody].map(|at| published(&at.to_string(), &[]));
    let place = engine("").place();
    let engines = look_behind(vec![(place, Ok(places.to_vec()))], &Guests::default(), &[]).await;
    let ports = engines[0].ports.as_ref().unwrap();
    assert_eq!((&ports[0].access, &ports[1].access), (&Access::Required, &Access::NoGateway));
    assert!(matches!(ports[2].access, Access::Unknown(_)), "the packet filter may send others elsewhere");
}
