//! A local user who means harm: may trip, and nothing else.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, state_file};
use crate::gateway::{PORT, SOUND_9_6};
use crate::host::{Host, User};
use crate::noise::noise;
use crate::ready::Lab;
use crate::relay::forward;
use crate::trips::POLICY;

const SOCKET: &str = "/mnt/guardian-root/run/control.sock";
/// How soon an exposure is to be blocked while somebody meddles, on a busy machine.
const SOON: Duration = Duration::from_secs(2);

/// Everything that the watcher keeps, in bytes.
fn kept(host: &Host) -> u64 {
    let folder = state_file(host, User::Root, "");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().size()).sum()
}

#[test]
fn whoever_floods_the_control_socket_neither_blinds_the_watcher_nor_closes_anything() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let meddler = noise(host, User::Bob, &["meddle", SOCKET]);
    sleep(Duration::from_secs(3));
    let lock = daemon.state("breaker.lock");
    assert!(!lock.exists(), "nobody has tripped it");
    let begun = Instant::now();
    let socat = forward(host, 29999, "0.0.0.0", PORT);
    while !lock.exists() {
        assert!(begun.elapsed() < SOON, "an exposure goes unnoticed while somebody floods the socket");
        sleep(Duration::from_millis(5));
    }
    println!("measured: exposure to lock while 400 clients flood the control socket: {:?}", begun.elapsed());
    daemon.holds();
    drop(socat);
    daemon.until("socat gone", |_| !host.listens(29999));
    sleep(Duration::from_secs(3));
    assert_eq!(daemon.status()["breaker"], "open", "whoever is no owner can neither recover nor close");
    // The owner has a seat of its own, whoever takes the others.
    daemon.recovers_and_closes();
    drop(meddler);
}

#[test]
fn tripping_without_end_fills_no_disk_and_holds_nobody_up() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let _meddler = noise(host, User::Bob, &["meddle", SOCKET, "trip"]);
    daemon.holds();
    let (first, begun) = (kept(host), Instant::now());
    sleep(Duration::from_secs(10));
    let grown = kept(host).saturating_sub(first);
    println!("measured: {grown} bytes more after {:?} of trips without end", begun.elapsed());
    assert!(grown < 64 * 1024, "{grown} bytes in ten seconds");
    let asked = Instant::now();
    assert_eq!(daemon.status()["breaker"], "open");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let reason = daemon.status()["trip"]["why"].to_string();
    assert!(reason.chars().count() < 1000, "{reason}");
}

#[test]
fn another_user_can_change_none_of_the_watchers_files() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, POLICY);
    daemon.guardian(User::Bob, &["trip"]);
    daemon.holds();
    for attempt in [
        "rm -f /mnt/guardian-root/state/breaker.lock",
        "mv /mnt/guardian-root/state /mnt/guardian-root/gone",
        "ln -sf /etc/passwd /mnt/guardian-root/state/journal.jsonl",
        "echo x >>/mnt/guardian-root/state/journal.jsonl",
        "echo x >/mnt/guardian-root/state/breaker.json",
        "cat /mnt/guardian-root/state/breaker.json",
        "rm -f /mnt/guardian-root/run/control.sock",
        "echo seal=false >>/mnt/guardian-root/guardian.toml",
        "touch /mnt/guardian-root/run/other",
        "nft flush ruleset",
    ] {
        let mut command = Host::command("sh");
        command.args(["-c", attempt]).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let ended = host.spawn(User::Bob, &mut command).wait().unwrap();
        assert!(!ended.success(), "{attempt}");
    }
    assert!(daemon.state("breaker.lock").exists());
    daemon.holds();
}
