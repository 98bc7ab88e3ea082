//! The server: what it answers, and whom it does not let in its way.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Instant;

use nix::unistd::Uid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::*;
use crate::breaker::effect::{Notice, Reach, Refusal};
use crate::control::alone::{Alone, Who};
use crate::sys::clock;

async fn raw(fake: &Fake) -> UnixStream {
    UnixStream::connect(fake.paths.control()).await.unwrap()
}

/// Sends some bytes and reads what comes until the other side hangs up.
async fn answers(fake: &Fake, sent: &[u8], shut: bool) -> Vec<Value> {
    let mut stream = raw(fake).await;
    // A server that has seen enough may have hung up.
    let _ = stream.write_all(sent).await;
    if shut {
        stream.shutdown().await.unwrap();
    }
    let mut text = Vec::new();
    let _ = soon(stream.read_to_end(&mut text)).await;
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn kinds(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["error"]["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_status_has_the_age_of_the_last_round_and_no_lease_that_has_ended() {
    let fake = Fake::start();
    let lease = Lease::new(Reach::Allowed, 7, clock::moment());
    fake.status.send_modify(|status| {
        status.round = Some(clock::moment());
        status.lease = Some(lease);
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let status = fake.client().await.status().await.unwrap();
    assert!((20..5000).contains(&status.round_age_ms.unwrap()), "{status:?}");
    assert_eq!((status.lease, status.daemon), (None, Daemon::Running));
}

#[tokio::test]
async fn what_is_asked_reaches_the_loop_with_who_asks_and_the_answer_comes_back() {
    let mut fake = Fake::start();
    let client = fake.client().await;
    let name = nix::unistd::User::from_uid(Uid::effective()).unwrap().unwrap().name;
    for (ask, reply) in [
        (Ask::Trip { reason: "a hunch".to_owned() }, Reply::Done),
        (Ask::Recover, Reply::Refused(Refusal::NotOpen)),
        (Ask::Close, Reply::AlreadySo),
        (Ask::Reload { accept_clock: true }, Reply::Done),
        (Ask::Reload { accept_clock: false }, Reply::Failed("line 3 is wrong".to_owned())),
        (Ask::Review, Reply::Review(crate::review::ReviewReport::default())),
    ] {
        let (told, (asker, asked)) = tokio::join!(client.ask(ask.clone()), fake.reply(reply.clone()));
        assert_eq!((told.unwrap(), asked), (reply, ask));
        assert_eq!(asker, Asker { name: name.clone(), owner: true }, "who owns the folder is an owner");
    }
}

#[tokio::test]
async fn a_watcher_sees_the_status_at_once_and_every_change_but_no_renewal() {
    let fake = Fake::start();
    let mut stream = fake.client().await.watch().await.unwrap();
    assert_eq!(soon(stream.next()).await.unwrap().breaker, Circuit::Closed);
    fake.status.send_modify(|status| status.round = Some(clock::moment()));
    fake.status.send_modify(|status| status.breaker = Circuit::Open);
    assert_eq!(soon(stream.next()).await.unwrap().breaker, Circuit::Open);
    let began = Instant::now();
    for _ in 0..3 {
        fake.status.send_modify(|status| status.armed = !status.armed);
        soon(stream.next()).await.unwrap();
    }
    assert!(began.elapsed() > Duration::from_millis(350), "at most five a second");
    let renewed = async {
        for _ in 0..5 {
            fake.status.send_modify(|status| status.round = Some(clock::moment()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = renewed => {}
        told = stream.next() => panic!("a round is no change: {told:?}"),
    }
    assert!(soon(stream.next()).await.is_ok(), "now and then the status comes though nothing changes");
}

#[tokio::test]
async fn a_gate_is_known_for_as_long_as_it_takes_leases() {
    let fake = Fake::start();
    let mut other = fake.client().await.watch().await.unwrap();
    soon(other.next()).await.unwrap();
    assert!(!fake.gates.any(), "who follows the status is no gate");
    for _ in 0..2 {
        let mut leases = fake.client().await.leases().await.unwrap();
        soon(leases.next()).await.unwrap();
        assert!(fake.gates.any());
        drop(leases);
        soon(async {
            while fake.gates.any() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_lease_and_its_end_come_at_once() {
    let fake = Fake::start();
    let mut stream = fake.client().await.leases().await.unwrap();
    assert_eq!(soon(stream.next()).await.unwrap(), None);
    let lease = Lease { reach: Reach::Loopback, serial: 1, expires: 99 };
    fake.lease.send_replace(Some(lease));
    assert_eq!(soon(stream.next()).await.unwrap(), Some(lease));
    fake.lease.send_replace(None);
    assert_eq!(soon(stream.next()).await.unwrap(), None);
}

#[tokio::test]
async fn notices_come_in_their_order() {
    let fake = Fake::start();
    let mut stream = fake.client().await.notices().await.unwrap();
    let line =
        |serial| NoticeLine { serial, at: Timestamp::UNIX_EPOCH, notice: Notice::Closed("ana".to_owned()) };
    soon(async {
        while fake.notices.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for serial in [1, 2] {
        fake.notices.send(line(serial)).unwrap();
    }
    assert_eq!(soon(stream.next()).await.unwrap(), line(1));
    assert_eq!(soon(stream.next()).await.unwrap(), line(2));
}

#[tokio::test]
async fn junk_gets_one_line_and_the_connection_is_over() {
    let fake = Fake::start();
    for (sent, shut, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], false, "malformed"),
        (b"\n", false, "malformed"),
        (b"{\"v\":1,\"ask\":\"stat", true, "malformed"),
        (b"{\"v\":2,\"ask\":\"status\"}\n", false, "version"),
        (&[b'x'; 9000], false, "too-long"),
        (&[b'['; 4000], true, "malformed"),
    ] {
        assert_eq!(kinds(&answers(&fake, sent, shut).await), [expected]);
    }
    assert!(answers(&fake, b"", true).await.is_empty(), "who says nothing and goes hears nothing");
    assert!(fake.client().await.status().await.is_ok());
}

#[tokio::test]
async fn nested_json_does_not_exhaust_the_stack() {
    let fake = Fake::start();
    let mut sent = br#"{"v":1,"ask":"trip","reason":"#.to_vec();
    sent.resize(4000, b'[');
    sent.push(b'\n');
    assert_eq!(kinds(&answers(&fake, &sent, false).await), ["malformed"]);
}

#[tokio::test]
async fn a_silent_client_is_sent_away_after_five_seconds() {
    let fake = Fake::start();
    let began = Instant::now();
    assert_eq!(kinds(&answers(&fake, b"{\"v\":1", false).await), ["slow"]);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_hundred_clients_get_what_there_is_and_the_others_are_told() {
    let mut fake = Fake::start();
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let mut stream = BufReader::new(raw(&fake).await);
        // One that was refused may have been hung up on already.
        let _ = stream.write_all(b"{\"v\":1,\"ask\":\"lease\"}\n").await;
        let mut line = String::new();
        soon(stream.read_line(&mut line)).await.unwrap();
        if line.contains("busy") {
            refused += 1;
        } else {
            held.push(stream);
        }
    }
    // Root has all places but is not kept to eight; another user is.
    let most = if Uid::effective().is_root() { 64 } else { 8 };
    assert_eq!((held.len(), refused), (most, 100 - most));
    drop(held);
    let client = loop {
        // The server has to notice first that they have gone.
        let client = fake.client().await;
        match client.status().await {
            Ok(_) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let trip = Ask::Trip { reason: String::new() };
    let (told, _) = tokio::join!(client.ask(trip), fake.reply(Reply::Done));
    assert_eq!(told.unwrap(), Reply::Done);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_dropped_and_holds_nobody_up() {
    let fake = Fake::start();
    let long = Value::from("x".repeat(500_000));
    fake.status.send_modify(|status| status.gateways = vec![long]);
    let mut lazy = raw(&fake).await;
    lazy.write_all(b"{\"v\":1,\"ask\":\"watch\"}\n").await.unwrap();
    let began = Instant::now();
    assert!(soon(fake.client().await.status()).await.is_ok());
    assert!(began.elapsed() < Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(2300)).await;
    let mut text = Vec::new();
    let _ = soon(lazy.read_to_end(&mut text)).await;
    assert!(text.len() < 500_000, "{} bytes", text.len());
}

#[tokio::test]
async fn one_that_hangs_up_within_a_stream_leaves_its_place() {
    let fake = Fake::start();
    for _ in 0..200 {
        let mut stream = fake.client().await.watch().await.unwrap();
        soon(stream.next()).await.unwrap();
    }
    assert!(fake.client().await.status().await.is_ok());
}

#[tokio::test]
async fn a_trip_is_handed_on_though_whoever_asked_has_gone() {
    let mut fake = Fake::start();
    let mut stream = raw(&fake).await;
    stream.write_all(b"{\"v\":1,\"ask\":\"trip\",\"reason\":\"run!\"}\n").await.unwrap();
    drop(stream);
    let (_, ask) = soon(fake.reply(Reply::Done)).await;
    assert_eq!(ask, Ask::Trip { reason: "run!".to_owned() });
}

#[tokio::test]
async fn a_loop_that_does_not_answer_is_told_of_and_the_status_still_comes() {
    let fake = Fake::start();
    let client = fake.client().await;
    let asking = client.ask(Ask::Close);
    tokio::pin!(asking);
    let status = tokio::select! {
        told = &mut asking => panic!("nobody answered: {told:?}"),
        status = async { fake.client().await.status().await } => status,
    };
    assert!(status.is_ok());
    assert!(matches!(soon(asking).await, Err(ControlError::Told { kind: protocol::Kind::Busy, .. })));
}

#[tokio::test]
async fn the_socket_is_everybodys_and_its_folder_is_not() {
    let fake = Fake::start();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&fake.paths.control()), 0o666);
    assert_eq!(mode(&fake.paths.runtime), 0o755);
}

#[tokio::test]
async fn another_user_is_no_owner_until_the_policy_says_so() {
    if !Uid::effective().is_root() {
        return left_out("only root can ask as another user");
    }
    let mut fake = Fake::start();
    // The folder of a test is its user's alone; here others have to come through.
    for folder in fake.paths.state.ancestors().take(2) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for named in [false, true] {
        fake.owners.send_replace(if named { BTreeSet::from([4001]) } else { BTreeSet::new() });
        let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
                      s.sendall(b'{\"v\":1,\"ask\":\"recover\"}\\n'); print(s.recv(999), file=sys.stderr)";
        let mut command = tokio::process::Command::new("python3");
        command.arg("-c").arg(script).arg(fake.paths.control()).uid(4001).gid(4001);
        command.stderr(std::process::Stdio::null());
        let Ok(mut other) = command.spawn() else {
            return left_out("there is no python3");
        };
        let (asker, _) = soon(fake.reply(Reply::Refused(Refusal::NotOwner))).await;
        assert_eq!(asker, Asker { name: "user 4001".to_owned(), owner: named });
        assert!(other.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn a_second_daemon_on_the_same_folders_is_refused() {
    let fake = Fake::start();
    assert!(matches!(serving::bind(&fake.paths), Err(ControlError::AlreadyRunning(_))));
    assert!(fake.client().await.status().await.is_ok(), "and the first one goes on");
}

#[tokio::test]
async fn a_socket_that_a_dead_daemon_left_is_taken_over() {
    let (_folder, paths) = folders();
    paths.prepare().unwrap();
    drop(std::os::unix::net::UnixListener::bind(paths.control()).unwrap());
    let server = serving::bind(&paths).unwrap();
    UnixStream::connect(paths.control()).await.unwrap();
    drop(server);
    assert!(!paths.control().exists(), "a daemon that ends takes its socket away");
    serving::bind(&paths).unwrap();
}

#[tokio::test]
async fn what_is_not_a_socket_of_a_dead_daemon_stays_where_it_is() {
    let (folder, paths) = folders();
    paths.prepare().unwrap();
    fs::write(paths.control(), "mine").unwrap();
    assert!(matches!(serving::bind(&paths), Err(ControlError::InTheWay(_))));
    assert_eq!(fs::read_to_string(paths.control()).unwrap(), "mine");
    fs::remove_file(paths.control()).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    let listening = std::os::unix::net::UnixListener::bind(&elsewhere).unwrap();
    symlink(&elsewhere, paths.control()).unwrap();
    assert!(matches!(serving::bind(&paths), Err(ControlError::InTheWay(_))), "a link");
    fs::remove_file(paths.control()).unwrap();
    drop(listening);
    let _answering = std::os::unix::net::UnixListener::bind(paths.control()).unwrap();
    assert!(matches!(serving::bind(&paths), Err(ControlError::InTheWay(_))), "somebody answers");
}

#[tokio::test]
async fn the_lock_of_the_daemon_is_not_opened_through_a_link() {
    let (folder, paths) = folders();
    paths.prepare().unwrap();
    let target = folder.path().join("target");
    symlink(&target, paths.runtime.join("daemon.lock")).unwrap();
    assert!(matches!(serving::bind(&paths), Err(ControlError::Untrusted(_))));
    assert!(!target.exists());
}

#[tokio::test]
async fn a_daemon_that_starts_during_a_rescue_waits_for_its_end() {
    let (_folder, paths) = folders();
    paths.prepare().unwrap();
    let rescue = Alone::take(&paths, Who::Rescue).unwrap();
    assert!(matches!(serving::bind(&paths), Err(ControlError::Rescuing(_))));
    assert!(!paths.control().exists(), "it has touched nothing");
    let waiting = tokio::spawn({
        let paths = paths.clone();
        async move { serving::bind_after_rescue(&paths).await.map(drop) }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    drop(rescue);
    soon(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn no_rescue_begins_while_anything_of_a_daemon_is_left() {
    let (_folder, paths) = folders();
    let server = serving::bind(&paths).unwrap();
    let alone = server.alone();
    drop(server);
    assert!(matches!(Alone::take(&paths, Who::Rescue), Err(ControlError::AlreadyRunning(_))));
    drop(alone);
    Alone::take(&paths, Who::Rescue).unwrap();
}
