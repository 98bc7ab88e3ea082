//! A trip holds though the gateway is in none of this host's processes: in a container of its own user, in a virtual
//! machine, on another host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::decoy::Decoy;
use crate::holding::SOUND;
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, Place, at};
use crate::ready::Lab;
use crate::redirected::Rules;
use crate::relay::socat;
use crate::running::Running;

const POLICY: &str = "[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2));
/// Its gateway's port there, which no policy names.
const INSIDE: u16 = 3000;
const DOOR: u16 = 8080;

/// A guest of a host, with a gateway in it.
fn guest(host: &Host) -> (Host, Running) {
    let guest = Host::new();
    host.wire("guest0", &guest, "eth0");
    host.run(User::Root, &["ip", "link", "set", "guest0", "master", "docker0"]);
    guest.run(User::Root, &["ip", "addr", "add", "172.17.0.2/16", "dev", "eth0"]);
    guest.run(User::Root, &["ip", "route", "add", "default", "via", "172.17.0.1"]);
    host.run(User::Root, &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), INSIDE);
    let gateway = Decoy { user: User::Ana, at: everywhere }.start(&guest);
    (guest, gateway)
}

/// Publishes the guest's gateway on every address of the host, under this program's name.
fn publish(host: &Host, program: &str) -> Running {
    let program = match program {
        "socat" => program.to_owned(),
        other => {
            let copy = format!("/mnt/lab/{other}");
            host.run(User::Root, &["cp", "/usr/bin/socat", &copy]);
            copy
        }
    };
    let listen = format!("TCP4-LISTEN:{DOOR},fork,reuseaddr");
    socat(host, User::Bob, &program, DOOR, &listen, &format!("TCP4:{GUEST}:{INSIDE}"))
}

fn answers(from: &Host) -> bool {
    matches!(http::call(from, at(LAN, DOOR)), Ok(400 | 401))
}

/// Once it has tripped nobody gets in, and nobody gets in any more.
fn is_shut_out(daemon: &Daemon<'_>, outside: &Host) {
    daemon.is("open");
    let begun = Instant::now();
    while answers(outside) {
        assert!(begun.elapsed() < Duration::from_secs(5), "it answers strangers on: {:#}", daemon.status());
        sleep(Duration::from_millis(20));
    }
    println!("measured: nobody gets in {:?} after the circuit was seen open", begun.elapsed());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        assert!(!answers(outside), "it answers again after {:?}: {:#}", begun.elapsed(), daemon.status());
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_gateway_of_another_network_namespace_is_shut_off_where_it_is_published() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let (_guest, _gateway) = guest(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    let relay = publish(&place.host, "pasta");
    is_shut_out(&daemon, &place.outside);
    let status = daemon.holds();
    assert_eq!(status["level"], "isolated", "{status:#}");
    // A recovery asks who still carries it, and trips again while somebody does.
    let (code, said) = daemon.guardian(User::Root, &["recover", "--yes"]);
    println!("recover: {code}: {said}");
    is_shut_out(&daemon, &place.outside);
    drop(relay);
    daemon.until("nobody publishes it", |status| status["verdict"] != "exposed");
    daemon.recovers_and_closes();
}

#[test]
fn a_gateway_that_the_packet_filter_alone_publishes_is_shut_off_by_its_own_place() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let (_guest, _gateway) = guest(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    let rules = Rules::nft(&place.host, &format!("tcp dport {DOOR} dnat to {GUEST}:{INSIDE}"));
    assert!(answers(&place.outside) || daemon.status()["breaker"] == "open", "it is up");
    is_shut_out(&daemon, &place.outside);
    let status = daemon.holds();
    assert!(status["trip"]["findings"].to_string().contains("nat-published"), "{status:#}");
    drop(daemon);
    drop(rules);
}

#[test]
fn a_forwarder_that_leads_past_the_gateway_that_is_cut_off_is_held_as_well() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let (_guest, _gateway) = guest(&place.host);
    let _sound = SOUND.start(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    // Nothing tells that the gateway of this host is not behind it, until that is cut off.
    let _relay = publish(&place.host, "socat");
    is_shut_out(&daemon, &place.outside);
    daemon.holds();
}

#[test]
fn a_gateway_that_no_process_here_is_behind_is_not_said_to_be_stopped() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let (_guest, _gateway) = guest(&place.host);
    let stop = "enforce = \"stop\"\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
    let daemon = Daemon::start(&place.host, User::Root, stop);
    daemon.is("closed");
    let relay = publish(&place.host, "pasta");
    is_shut_out(&daemon, &place.outside);
    let held = |status: &serde_json::Value, barrier: &str, held: &str| {
        let barriers = status["trip"]["barriers"].as_array().cloned().unwrap_or_default();
        barriers.iter().any(|it| it["barrier"] == barrier && it["held"] == held)
    };
    let status = daemon.until("what could not be stopped", |status| {
        held(status, "firewall", "yes") && held(status, "process", "no")
    });
    let amiss = status["degraded"].to_string();
    assert!(amiss.contains("0.0.0.0:8080") && amiss.contains("stop it where it runs"), "{amiss}");
    assert!(status["trip"]["block_ms"].is_u64(), "the packet filter blocks: {status:#}");
    drop(relay);
    daemon.until("nobody publishes it", |status| held(status, "process", "yes"));
}
