//! A real gateway is exposed while the watcher runs, in the ways that happen to people.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::gateway::{PORT, SOUND_9_6, Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::knocking::knocked;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::Lab;
use crate::relay::{forward, nginx, proxy_to};
use crate::supervised::until;

/// Short recoveries, so that tests need not wait.
pub(crate) const POLICY: &str = "[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";
pub(crate) const UNSEALED: &str = "seal = false\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";

/// Nobody gets an answer of the gateway there.
#[track_caller]
fn shut(from: &Host, at: SocketAddr) {
    let answer = http::call(from, at);
    assert!(!matches!(answer, Ok(400 | 401 | 403)), "{at} answers as a gateway: {answer:?}");
}

#[test]
fn a_sound_gateway_under_a_watcher_is_served_and_the_circuit_closed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    let status = daemon.until("a lease", |status| !status["lease"].is_null());
    assert!(status["breaker"] == "closed" && status["trip"].is_null() && status["schema"] == 1, "{status:#}");
    assert_eq!(daemon.guardian(User::Root, &["status"]).0, 0);
    assert_eq!(http::call(scene.host(), at(LOOPBACK, PORT)).unwrap(), 401, "loopback is served");
}

/// An upgrade, a crash or a restart by hand, before the owner has closed the circuit.
#[test]
fn a_restart_of_the_watcher_during_a_recovery_blocks_again_and_the_agent_lives_on() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let gateway = scene.host().holders(PORT);
    daemon.guardian(User::Root, &["trip", "by", "hand"]);
    assert_eq!(daemon.holds()["level"], "isolated");
    assert_eq!(daemon.guardian(User::Root, &["recover", "--yes"]).0, 1);
    daemon.kill();
    let daemon = Daemon::restart(scene.host(), User::Root, &[]);
    assert_eq!(daemon.holds()["level"], "isolated");
    shut(scene.host(), at(LOOPBACK, PORT));
    assert_eq!(scene.host().holders(PORT), gateway, "it was not ended");
    daemon.recovers_and_closes();
    assert_eq!(http::call(scene.host(), at(LOOPBACK, PORT)).unwrap(), 401, "served again");
}

#[test]
fn nginx_without_authentication_is_cut_off_and_the_agent_lives_on() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, UNSEALED);
    let gateway = scene.host().holders(PORT);
    let nginx = nginx(scene.host(), 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")));
    let status = daemon.holds();
    assert_eq!(status["level"], "isolated", "{status:#}");
    assert!(status["trip"]["findings"].to_string().contains("panel-republished"), "{status:#}");
    assert!(daemon.state("breaker.lock").exists());
    shut(scene.outside(), at(LAN, 8088));
    shut(scene.host(), at(LOOPBACK, PORT));
    assert_eq!(scene.host().holders(PORT), gateway, "it was not ended");
    // A user who may not recover, and a recovery that is too early.
    assert_eq!(daemon.guardian(User::Bob, &["recover", "--yes"]).0, 2);
    drop(nginx);
    daemon.until("nginx gone", |_| !scene.host().listens(8088));
    daemon.recovers_and_closes();
    assert!(!daemon.state("breaker.lock").exists());
    assert_eq!(http::call(scene.host(), at(LOOPBACK, PORT)).unwrap(), 401, "served again");
    let whole = daemon.guardian(User::Root, &["history", "--verify"]);
    assert_eq!(whole.0, 0, "{}", whole.1);
}

#[test]
fn a_forwarder_is_cut_off_and_its_live_connection_ended() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, UNSEALED);
    let socat = forward(scene.host(), 29999, "0.0.0.0", PORT);
    let face = at(LAN, 29999);
    let status = daemon.holds();
    assert!(status["trip"]["findings"].to_string().contains("29999"), "{status:#}");
    shut(scene.outside(), face);
    drop(socat);
    daemon.until("socat gone", |_| !scene.host().listens(29999));
    daemon.recovers_and_closes();
}

#[test]
fn behind_the_seal_a_gateway_on_the_lan_is_never_reached_not_even_once() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    let ((), knocks) = knocked(&place.outside, at(LAN, PORT), 1, || {
        // It is started on the LAN, and tripped before it answers anybody.
        let mut command = Host::command("/mnt/scripts/start-gateway.sh");
        let config = Setup::lan(Version::V2026_9_6).config.to_string();
        command
            .args(["openclaw@2026.9.6", &PORT.to_string(), "/home/ana/gateway-lan", &config])
            .env("GUARDIAN_LAB_CACHE", "/mnt/cache");
        let mut gateway = place.host.start(User::Ana, &mut command);
        gateway.wait_until("its socket", Duration::from_mins(3), || place.host.listens(PORT));
        let status = daemon.holds();
        assert!(status["trip"]["findings"].to_string().contains("bound-beyond-allowed"), "{status:#}");
        sleep(Duration::from_secs(3));
    });
    println!(
        "measured: sealed, 2026.9.6 on every address: {} of {} connections came through",
        knocks.through, knocks.tried
    );
    assert!(knocks.tried > 100, "knocked {} times", knocks.tried);
    assert_eq!(knocks.through, 0, "connections got through the seal");
}

#[test]
fn on_loopback_the_seal_admits_the_gateways_user_and_nobody_else() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let ask = |user| {
        let url = format!("http://127.0.0.1:{PORT}/");
        let mut curl = Host::command("curl");
        curl.args(["-sS", "-o", "/dev/null", "--max-time", "5", &url]).stderr(std::process::Stdio::null());
        scene.host().spawn(user, &mut curl).wait().unwrap().success()
    };
    // The wall that admits her follows the look that found out whose the gateway is.
    until("whose gateway it is", || ask(User::Ana));
    assert!(!ask(User::Bob), "another user of this host");
    daemon.is("closed");
}

#[test]
fn without_root_the_gateway_is_stopped_and_its_port_taken() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _gateway = Setup::sound(Version::V2026_9_6).start(&place.host);
    let daemon = Daemon::start(&place.host, User::Ana, UNSEALED);
    assert_eq!(daemon.status()["armed"], false, "it says what it lacks");
    let _nginx = nginx(&place.host, 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")));
    let status = daemon.holds();
    assert_eq!(status["level"], "stopped", "{status:#}");
    shut(&place.outside, at(LAN, 8088));
    assert_eq!(http::call(&place.host, at(LOOPBACK, PORT)).unwrap(), 503, "the port is guardian's");
    let holders = place.host.holders(PORT);
    assert_eq!(holders, [daemon.process.pid()], "nobody else holds it");
}

#[test]
fn anybody_may_open_the_circuit_and_only_its_owner_may_close_it() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    daemon.is("closed");
    let (code, said) = daemon.guardian(User::Bob, &["trip", "I have a feeling"]);
    assert_eq!(code, 2, "{said}");
    let status = daemon.holds();
    assert!(status["trip"]["why"].as_str().unwrap().contains("I have a feeling"), "{status:#}");
    for refused in [&["recover", "--yes"][..], &["close", "--yes"]] {
        assert_eq!(daemon.guardian(User::Bob, refused).0, 2);
    }
    assert_eq!(daemon.guardian(User::Root, &["close", "--yes"]).0, 2, "recover comes first");
    daemon.recovers_and_closes();
}
