//! Forwarders, which carry a connection without reading it: idle and with somebody on the line.

use std::time::Duration;

use crate::gateway::{PORT, SOUND_1_29, SOUND_9_6, Scene};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, NEIGHBOUR, at};
use crate::ready::Lab;
use crate::relay::{forward, socat, ssh_to, sshd, up};
use crate::report::check;
use crate::running::Running;

const SOON: Duration = Duration::from_secs(20);

/// The process that holds the far end of a connection to the gateway, once there is one.
fn attached(scene: &Scene, forwarder: &mut Running) -> u32 {
    let mut found = None;
    forwarder.wait_until("its connection to the gateway", SOON, || {
        let target = format!("dport = :{PORT}");
        let table = scene.host().run(User::Root, &["ss", "-H", "-tnp", "state", "established", &target]);
        found = table
            .split("pid=")
            .nth(1)
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        found.is_some()
    });
    found.expect("it was found")
}

fn a_forwarder_is_found(scene: &Scene, mut forwarder: Running) {
    let face = at(LAN, 29999);
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("panel-republished", "0.0.0.0:29999")
        .accuses("panel-republished", forwarder.pid())
        .does_not_accuse("open-without-credentials", "");
    assert_eq!(http::call(scene.outside(), face).unwrap(), 401, "it was up");

    let line = scene.outside().connect(face).unwrap();
    let holder = attached(scene, &mut forwarder);
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("panel-republished", "0.0.0.0:29999")
        .accuses("panel-republished", forwarder.pid())
        .accuses("forwarder-attached", holder);
    drop(line);
}

#[test]
fn socat_in_front_is_found_idle_and_with_somebody_on_the_line() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    a_forwarder_is_found(&scene, forward(scene.host(), 29999, "0.0.0.0", PORT));
}

#[test]
fn a_forwarder_of_an_unknown_name_is_found_as_well() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let host = scene.host();
    host.run(User::Root, &["cp", "/usr/bin/socat", "/mnt/lab/backupd"]);
    let listen = "TCP4-LISTEN:29999,bind=0.0.0.0,fork,reuseaddr";
    let target = format!("TCP4:127.0.0.1:{PORT}");
    a_forwarder_is_found(&scene, socat(host, User::Root, "/mnt/lab/backupd", 29999, listen, &target));
}

/// An ssh tunnel that stands: the listener at its far end is there.
fn tunnel(from: &Host, mut command: std::process::Command, far: &Host, port: u16) -> Running {
    up(far, from.start(User::Root, &mut command), port)
}

#[test]
fn a_reverse_tunnel_by_ssh_is_found_idle_and_with_somebody_on_the_line() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _server = sshd(scene.outside());
    let forward = format!("0.0.0.0:9000:127.0.0.1:{PORT}");
    let command = ssh_to(scene.host(), scene.outside(), &NEIGHBOUR.to_string(), &["-R", &forward]);
    let mut ssh = tunnel(scene.host(), command, scene.outside(), 9000);
    check(scene.host()).is("exposed").accuses("forwarder-attached", ssh.pid());

    let face = at(NEIGHBOUR, 9000);
    assert_eq!(http::call(scene.outside(), face).unwrap(), 401, "it was up");
    let line = scene.outside().connect(face).unwrap();
    assert_eq!(attached(&scene, &mut ssh), ssh.pid());
    check(scene.host()).is("exposed").accuses("forwarder-attached", ssh.pid());
    drop(line);
}

#[test]
fn a_reverse_tunnel_by_ssh_is_found_idle_where_only_its_file_tells_and_unknown_where_it_leads_anywhere() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let _server = sshd(scene.outside());
    let anywhere = ssh_to(host, scene.outside(), &NEIGHBOUR.to_string(), &["-R", "0.0.0.0:9001"]);
    let ssh = tunnel(host, anywhere, scene.outside(), 9001);
    check(host).is("blind").cannot_tell(ssh.pid());
    drop(ssh);

    host.run(User::Root, &["install", "-d", "-m", "700", "/root/.ssh"]);
    let start = |port: u16, forward: &str| {
        let file = format!(
            "Host vps\n HostName {NEIGHBOUR}\n User root\n IdentityFile /root/ssh/key\n BatchMode yes\n \
             StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n RemoteForward 0.0.0.0:{port} {forward}\n"
        );
        host.write("/root/.ssh/config", &file);
        let mut command = Host::command("ssh");
        command.args(["-N", "vps"]);
        tunnel(host, command, scene.outside(), port)
    };
    let ssh = start(9002, "127.0.0.1:3000");
    check(host).is("safe");
    drop(ssh);
    let ssh = start(9003, &format!("127.0.0.1:{PORT}"));
    check(host).is("exposed").accuses("forwarder-attached", ssh.pid());
    assert_eq!(http::call(scene.outside(), at(NEIGHBOUR, 9003)).unwrap(), 401, "it was up");
    // Without the line it still runs by what it has read.
    std::thread::sleep(Duration::from_secs(4));
    host.write("/root/.ssh/config", "Host vps\n");
    check(host).is("safe").cannot_tell(ssh.pid());
}

#[test]
fn a_tunnel_that_an_authenticated_user_of_sshd_opens_is_noted_and_stays_safe() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _server = sshd(scene.host());
    let forward = format!("127.0.0.1:9001:127.0.0.1:{PORT}");
    let command = ssh_to(scene.outside(), scene.host(), &LAN.to_string(), &["-L", &forward]);
    let mut ssh = tunnel(scene.outside(), command, scene.outside(), 9001);
    check(scene.host()).is("safe");

    let face = at(LOOPBACK, 9001);
    assert_eq!(http::call(scene.outside(), face).unwrap(), 401, "it is up");
    let line = scene.outside().connect(face).unwrap();
    let holder = attached(&scene, &mut ssh);
    check(scene.host()).is("safe").notes("forwarder-attached", "info", holder);
    drop(line);
}
