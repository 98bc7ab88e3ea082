//! An unprivileged user's check on a host that others use too.

use std::thread::sleep;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::gateway::{SOUND_9_6, Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, Place, at};
use crate::ready::Lab;
use crate::relay::{apache, caddy, nginx, other, proxy_to, reload_caddy, server, sshd};
use crate::report::Check;
use crate::running::Running;
use crate::supervised::until;
use crate::trips::POLICY;

fn redis(host: &Host, more: &[&str]) -> Running {
    let arguments = [&["--save", "", "--dir", "/home/data"], more].concat();
    other(host, User::Data, 6379, "redis-server", &arguments)
}

#[test]
fn an_ordinary_host_with_a_sound_gateway_is_safe_for_its_owner() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let _sshd = sshd(host);
    // On loopback, as Debian sets it up.
    let _database = redis(host, &["--bind", "127.0.0.1", "-::1"]);
    let _web = nginx(host, 80, "listen 0.0.0.0:80; location / { return 200 \"hello\"; }");
    assert_eq!(http::ask(scene.outside(), at(LAN, 80), "GET /", &[]).unwrap().status, 200);
    for user in [User::Ana, User::Root] {
        Check::of(host).by(user).run().is("safe");
    }
}

/// One slow answer to a question that is put once a minute left the watcher blind for longer than its patience.
#[test]
fn a_site_that_is_slow_for_a_moment_is_asked_again_before_the_patience_ends() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let _gateway = Setup::sound(Version::V2026_9_6).start(host);
    let tired = "/mnt/lab/tired";
    host.write(tired, "");
    let _site = server(host, User::Bob, "tired", "127.0.0.1", 3000, &[tired]);
    let _web = nginx(host, 80, &format!("listen 0.0.0.0:80; {}", proxy_to(3000, "")));
    let daemon = Daemon::start(host, User::Root, POLICY);
    let blind =
        |journal: Vec<serde_json::Value>| journal.iter().any(|it| it.to_string().contains("0.0.0.0:80"));
    until("a look that does not tell what is behind the site", || blind(daemon.journal()));
    host.run(User::Root, &["rm", tired]);
    // Longer than the patience.
    sleep(Duration::from_secs(13));
    let journal = daemon.journal();
    assert!(journal.iter().all(|it| it["what"] != "tripped"), "{journal:#?}");
    daemon.until("a lease", |status| !status["lease"].is_null());
}

/// Within TLS it answers to nobody who does not name one of its sites.
#[test]
fn a_caddy_with_sites_of_its_own_is_no_door_until_one_of_them_leads_to_the_gateway() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let gateway = Setup::sound(Version::V2026_9_6).start(host);
    let _app = nginx(host, 3000, "listen 127.0.0.1:3000; location / { return 200 \"hello\"; }");
    let blog = "blog.example {\n respond hello\n}\napp.example {\n reverse_proxy localhost:3000\n}";
    let caddy = caddy(host, 443, blog);
    Check::of(host).run().is("safe");
    // Whose it is, and what it says of itself, only root sees.
    Check::of(host).by(User::Ana).run().is("blind").cannot_tell(":443");
    let daemon = Daemon::start(host, User::Root, POLICY);
    // Longer than the patience.
    sleep(Duration::from_secs(13));
    daemon.until("a lease", |status| !status["lease"].is_null());
    assert!(daemon.journal().iter().all(|it| it["what"] != "tripped"), "{:#?}", daemon.journal());

    reload_caddy(
        host,
        &format!("{blog}\nagent.example {{\n reverse_proxy 127.0.0.1:{}\n}}", gateway.setup.port),
    );
    let status = daemon.is("open");
    let found = status["trip"]["findings"].to_string();
    for part in ["panel-republished", "reverse_proxy 127.0.0.1:18789", &format!("pid {}", caddy.pid())] {
        assert!(found.contains(part), "{part}: {status:#}");
    }
}

/// To a bare address it answers with its first site, whatever its others lead to; and it leads anywhere with a module alone.
#[test]
fn a_web_server_that_can_relay_is_unknown_unless_the_seal_keeps_it_from_the_gateway() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let gateway = Setup::sound(Version::V2026_9_6).start(host);
    let plain = apache(host, 8090, &[], "");
    assert_eq!(http::ask(&place.outside, at(LAN, 8090), "GET /", &[]).unwrap().status, 404);
    for user in [User::Ana, User::Root] {
        Check::of(host).by(user).run().is("safe");
    }
    drop(plain);
    let port = gateway.setup.port;
    let site = format!(
        "<VirtualHost *:8091>\nServerName plain.example\n</VirtualHost>\n<VirtualHost *:8091>\nServerName bot.example\n\
         ProxyAddHeaders Off\nProxyPass / http://127.0.0.1:{port}/ disablereuse=On\n</VirtualHost>\n"
    );
    let _relay = apache(host, 8091, &["proxy", "proxy_http"], &site);
    let named = |name: &str| {
        http::ask(&place.outside, at(LAN, 8091), &format!("GET http://{name}/"), &[]).unwrap().status
    };
    assert_eq!(
        (named("plain.example"), named("bot.example")),
        (404, 200),
        "it leads to the gateway by its name alone"
    );
    Check::of(host).run().is("blind").cannot_tell("0.0.0.0:8091");

    let daemon = Daemon::start(host, User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    // Longer than the patience.
    sleep(Duration::from_secs(13));
    daemon.until("a lease", |status| !status["lease"].is_null());
    assert!(daemon.journal().iter().all(|it| it["what"] != "tripped"), "{:#?}", daemon.journal());
    assert_ne!(named("bot.example"), 200, "the seal keeps it away");
}

#[test]
fn a_database_on_every_address_that_hangs_up_on_a_web_client_is_no_door() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _database = redis(scene.host(), &[]);
    for user in [User::Ana, User::Root] {
        Check::of(scene.host()).by(user).run().is("safe");
    }
}

#[test]
fn a_silent_listener_of_somebody_else_cannot_be_told_from_a_door() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _silent = server(scene.host(), User::Bob, "silent", "0.0.0.0", 7777, &[]);
    Check::of(scene.host()).by(User::Ana).run().is("blind").cannot_tell(":7777");
    // Root sees whose it is, and that it has nothing to do with the gateway.
    Check::of(scene.host()).run().is("safe");
}

#[test]
fn the_gateway_of_somebody_else_is_never_safe_to_who_cannot_see_whose_it_is() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    // Bob sees that a gateway answers, and closed; not which process it is.
    Check::of(scene.host()).by(User::Bob).run().is("blind");
}
