//! Containers of a real engine: podman, whose API is Docker's.

use std::time::Duration;

use crate::gateway::{PORT, Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::Lab;
use crate::report::{Check, check};
use crate::running::Running;

const RULE: &str = "container-published";
const SOCKET: &str = "/run/podman/podman.sock";

/// podman, with all it keeps in folders of this host.
const PODMAN: [&str; 10] = [
    "podman",
    "--cgroup-manager=cgroupfs",
    "--storage-driver=vfs",
    "--root",
    "/mnt/lab/containers",
    "--runroot",
    "/run/containers",
    "--network-backend",
    "netavark",
    "--log-level=error",
];

/// A host whose engine answers on its socket.
struct Engine {
    // Dropped first: a host is not gone before the tests have taken leave of their children on it.
    service: Running,
    place: Place,
}

impl Engine {
    fn new() -> Self {
        let place = Place::new();
        let host = &place.host;
        // One tree of control groups, as the runtime wants it; and a system for containers to run in:
        // this one, with a layer of its own above it.
        let prepare = "umount -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup && \
                       echo 1 >/proc/sys/net/ipv4/ip_forward && mkdir -p /run/podman";
        host.run(User::Root, &["sh", "-c", prepare]);
        let mut command = Host::command(PODMAN[0]);
        command.args(&PODMAN[1..]).args(["system", "service", "--time=0", &format!("unix://{SOCKET}")]);
        let mut service = host.start(User::Root, &mut command);
        service.wait_until("its socket", Duration::from_secs(30), || host.path(SOCKET).exists());
        Self { service, place }
    }

    fn podman(&self, arguments: &[&str]) -> String {
        self.place.host.run(User::Root, &[&PODMAN[..], arguments].concat())
    }

    /// Runs a container that is published so.
    fn run(&self, name: &str, publish: &str, command: &[&str]) {
        let root = format!("/mnt/lab/roots/{name}");
        let layer = format!(
            "mkdir -p {root}/upper {root}/work {root}/all && \
             mount -t overlay -o lowerdir=/,upperdir={root}/upper,workdir={root}/work overlay {root}/all"
        );
        self.place.host.run(User::Root, &["sh", "-c", &layer]);
        let root = format!("{root}/all");
        let arguments = [
            &["run", "--detach", "--cgroups=disabled", "--name", name, "--publish", publish][..],
            &[
                "--volume",
                "/mnt/cache:/mnt/cache:ro",
                "--volume",
                "/mnt/scripts:/mnt/scripts:ro",
                "--rootfs",
                &root,
            ],
            command,
        ];
        self.podman(&arguments.concat());
    }

    /// The same with a gateway on every address of the container.
    fn runs_a_gateway(&self, name: &str, publish: &str, face: std::net::SocketAddr) {
        let setup = Setup::lan(Version::V2026_9_6);
        let (port, config) = (PORT.to_string(), setup.config.to_string());
        let start = ["/mnt/scripts/start-gateway.sh", "openclaw@2026.9.6", &port, "/root/gateway", &config];
        self.run(name, publish, &[&["env", "GUARDIAN_LAB_CACHE=/mnt/cache"][..], &start].concat());
        let begun = std::time::Instant::now();
        while !matches!(http::call(&self.place.host, face), Ok(401)) {
            let printed = || self.podman(&["logs", name]);
            assert!(begun.elapsed() < Duration::from_mins(5), "no gateway at {face}: {}", printed());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn removes(&self, name: &str) {
        self.podman(&["rm", "--force", "--time", "0", name]);
    }
}

#[test]
fn a_gateway_in_a_container_is_exposed_or_protected_by_where_it_is_published() {
    let Some(_lab) = Lab::open() else { return };
    let engine = Engine::new();
    let (host, outside) = (&engine.place.host, &engine.place.outside);
    check(host).is("safe").is_silent_about(RULE);

    engine.runs_a_gateway("within", &format!("127.0.0.1:8081:{PORT}"), at(LOOPBACK, 8081));
    assert!(http::call(outside, at(LAN, 8081)).is_err(), "no stranger comes in");
    check(host).is("safe").is_silent_about(RULE);
    engine.removes("within");

    engine.runs_a_gateway("box", &format!("8080:{PORT}"), at(LAN, 8080));
    assert_eq!(http::call(outside, at(LAN, 8080)).unwrap(), 401, "the stranger's request is answered");
    check(host).is("exposed").accuses(RULE, "0.0.0.0:8080").accuses(RULE, "the container box");
    // Whoever may not ask the engine says so.
    let report = Check::of(host).by(User::Ana).run();
    report.cannot_tell("podman");
    engine.removes("box");
    check(host).is_silent_about(RULE);
}

#[test]
fn a_container_without_a_gateway_is_nothing_and_one_named_like_a_gateway_that_is_silent_is_doubted() {
    let Some(_lab) = Lab::open() else { return };
    let engine = Engine::new();
    let host = &engine.place.host;
    let site = ["/usr/bin/python3", "-m", "http.server", "--directory", "/usr/share", "80"];
    engine.run("openclaw-docs", "8082:80", &site);
    let up = |port| {
        let begun = std::time::Instant::now();
        while !engine.place.outside.reaches(at(LAN, port)) {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody at {port}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    up(8082);
    check(host).is("safe").is_silent_about(RULE);
    let silent = ["/usr/bin/python3", "/mnt/scripts/server.py", "silent", "0.0.0.0", "80"];
    engine.run("openclaw-old", "8083:80", &silent);
    up(8083);
    check(host).is("blind").cannot_tell("openclaw-old");
    // The engine has ended: what runs is seen by its sockets.
    engine.service.signal(nix::sys::signal::Signal::SIGKILL);
}
