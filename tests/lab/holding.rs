//! A trip is held, whatever restarts the gateway and however the watcher ends.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, guardian, state_file, status};
use crate::decoy::Decoy;
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::Lab;

const POLICY: &str = "seal = false\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
/// Gateways are stopped, and short recoveries.
pub(crate) const STOPS: &str =
    "seal = false\nenforce = \"stop\"\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
pub(crate) const PORT: u16 = 18789;

pub(crate) const ON_THE_LAN: Decoy = Decoy {
    user: User::Ana,
    at: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), PORT),
};
pub(crate) const SOUND: Decoy = Decoy {
    user: User::Ana,
    at: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), PORT),
};

/// Nobody gets through to a gateway for a while, however often it comes back.
pub(crate) fn nobody_gets_through(host: &Host, outside: &Host, seconds: u64) {
    let begun = Instant::now();
    let mut tried = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        for (from, face) in [(outside, at(LAN, PORT)), (host, at(LOOPBACK, PORT))] {
            let answer = http::call(from, face);
            assert!(!matches!(answer, Ok(400 | 401)), "{face} answers as a gateway: {answer:?}");
            tried += 1;
        }
        sleep(Duration::from_millis(20));
    }
    assert!(tried > 20);
}

/// Processor time that a process has used, in seconds.
pub(crate) fn used(host: &Host, pid: u32) -> f64 {
    let stat = fs::read_to_string(host.path(&format!("/proc/{pid}/stat"))).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

#[test]
fn a_watchdog_that_restarts_the_gateway_at_once_is_held_and_named_and_told_once() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, STOPS);
    daemon.is("closed");
    let watchdog = ON_THE_LAN.watched(&place.host, "0.1");
    daemon.until("an open circuit", |status| status["breaker"] == "open");
    daemon
        .until("the revival", |status| status["trip"]["findings"].to_string().contains("revived-while-open"));
    let before = used(&place.host, daemon.process.pid());
    nobody_gets_through(&place.host, &place.outside, 20);
    let burnt = used(&place.host, daemon.process.pid()) - before;
    assert!(burnt < 10.0, "no busy loop: {burnt} s of processor time in 20 s");
    let status = daemon.status();
    let findings = status["trip"]["findings"].as_array().unwrap();
    let revived: Vec<&Value> = findings.iter().filter(|it| it["rule"] == "revived-while-open").collect();
    assert!(revived.len() == 1 && revived[0]["subject"].as_str().unwrap().contains("bash"), "{status:#}");
    let trips = daemon.journal().iter().filter(|entry| entry["what"] == "tripped").count();
    assert_eq!(trips, 1, "one trip, however often it comes back");
    drop(watchdog);
}

#[test]
fn without_root_a_gateway_that_is_restarted_cannot_have_its_port_back() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Ana, STOPS);
    daemon.is("closed");
    let _watchdog = ON_THE_LAN.watched(&place.host, "0.1");
    daemon.until("the port", |_| place.host.holders(PORT) == [daemon.process.pid()]);
    nobody_gets_through(&place.host, &place.outside, 8);
    assert_eq!(http::call(&place.host, at(LOOPBACK, PORT)).unwrap(), 503);
}

#[test]
fn a_gateway_that_ignores_the_polite_signal_and_its_children_end_all_the_same() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, STOPS);
    daemon.is("closed");
    let stubborn = SOUND.start(&place.host);
    // A stopped process takes no polite signal.
    stubborn.signal(Signal::SIGSTOP);
    daemon.guardian(User::Bob, &["trip"]);
    daemon.until("the end of the gateway", |_| !place.host.listens(PORT));
    daemon.holds();
}

#[test]
fn what_is_left_of_a_breaker_is_open_whatever_happened_to_its_files() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    daemon.kill();
    let file = |name: &str| state_file(&place.host, User::Root, name);
    let sound = fs::read(file("breaker.json")).ok();
    let damages: [(&str, &dyn Fn()); 6] = [
        ("the state is gone", &|| fs::remove_file(file("breaker.json")).unwrap()),
        ("the state is garbage", &|| fs::write(file("breaker.json"), "{\"schema\":1,").unwrap()),
        ("the state is of a later version", &|| fs::write(file("breaker.json"), "{\"schema\":99}").unwrap()),
        ("the lock is garbage", &|| fs::write(file("breaker.lock"), "\0\0").unwrap()),
        ("the lock is a link", &|| std::os::unix::fs::symlink("/nonexistent", file("breaker.lock")).unwrap()),
        ("the lock is a folder", &|| fs::create_dir(file("breaker.lock")).unwrap()),
    ];
    for (what, damage) in damages {
        let _ = fs::remove_file(file("breaker.lock"));
        let _ = fs::remove_dir(file("breaker.lock"));
        match &sound {
            Some(sound) => fs::write(file("breaker.json"), sound).unwrap(),
            None => fs::write(file("breaker.json"), "{}").unwrap(),
        }
        damage();
        let daemon = Daemon::restart(&place.host, User::Root, &[]);
        assert_eq!(daemon.status()["breaker"], "open", "{what}");
        daemon.kill();
    }
}

#[test]
fn a_folder_that_another_user_could_write_is_refused_loudly() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    daemon.kill();
    for spoil in [&["chmod", "777"][..], &["chown", "bob"]] {
        let folder = "/mnt/guardian-root/state";
        place.host.run(User::Root, &[spoil, &[folder]].concat());
        let (code, said) = guardian(&place.host, User::Root, User::Root, &["daemon"]);
        assert_eq!(code, 78, "{said}");
        assert!(said.contains(folder), "{said}");
        place.host.run(User::Root, &["chown", "root", folder]);
        place.host.run(User::Root, &["chmod", "755", folder]);
    }
}

/// A typing error, and a reboot: there is no wall and no lock, and a gateway would be alone.
#[test]
fn a_policy_that_is_refused_at_a_start_leaves_the_one_before_in_force() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let file = "/mnt/guardian-root/guardian.toml";
    let daemon = Daemon::start(&place.host, User::Root, "half_open.rounds = 3\nowners = [\"ana\"]\n");
    daemon.until("a seal", |status| status["seal"] == "yes");
    daemon.kill();
    place.host.run(User::Root, &["nft", "delete", "table", "inet", "guardian"]);
    place.host.write(file, "moed = 1\n");
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    let status = daemon.until("a seal again", |status| status["seal"] == "yes");
    let missing = status["degraded"].to_string();
    assert!(missing.contains("moed") && missing.contains("in force last"), "{missing}");
    assert_eq!(status["armed"], true, "what is in force blocks");
    assert!(daemon.journal().iter().any(|entry| entry["what"] == "policy refused"));
    // Whom that one named may still do what is theirs, and nobody goes by the new one.
    let (code, said) = guardian(&place.host, User::Root, User::Ana, &["config", "reload"]);
    assert!(code == 78 && said.contains("moed"), "{code}: {said}");
    place.host.write(file, "");
    let (code, said) = daemon.guardian(User::Root, &["config", "reload"]);
    let missing = daemon.status()["degraded"].to_string();
    assert!(code == 0 && !missing.contains("in force last"), "{said}\n{missing}");
    daemon.kill();
    // Without one before there are the defaults.
    place.host.write(file, "moed = 1\n");
    place.host.run(User::Root, &["rm", "/mnt/guardian-root/state/policy.toml"]);
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    let status = daemon.until("a seal by default", |status| status["seal"] == "yes");
    assert!(status["degraded"].to_string().contains("the defaults"), "{status:#}");
}

/// Another system that keeps the clock in local time, or a year that was typed wrong.
#[test]
fn a_clock_that_was_ahead_once_is_told_and_an_owner_alone_may_accept_it_as_it_is() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    let memory = daemon.state("breaker.json");
    daemon.kill();
    let mut known: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    known["latest"] = "2199-01-01T00:00:00Z".into();
    fs::write(&memory, known.to_string()).unwrap();
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    assert!(daemon.status()["degraded"].to_string().contains("2199-01-01"), "{:#}", daemon.status());
    let allows = ["allow", "--network", "192.168.9.0/24", "--reason", "kiosk", "--until", "2h"];
    let (code, said) = daemon.guardian(User::Root, &allows);
    assert!(code == 70 && said.contains("2199-01-01") && said.contains("--accept-clock"), "{code}: {said}");
    let accepts = ["config", "reload", "--accept-clock"];
    let (code, said) = guardian(&place.host, User::Root, User::Bob, &accepts);
    assert_eq!(code, 2, "{said}");
    // Whoever only has the policy read again says nothing of the clock.
    assert_eq!(daemon.guardian(User::Root, &["config", "reload"]).0, 0);
    assert_eq!(daemon.status()["allowances"], serde_json::json!([]));
    assert_eq!(daemon.guardian(User::Root, &accepts).0, 0);
    let status =
        daemon.until("the allowance", |status| status["allowances"][0]["network"] == "192.168.9.0/24");
    assert_eq!(status["clock_was"], serde_json::Value::Null);
    let journal = daemon.journal();
    for what in ["clock accepted", "allowance holds again"] {
        assert!(journal.iter().any(|entry| entry["what"] == what), "{what}: {journal:?}");
    }
    daemon.kill();
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    assert_eq!(daemon.status()["allowances"][0]["network"], "192.168.9.0/24", "and that is kept");
}

/// It is installed, or may be used, only after the watcher has begun.
#[test]
fn a_packet_filter_that_comes_later_is_used_after_a_reload() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let nft = place.host.run(User::Root, &["sh", "-c", "command -v nft"]);
    let nft = nft.trim();
    place.host.run(User::Root, &["mount", "--bind", "/dev/null", nft]);
    let daemon = Daemon::start(&place.host, User::Root, "");
    let status = daemon.is("closed");
    assert!(status["degraded"].to_string().contains("firewall"), "{status:#}");
    assert_eq!(status["seal"], serde_json::Value::Null);
    place.host.run(User::Root, &["umount", nft]);
    let (code, said) = daemon.guardian(User::Root, &["config", "reload"]);
    assert_eq!(code, 0, "{said}");
    daemon.until("a seal", |status| status["seal"] == "yes");
    assert!(!daemon.status()["degraded"].to_string().contains("firewall"), "{}", daemon.status());
}

#[test]
fn a_disk_that_refuses_does_not_keep_the_circuit_from_opening() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    place.host.run(
        User::Root,
        &["mount", "--bind", "-o", "ro", "/mnt/guardian-root/state", "/mnt/guardian-root/state"],
    );
    place.host.run(User::Root, &["mount", "-o", "remount,bind,ro", "/mnt/guardian-root/state"]);
    let _gateway = ON_THE_LAN.start(&place.host);
    let status = daemon.is("open");
    assert_eq!(status["armed"], false, "{status:#}");
    assert!(status["degraded"].to_string().contains("breaker.lock"), "it says so: {status:#}");
    daemon.until("the firewall", |status| {
        status["trip"]["barriers"].to_string().contains(r#"{"barrier":"firewall","held":"yes"}"#)
    });
    nobody_gets_through(&place.host, &place.outside, 1);
}

#[test]
fn a_full_disk_does_not_either() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let state = "/mnt/guardian-root/state";
    place.host.run(User::Root, &["mkdir", "-p", "-m", "755", state]);
    place.host.run(User::Root, &["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "none", state]);
    // It has begun before there was a watcher: no first start is missed by the mount.
    place.host.write("/mnt/guardian-root/guardian.toml", POLICY);
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    daemon.is("closed");
    let mut fill = Host::command("dd");
    fill.args(["if=/dev/zero", "bs=4k", &format!("of={state}/full")]).stderr(std::process::Stdio::null());
    let filled = place.host.spawn(User::Root, &mut fill).wait().unwrap();
    assert!(!filled.success(), "dd stops when the disk is full");
    let _gateway = ON_THE_LAN.start(&place.host);
    let status = daemon.is("open");
    assert_eq!(status["armed"], false, "{status:#}");
    daemon.until("the firewall", |status| {
        status["trip"]["barriers"].to_string().contains(r#"{"barrier":"firewall","held":"yes"}"#)
    });
    nobody_gets_through(&place.host, &place.outside, 1);
    // What could not be written down then is, once there is room; and nothing closes by itself.
    place.host.run(User::Root, &["rm", &format!("{state}/full")]);
    daemon.kill();
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    let status = daemon.is("open");
    assert!(!status["trip"].is_null(), "{status:#}");
}

#[test]
fn a_second_watcher_on_the_same_folders_refuses() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    let (code, said) = daemon.guardian(User::Root, &["daemon"]);
    assert!(code != 0 && said.contains("running already"), "{code} {said}");
    daemon.is("closed");
}

#[test]
fn a_frozen_watcher_gives_no_lease_and_a_thawed_one_only_after_a_fresh_round() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    let before = daemon.until("a lease", |status| !status["lease"].is_null());
    daemon.process.signal(Signal::SIGSTOP);
    sleep(Duration::from_secs(4));
    daemon.process.signal(Signal::SIGCONT);
    let after = daemon.until("a new lease", |status| {
        status["lease"]["serial"].as_u64() > before["lease"]["serial"].as_u64()
    });
    assert_eq!(after["breaker"], "closed", "{after:#}");
}

#[test]
fn rescue_takes_everything_back_without_a_watcher() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let rules = |host: &Host| host.run(User::Root, &["nft", "list", "ruleset"]);
    place.host.run(User::Root, &["nft", "add", "table", "inet", "mine"]);
    let before = rules(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    let _gateway = ON_THE_LAN.start(&place.host);
    daemon.holds();
    assert_ne!(rules(&place.host), before);
    assert_eq!(daemon.guardian(User::Root, &["rescue"]).0, 70, "not while a watcher runs");
    daemon.kill();
    let (code, said) = guardian(&place.host, User::Root, User::Root, &["rescue"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(rules(&place.host), before, "byte for byte");
    assert!(!state_file(&place.host, User::Root, "breaker.lock").exists());
    assert_eq!(http::call(&place.outside, at(LAN, PORT)).unwrap(), 401, "it is the owner's affair now");
    assert_eq!(status(&place.host, User::Root)["breaker"], "open", "{said}");
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    daemon.holds();
}

/// What was there when the daemon began stays amiss until somebody has seen to it; a trip lacks nothing by it.
#[test]
fn a_journal_and_undo_lines_that_cannot_be_used_are_told_and_disarm_nothing() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    daemon.kill();
    let types = |line: &str| {
        place.host.run(User::Root, &["sh", "-c", &format!("cd /mnt/guardian-root/state && {line}")])
    };
    types("chmod 666 journal.jsonl && echo garbage >> undo.jsonl && chmod 600 undo.jsonl");
    let daemon = Daemon::restart(&place.host, User::Root, &[]);
    let says = |status: &Value, what: &str| status["degraded"].to_string().contains(what);
    let (journal, undo) = ("what happens is not written down", "undo.damaged.jsonl'");
    let status = daemon.until("both are told", |status| says(status, journal) && says(status, undo));
    assert_eq!(status["armed"], true, "{status:#}");
    assert!(says(&status, "chmod go-w") && says(&status, "sudo rm '"), "with what to type: {status:#}");
    types("chmod 600 journal.jsonl && grep -q garbage undo.damaged.jsonl && rm undo.damaged.jsonl");
    assert_eq!(daemon.guardian(User::Root, &["trip", "to write something down"]).0, 2);
    daemon.until("neither is told any more", |status| !says(status, journal) && !says(status, undo));
    assert!(daemon.journal().iter().any(|entry| entry["what"] == "tripped"), "it is written down again");
}

#[test]
fn a_broken_policy_is_refused_and_the_old_one_stays() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    place.host.write("/mnt/guardian-root/guardian.toml", "mode = \"observe\"\nmood = \"bad\"\n");
    daemon.process.signal(Signal::SIGHUP);
    let status = daemon.until("the refusal", |status| status["degraded"].to_string().contains("mood"));
    assert_eq!(status["armed"], true, "the old one blocks as before");
    assert_eq!(status["mode"], "enforce");
    place.host.write("/mnt/guardian-root/guardian.toml", "mode = \"observe\"\n");
    daemon.process.signal(Signal::SIGHUP);
    daemon.until("the new policy", |status| status["mode"] == "observe");
    let _gateway = ON_THE_LAN.start(&place.host);
    daemon.until("the exposure", |status| status["verdict"] == "exposed");
    assert_eq!(daemon.status()["breaker"], "closed", "it only observes");
    assert_eq!(http::call(&place.outside, at(LAN, PORT)).unwrap(), 401, "and changes nothing");
    let would = daemon.journal().iter().filter(|entry| entry["what"] == "would have tripped").count();
    assert!((1..=3).contains(&would), "once for what is found, not at every round: {would}");
}

#[test]
fn a_rehearsal_shows_detection_block_and_release_and_touches_nothing() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    let before = place.host.run(User::Root, &["nft", "list", "ruleset"]);
    for user in [User::Root, User::Ana] {
        let (code, said) = guardian(&place.host, User::Root, user, &["drill", "--json"]);
        assert_eq!(code, 0, "{said}");
        let line = said.lines().find(|line| line.starts_with("{\"schema\"")).unwrap_or_default();
        let shown: Value = serde_json::from_str(line).unwrap();
        assert!(shown["held"] == true && shown["lock_ms"].as_u64().unwrap() > 0, "{shown:#}");
        println!("measured: drill as {}: {shown}", user.name());
    }
    assert_eq!(place.host.run(User::Root, &["nft", "list", "ruleset"]), before);
    assert_eq!(daemon.status()["breaker"], "closed");
}
