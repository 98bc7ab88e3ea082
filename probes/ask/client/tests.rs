//! What a question may not do, against real sockets.

use guardian_rules::fact::Transport;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::*;
use crate::ask::stage::{http, mute, plain, request, saying};
use crate::ask::targets::Rank;

fn target(at: SocketAddr) -> Target {
    Target { at, bound: at, rank: Rank::Beyond, tied_to: None, through: None }
}

fn question() -> Question {
    Question { method: Method::GET, path: "/", limit: 1024 }
}

#[tokio::test]
async fn an_address_that_this_host_does_not_have_is_not_asked() {
    // TEST-NET-3 (RFC 5737): nobody's, least of all this host's.
    let heard = ask(&target("203.0.113.7:80".parse().unwrap()), &question()).await;
    assert!(matches!(&heard, Heard::Unknown(why) if why.cause == Cause::Interrupted), "{heard:?}");
}

#[tokio::test]
async fn a_listener_that_neither_accepts_nor_refuses_is_unknown() {
    // A full backlog drops what comes next.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let at = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(timeout(Duration::from_millis(100), TcpStream::connect(at)).await);
    }
    if waiting.iter().all(Result::is_ok) {
        return; // This system's backlog is longer than asked for.
    }
    let heard = ask_by(&target(at), Transport::Plain, &question()).await;
    assert!(matches!(&heard, Heard::Unknown(why) if why.cause == Cause::TimedOut), "{heard:?}");
}

#[tokio::test]
async fn no_connection_outlives_its_question() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let mute = plain(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            request(&mut stream).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = told.send(());
        }
    })
    .await;
    assert_eq!(ask(&target(mute.at), &question()).await, Heard::Silent);
    for _ in 0..mute.connections() {
        timeout(Duration::from_secs(2), hears.recv()).await.expect("the connection is closed").unwrap();
    }
}

#[tokio::test]
async fn whoever_does_not_answer_in_plain_text_costs_one_patience_and_not_two() {
    let stage = mute().await;
    let began = Instant::now();
    assert_eq!(ask(&target(stage.at), &question()).await, Heard::Silent);
    assert!(began.elapsed() < Rank::Beyond.patience() + Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_no_further() {
    let heard = |body: String| async move {
        match ask(&target(saying(http("200 OK", "", &body)).await.at), &question()).await {
            Heard::Http(answer) => (answer.body.len(), answer.whole),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(heard("x".repeat(1023)).await, (1023, true));
    assert_eq!(heard("x".repeat(1024)).await, (1024, true));
    assert_eq!(heard("x".repeat(1025)).await, (1024, false));
    assert_eq!(heard("x".repeat(100_000)).await, (1024, false));
}

#[test]
fn a_link_local_address_is_named_as_browsers_name_it() {
    let at: SocketAddr = "[fe80::5%2]:18789".parse().unwrap();
    assert_eq!(url(at, Transport::Tls, "/x"), "https://link-local.invalid:18789/x");
    assert_eq!(spelt_host(at).unwrap(), "[fe80::5]:18789");
    assert_eq!(source(at), None);
    let plain: SocketAddr = "[2001:db8::5]:18789".parse().unwrap();
    assert_eq!(url(plain, Transport::Plain, "/"), "http://[2001:db8::5]:18789/");
    assert_eq!(spelt_host(plain), None);
    assert_eq!(source(plain), Some(plain.ip()));
}
