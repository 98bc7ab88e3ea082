//! A trip as its owner sees it, screen by screen. `docs/operations.md` shows what this prints:
//! `cargo test --test lab told -- --nocapture`.

use std::thread::sleep;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::gateway::{PORT, SOUND_9_6};
use crate::host::User;
use crate::ready::Lab;
use crate::relay::{nginx, proxy_to};
use crate::trips::POLICY;

/// Has root type a command and shows what comes.
#[track_caller]
fn types(daemon: &Daemon<'_>, arguments: &[&str], exit: i32, words: &[&str]) -> String {
    let (code, said) = daemon.guardian(User::Root, arguments);
    println!("$ guardian {}\n{said}[exit {code}]\n", arguments.join(" "));
    assert_eq!(code, exit, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing:\n{said}");
    }
    said
}

/// The status, its last days and the history give the same instant, to the last digit.
#[track_caller]
fn says_one_instant(daemon: &Daemon<'_>, what: &str) {
    let status = daemon.status();
    let entry = daemon.journal().into_iter().rev().find(|entry| entry["what"] == what).unwrap();
    let turn = status["timeline"].as_array().unwrap().last().unwrap()["at"].clone();
    assert_eq!((&status["since"], &turn), (&entry["at"], &entry["at"]), "{what}");
}

#[test]
fn every_screen_of_a_trip_says_what_happened_and_what_to_type_next() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    types(&daemon, &["status"], 0, &["CLOSED"]);
    let doubtful = nginx(scene.host(), 8089, "listen 0.0.0.0:8089; location / { return 502; }");
    daemon.until("a doubt", |status| !status["doubt"].is_null());
    types(
        &daemon,
        &["status"],
        3,
        &["CLOSED", "What cannot be told", "allow --path nginx", "The circuit opens in"],
    );
    let announced = |entry: &serde_json::Value| entry["what"] == "in doubt";
    daemon.until("its announcement", |_| daemon.journal().iter().filter(|it| announced(it)).count() == 1);
    drop(doubtful);
    daemon.until("no doubt", |status| status["doubt"].is_null() && status["verdict"] == "safe");
    let nginx = nginx(scene.host(), 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")));
    daemon.holds();
    types(&daemon, &["status"], 2, &["OPEN", "panel-republished", "0.0.0.0:8088", "guardian recover"]);
    says_one_instant(&daemon, "tripped");
    types(&daemon, &["close", "--yes"], 2, &["guardian recover"]);
    types(&daemon, &["recover", "--yes"], 2, &["✗ Nothing publishes a gateway", "0.0.0.0:8088"]);
    drop(nginx);
    daemon.until("nginx gone", |_| !scene.host().listens(8088));
    types(&daemon, &["recover", "--yes"], 1, &["guardian close"]);
    daemon.until("safe rounds", |status| status["half_open"]["safe"] == status["half_open"]["wanted"]);
    types(&daemon, &["status"], 1, &["HALF-OPEN", "guardian close"]);
    says_one_instant(&daemon, "recovery began");
    let until = |status: &serde_json::Value| status["half_open"]["until"].clone();
    let told = until(&daemon.status());
    sleep(Duration::from_millis(1100));
    assert_eq!(until(&daemon.status()), told, "the end of a recovery does not move");
    types(&daemon, &["close", "--yes"], 0, &["CLOSED"]);
    says_one_instant(&daemon, "closed");
    types(&daemon, &["history"], 0, &["tripped", "closed"]);
    types(&daemon, &["history", "--verify"], 0, &[]);
    types(&daemon, &["doctor"], 0, &[]);
}
