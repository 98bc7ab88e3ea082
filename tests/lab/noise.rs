//! What a developer's machine is full of, all at once, while a sound gateway runs: no false trip.
//!
//! `GUARDIAN_NOISE_SECONDS` makes it last longer than the minute of every run.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::gateway::{PORT, Setup, Version};
use crate::host::{Host, User};
use crate::leases::Leases;
use crate::place::Place;
use crate::ready::Lab;
use crate::running::Running;

/// A gateway that starts while the machine is busy hangs for longer than it does here.
const POLICY: &str = "patience = \"30s\"\n[notify]\ndesktop = false\n";

/// A network card that comes and goes.
const FLAPS: &str = "while :; do ip link add noise0 type veth peer name noise1; ip addr add 10.99.0.1/24 dev noise0; \
                     ip link set noise0 up; sleep 0.4; ip link del noise0; sleep 0.3; done";

/// Connections that are held with the gateway at once.
const CROWD: usize = 2000;

pub(crate) fn noise(host: &Host, user: User, arguments: &[&str]) -> Running {
    let mut command = Host::command("/usr/bin/python3");
    command.arg("/mnt/scripts/noise.py").args(arguments);
    host.start(user, &mut command)
}

fn lasts() -> Duration {
    let seconds = std::env::var("GUARDIAN_NOISE_SECONDS").ok().and_then(|it| it.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

fn connections(host: &Host) -> usize {
    let established = ["ss", "-Htn", "state", "established", &format!("sport = :{PORT}")];
    host.run(User::Root, &established).lines().count()
}

#[test]
fn noise_within_the_allowed_never_opens_the_circuit() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let sound = Setup::sound(Version::V2026_9_6);
    let mut gateway = sound.start(host);
    let daemon = Daemon::start(host, User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let port = PORT.to_string();
    let _noise = [
        noise(host, User::Ana, &["churn", "127.0.0.1", "250"]),
        noise(host, User::Bob, &["churn", "127.0.0.1", "480"]),
        noise(host, User::Bob, &["churn", "::1", "300"]),
        noise(host, User::Bob, &["churn", "0.0.0.0", "400"]),
        noise(host, User::Bob, &["slow", "127.0.0.1", "7001", "3"]),
        noise(host, User::Ana, &["crowd", "127.0.0.1", &port, &CROWD.to_string()]),
        noise(host, User::Ana, &["knock", "127.0.0.1", &port]),
        host.start(User::Root, Host::command("bash").args(["-c", FLAPS])),
    ];
    let leases = Leases::listen(host);
    let (begun, mut starts, mut most) = (Instant::now(), 1, 0);
    while begun.elapsed() < lasts() {
        sleep(Duration::from_secs(8));
        most = most.max(connections(host));
        // It hangs for a while, within the patience.
        let serving = host.holders(PORT)[0].to_string();
        host.run(User::Root, &["kill", "-STOP", &serving]);
        sleep(Duration::from_secs(4));
        host.run(User::Root, &["kill", "-CONT", &serving]);
        sleep(Duration::from_secs(6));
        drop(gateway);
        gateway = sound.start(host);
        starts += 1;
    }
    assert!(most >= CROWD, "{most} connections at once");
    let record = leases.stop();
    record.print(&format!("{:?} of noise, {starts} starts of the gateway", begun.elapsed()));
    let status = daemon.status();
    assert_eq!(status["breaker"], "closed", "{status:#}\n{:#?}", daemon.journal());
    let tripped: Vec<_> = daemon.journal().into_iter().filter(|it| it["what"] == "tripped").collect();
    assert!(tripped.is_empty(), "{tripped:#?}");
    // With nothing but noise around it a gateway is served most of the time.
    let (longest, share) = record.coverage();
    assert!(share > 0.5 && longest < Duration::from_secs(10), "{share} {longest:?}");
    assert!(daemon.until("a lease once it is quiet", |status| !status["lease"].is_null())["trip"].is_null());
}
