use std::fs;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::message::tests::{stamped, trip};
use super::webhook::tests::request;
use super::*;

/// The usual schedule, for people without time.
const SOON: Schedule = Schedule {
    first: &[Duration::from_millis(20), Duration::from_millis(50)],
    then: Duration::from_millis(100),
    until: Duration::from_secs(30),
    only_critical: false,
};

fn ways(command: &[&str], webhook: &str) -> Ways {
    let command = command.iter().map(|&argument| argument.to_owned()).collect();
    Ways::of(&Notify { desktop: true, command, webhook: webhook.to_owned() }).unwrap()
}

fn started(ways: Ways) -> (mpsc::Sender<Stamped>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(CHANNEL);
    (sender, tokio::spawn(dispatch(ways, SOON, "pine".to_owned(), receiver)))
}

fn tripped(id: i64) -> Stamped {
    stamped(Notice::Tripped(trip(id, 1)))
}

/// A server that answers as told, in order, and the events that it was posted.
async fn server(answers: Vec<&'static str>) -> (String, mpsc::Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let text = request(&mut stream).await;
                let body = text.split_once("\r\n\r\n").unwrap().1;
                sender.send(serde_json::from_str(body).unwrap()).await.unwrap();
                if answer == "nothing" {
                    tokio::time::sleep(Duration::from_mins(1)).await;
                }
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (format!("http://{at}/"), receiver)
}

async fn next(events: &mut mpsc::Receiver<serde_json::Value>) -> serde_json::Value {
    timeout(Duration::from_secs(10), events.recv()).await.expect("in time").expect("an event")
}

#[test]
fn a_policy_that_cannot_be_carried_out_is_refused_with_its_key() {
    let of = |command: &[&str], webhook: &str| {
        let command = command.iter().map(|&argument| argument.to_owned()).collect();
        Ways::of(&Notify { desktop: false, command, webhook: webhook.to_owned() })
    };
    assert!(of(&[], "").is_ok());
    assert!(of(&["alarm"], "").unwrap_err().to_string().starts_with("notify.command "));
    assert!(of(&[], "http://8.8.8.8/").unwrap_err().to_string().starts_with("notify.webhook "));
}

#[test]
fn a_notice_is_one_line_that_can_be_read_again() {
    for notice in [Notice::Tripped(trip(0, 2)), Notice::Closed("ana".to_owned())] {
        let line = serde_json::to_string(&stamped(notice.clone())).unwrap();
        assert!(
            !line.contains('\n') && line.starts_with("{\"at\":\"2026-11-23T08:00:00Z\",\"event\":"),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Stamped>(&line).unwrap(), stamped(notice));
    }
}

#[tokio::test]
async fn a_webhook_that_fails_is_asked_again_until_it_takes_the_event() {
    let (url, mut events) = server(vec!["500 Oops", "503 Later", "200 OK", "200 OK"]).await;
    let (sender, task) = started(ways(&[], &url));
    sender.try_send(tripped(1)).unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut events).await["event"], "tripped");
    }
    let another = timeout(Duration::from_millis(300), events.recv()).await;
    assert!(another.is_err(), "told once it is not told again");
    sender.try_send(stamped(Notice::News(trip(1, 2)))).unwrap();
    let news = next(&mut events).await;
    assert_eq!((&news["event"], &news["count"]), (&"news".into(), &2.into()));
    drop(sender);
    timeout(Duration::from_secs(5), task).await.expect("it ends with its senders").unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_does_not_delay_the_next_event() {
    let (url, mut events) = server(vec!["nothing", "200 OK"]).await;
    let (sender, task) = started(ways(&[], &url));
    sender.try_send(tripped(1)).unwrap();
    assert_eq!(next(&mut events).await["trip"]["id"], trip(1, 1).id);
    let begun = Instant::now();
    sender.try_send(tripped(2)).unwrap();
    assert_eq!(next(&mut events).await["trip"]["id"], trip(2, 1).id);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    task.abort();
}

#[tokio::test]
async fn a_hook_that_hangs_does_not_delay_the_webhook() {
    let (url, mut events) = server(vec!["200 OK", "200 OK"]).await;
    let (sender, task) = started(ways(&["/bin/sleep", "30"], &url));
    let begun = Instant::now();
    for id in [1, 2] {
        sender.try_send(tripped(id)).unwrap();
        next(&mut events).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    task.abort();
}

#[tokio::test]
async fn a_hook_that_fails_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!("cat >> {log}; [ $(wc -l < {log}) -ge 3 ]", log = log.display());
    let (sender, task) = started(ways(&["/bin/sh", "-c", &script], ""));
    sender.try_send(tripped(1)).unwrap();
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    for _ in 0..250 {
        if lines() >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(lines(), 3, "twice more, and not after it has succeeded");
    drop(sender);
    timeout(Duration::from_secs(5), task).await.expect("it ends with its senders").unwrap();
}
