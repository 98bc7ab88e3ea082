//! Behind the seal nothing is reached, not even once, whatever way a gateway is exposed.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::decoy::Decoy;
use crate::gateway::{Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::knocking::{Knocks, knocked};
use crate::leases::Leases;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::Lab;
use crate::relay::{forward, nginx, proxy_to, socat};
use crate::running::Running;
use crate::supervised::until;

const PORT: u16 = 18789;
/// As many knock at the same time, for whoever is met with silence waits a while.
const HANDS: u32 = 6;
/// How long they go on once something is exposed.
const WHILE: Duration = Duration::from_secs(4);

/// The ports that a policy names.
const NAMED: &str =
    "[gateway]\nports = [18789, 8088, 29999]\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
const SEALED: &str = "[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
/// The gateway has a user of its own.
const OWN_USER: &str = "[gateway]\nuser = \"ana\"\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";

fn decoy(ip: Ipv4Addr, port: u16) -> Decoy {
    Decoy { user: User::Ana, at: SocketAddr::from((ip, port)) }
}

/// Knocks before, during and after an exposure. Whether the circuit opens is not what this is about:
/// what nobody can reach is perhaps no exposure.
fn is_never_reached(what: &str, policy: &str, port: u16, trips: bool, expose: impl FnOnce(&Host) -> Running) {
    let place = Place::new();
    let sound = decoy(Ipv4Addr::LOCALHOST, PORT).start(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, policy);
    let status =
        daemon.until("a lease and the seal", |status| !status["lease"].is_null() && status["seal"] == "yes");
    assert_eq!(status["breaker"], "closed");
    assert_eq!(http::call(&place.outside, at(LAN, port)).ok(), None);
    let ((), knocks) = knocked(&place.outside, at(LAN, port), HANDS, || {
        // A gateway that is restarted on another address is not there twice.
        let _sound = (port != PORT).then_some(sound);
        let _exposed = expose(&place.host);
        sleep(WHILE);
        assert!(trips || place.host.listens(port), "it is exposed all the time");
    });
    let Knocks { tried, through } = knocks;
    let circuit = daemon.status()["breaker"].clone();
    println!("measured: sealed, {what}: {through} of {tried} connections came through; circuit {circuit}");
    assert!(tried > 30, "{what}: knocked {tried} times");
    assert_eq!(through, 0, "{what}: connections got through the seal");
    if trips {
        daemon.is("open");
    }
}

#[test]
fn behind_the_seal_no_port_that_the_policy_names_is_reached_even_once() {
    let Some(_lab) = Lab::open() else { return };
    is_never_reached("restarted on every address", NAMED, PORT, true, |host| {
        decoy(Ipv4Addr::UNSPECIFIED, PORT).start(host)
    });
    is_never_reached("nginx without authentication", NAMED, 8088, false, |host| {
        nginx(host, 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")))
    });
    is_never_reached("socat", NAMED, 29999, false, |host| forward(host, 29999, "0.0.0.0", PORT));
}

#[test]
fn behind_the_seal_no_port_of_the_gateways_own_user_is_reached_even_once() {
    let Some(_lab) = Lab::open() else { return };
    is_never_reached("another port of the gateway's user", OWN_USER, 4017, true, |host| {
        decoy(Ipv4Addr::UNSPECIFIED, 4017).start(host)
    });
    is_never_reached("socat of the gateway's user", OWN_USER, 29998, false, |host| {
        let listen = "TCP4-LISTEN:29998,bind=0.0.0.0,fork,reuseaddr";
        socat(host, User::Ana, "socat", 29998, listen, "TCP4:127.0.0.1:18789")
    });
}

#[test]
fn behind_the_seal_another_users_proxy_on_any_port_gets_no_answer_of_the_gateway() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _sound = decoy(Ipv4Addr::LOCALHOST, PORT).start(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, OWN_USER);
    daemon.until("a lease and the seal", |status| !status["lease"].is_null() && status["seal"] == "yes");
    assert_eq!(http::call(&place.host, at(LOOPBACK, PORT)).ok(), Some(401), "root may ask");
    let _nginx = nginx(&place.host, 8090, &format!("listen 0.0.0.0:8090; {}", proxy_to(PORT, "")));
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..100 {
        let answer = http::call(&place.outside, at(LAN, 8090)).unwrap_or(0);
        *answers.entry(answer).or_insert(0) += 1;
        sleep(Duration::from_millis(10));
    }
    println!("measured: sealed, nginx of another user on a port that no policy names answered {answers:?}");
    assert!(!answers.keys().any(|it| [200, 400, 401, 403].contains(it)), "{answers:?}");
    assert!(answers.contains_key(&502), "nginx itself was there: {answers:?}");
}

#[test]
fn a_watcher_that_is_killed_and_started_again_leaves_no_gap_in_the_wall() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, SEALED);
    daemon.until("the seal", |status| status["seal"] == "yes");
    daemon.kill();
    let ((), knocks) = knocked(&place.outside, at(LAN, PORT), HANDS, || {
        // The seal of the dead one stands, and the next one finds this.
        let _exposed = decoy(Ipv4Addr::UNSPECIFIED, PORT).start(&place.host);
        for _ in 0..5 {
            let daemon = Daemon::restart(&place.host, User::Root, &[]);
            daemon.holds();
            sleep(Duration::from_millis(500));
            daemon.kill();
            sleep(Duration::from_millis(300));
        }
    });
    let Knocks { tried, through } = knocks;
    println!(
        "measured: sealed, the watcher killed and started again five times: {through} of {tried} connections came through"
    );
    assert!(tried > 500, "knocked {tried} times");
    assert_eq!(through, 0, "connections came through while the watcher started");
}

/// A panel that bob has open before there is a seal. It listens until the connection ends.
const VISIT: &str = "import socket\n\
                     it = socket.create_connection(('127.0.0.1', 18789))\n\
                     it.sendall(b'GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\
                     Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n')\n\
                     while said := it.recv(4096): print(said, flush=True)\n";
/// A connection on which nothing is said.
const WAITS: &str = "import socket\n\
                     it = socket.create_connection(('127.0.0.1', 18789))\n\
                     print('connected', flush=True)\n\
                     it.recv(1)\n";

/// The seal answered the last packet of such a connection with a reset, the gateway kept its half,
/// and a watcher that found nobody at the other end held for blindness what was its own doing.
#[test]
fn a_user_whom_the_seal_does_not_admit_is_cut_off_and_leaves_no_doubt_behind() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let _gateway = Setup::sound(Version::V2026_9_6).start(host);
    let mut client = host.start(User::Bob, Host::command("python3").args(["-c", VISIT]));
    let mut hers = host.start(User::Ana, Host::command("python3").args(["-c", WAITS]));
    until("a connection of the gateway's own user", || hers.printed().contains("connected"));
    until("the gateway's answer", || client.printed().contains("101 Switching"));
    let daemon = Daemon::start(host, User::Root, &format!("patience = \"3s\"\n{SEALED}"));
    daemon.until("the seal", |status| status["seal"] == "yes");
    assert!(client.ends_or(Duration::from_secs(5), || false), "the seal ends it: {}", client.printed());
    let bobs = format!("( sport = :{PORT} or dport = :{PORT} )");
    let left = host.run(User::Root, &["ss", "-Htne", "state", "established", &bobs]);
    assert!(!left.contains("uid:4002"), "{left}");
    assert!(!hers.ends_or(Duration::from_millis(500), || false), "whoever is admitted stays connected");
    let leases = Leases::listen(host);
    sleep(Duration::from_secs(8));
    let (longest, _) = leases.stop().coverage();
    println!("measured: longest time without a lease after a user was cut off by the seal: {longest:?}");
    let status = daemon.status();
    assert_eq!(status["breaker"], "closed", "{:#?}", daemon.journal());
    let blind = daemon.journal().into_iter().find(|it| it.to_string().contains("holds the other end"));
    assert!(blind.is_none(), "{blind:#?}");
}

/// An nginx that its owner allows, while the seal stands or does not.
fn allowing_nginx(seal: bool) -> String {
    format!(
        "patience = \"3s\"\nseal = {seal}\n{SEALED}[[allowance]]\npath = \"nginx\"\nreason = \"ours\"\nuntil = 2099-01-01T00:00:00Z\n"
    )
}

/// The proxy is told, and is no doubt.
fn kept_away(status: &Value) -> bool {
    let warnings = status["warnings"].as_array();
    let warned = warnings.is_some_and(|it| it.iter().any(|it| it["subject"] == "0.0.0.0:8088"));
    warned && status["verdict"] == "safe" && !status["lease"].is_null()
}

/// Somebody who restarts nftables takes the seal away for a moment, and it is up again before the next look at anything.
#[test]
fn a_seal_that_was_lost_and_put_up_again_ends_the_lease_that_leant_on_it() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _gateway = decoy(Ipv4Addr::LOCALHOST, PORT).start(&place.host);
    // It was there before the seal was.
    let _nginx = nginx(&place.host, 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")));
    let daemon = Daemon::start(&place.host, User::Root, &allowing_nginx(true));
    daemon.until("it is told, and no doubt", kept_away);
    sleep(Duration::from_secs(1));
    let leases = Leases::listen(&place.host);
    place.host.run(User::Root, &["nft", "flush", "ruleset"]);
    sleep(WHILE * 2);
    let cut = leases.stop().cut();
    println!("measured: the lease that leant on a lost seal ended after {cut:?}");
    assert!(cut.is_some(), "a lease that leant on a seal which was not there");
    place.host.run(User::Root, &["nft", "list", "table", "inet", "guardian"]);
    daemon.until("it is asked anew, and kept away again", kept_away);
    daemon.is("closed");
    assert_eq!(http::call(&place.outside, at(LAN, 8088)).unwrap(), 502, "nobody gets in by it");
}

#[test]
fn an_allowed_proxy_behind_the_seal_holds_nothing_up_and_is_judged_anew_when_the_seal_goes() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _gateway = decoy(Ipv4Addr::LOCALHOST, PORT).start(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, &allowing_nginx(true));
    daemon.until("a lease", |status| !status["lease"].is_null());
    let _nginx = nginx(&place.host, 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")));
    daemon.until("it is told, and no doubt", kept_away);
    // Longer than the patience.
    sleep(WHILE);
    daemon.until("it is no doubt", kept_away);
    daemon.is("closed");
    assert_eq!(http::call(&place.outside, at(LAN, 8088)).unwrap(), 502, "nobody gets in by it");
    let (code, said) = daemon.guardian(User::Root, &["check"]);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 3 && words.contains("the watcher says so: guardian status"), "{code}: {said}");

    assert_eq!(daemon.guardian(User::Root, &["trip", "to recover"]).0, 2);
    daemon.until("a recovery", |_| daemon.guardian(User::Root, &["recover", "--yes"]).0 == 1);
    daemon.until("safe rounds", |status| {
        status["half_open"]["safe"].is_u64() && status["half_open"]["safe"] == status["half_open"]["wanted"]
    });
    let (code, said) = daemon.guardian(User::Root, &["close", "--yes"]);
    assert_eq!(code, 0, "{said}");
    daemon.until("it is no doubt", kept_away);

    place.host.write("/mnt/guardian-root/guardian.toml", &allowing_nginx(false));
    let gone = Timestamp::now();
    let (code, said) = daemon.guardian(User::Root, &["config", "reload"]);
    assert_eq!(code, 0, "{said}");
    let asked = |status: &Value| {
        let access = status["probes"].as_array().and_then(|it| it.iter().find(|it| it["probe"] == "access"));
        let looked = access.and_then(|it| it["looked"].as_str()).and_then(|it| it.parse::<Timestamp>().ok());
        looked.is_some_and(|looked| looked > gone)
    };
    let status = daemon.until("its real answers", |status| {
        assert!(
            status["lease"].is_null() || asked(status),
            "a lease on a door that nobody has looked at: {status:#}"
        );
        asked(status) && status["verdict"] == "safe" && !status["lease"].is_null()
    });
    assert_eq!(status["warnings"], serde_json::json!([]), "{status:#}");
    assert_eq!(http::call(&place.outside, at(LAN, 8088)).unwrap(), 401, "it carries the gateway, as allowed");
}
