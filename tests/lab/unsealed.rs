//! A recovery without a seal: the wall that goes with it takes along what was heard behind it.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::holding::{PORT, SOUND};
use crate::host::User;
use crate::http;
use crate::place::{LAN, Place, at};
use crate::ready::Lab;
use crate::relay::socat;

const POLICY: &str = "seal = false\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
const DOOR: u16 = 8088;

#[test]
fn a_forwarder_whom_the_wall_of_a_recovery_refuses_opens_it_again_and_no_lease_is_given_meanwhile() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _sound = SOUND.start(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.until("a lease", |status| status["breaker"] == "closed" && !status["lease"].is_null());
    let listen = format!("TCP4-LISTEN:{DOOR},fork,reuseaddr");
    // Its name and arguments tell nothing of what it carries.
    place.host.run(User::Root, &["cp", "/usr/bin/socat", "/mnt/lab/backupd"]);
    let _bobs =
        socat(&place.host, User::Bob, "/mnt/lab/backupd", DOOR, &listen, &format!("TCP4:127.0.0.1:{PORT}"));
    daemon.is("open");
    let (code, said) = daemon.guardian(User::Root, &["recover", "--yes"]);
    assert_eq!(code, 1, "half-open: {said}");
    // The wall refuses bob, so that his forwarder hangs up while the gateway answers.
    daemon.until("safe rounds", |status| {
        status["half_open"]["safe"].as_u64() >= status["half_open"]["wanted"].as_u64()
            && status["half_open"].is_object()
    });
    assert!(http::call(&place.outside, at(LAN, DOOR)).is_err(), "nobody gets in yet");
    let (code, said) = daemon.guardian(User::Root, &["close", "--yes"]);
    assert_eq!(code, 0, "closed: {said}");
    let begun = Instant::now();
    loop {
        let status = daemon.status();
        if status["breaker"] == "open" {
            break;
        }
        assert!(status["lease"].is_null(), "a lease {:?} after it closed: {status:#}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(6), "it stays closed: {status:#}");
    }
    println!("measured: open again {:?} after it closed", begun.elapsed());
    daemon.holds();
}
