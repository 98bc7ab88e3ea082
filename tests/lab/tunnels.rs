//! Tunnels that nobody uses: there is no connection and no listener to give them away.
//!
//! ngrok's agent is there as itself, but without a network it has no tunnel to tell of. So most of
//! the programs are played by a copy of Python that is called as they are and gives recorded
//! answers; `tunnel/sitecustomize.py` says how.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::daemon::Daemon;
use crate::gateway::{PORT, SOUND_9_6};
use crate::host::{Host, User};
use crate::ready::Lab;
use crate::report::{Check, check};
use crate::running::Running;
use crate::trips::UNSEALED;

const SOON: Duration = Duration::from_secs(20);
const TAILSCALED: &str = "/run/tailscale/tailscaled.sock";

/// A tunnel by its command line.
struct Tunnel<'a> {
    line: &'a str,
    user: User,
    /// Where its API listens, if it has one.
    listens: &'a str,
    answers: serde_json::Value,
}

impl Tunnel<'_> {
    fn start(&self, host: &Host) -> Running {
        let mut words = self.line.split(' ');
        let program = format!("/mnt/lab/tunnel/{}", words.next().unwrap());
        host.run(User::Root, &["install", "-D", "-m", "755", "/usr/bin/python3", &program]);
        if self.listens == TAILSCALED {
            host.run(User::Root, &["mkdir", "-p", "/run/tailscale"]);
            host.run(User::Root, &["rm", "-f", TAILSCALED]);
        }
        let mut command: Command = Host::command(&program);
        command
            .args(words)
            .env("PYTHONPATH", "/mnt/scripts/tunnel")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LAB_LISTEN", self.listens)
            .env("LAB_ANSWERS", self.answers.to_string());
        let mut running = host.start(self.user, &mut command);
        running.wait_until("its API", SOON, || match self.listens.rsplit_once(':') {
            Some((_, port)) => host.listens(port.parse().unwrap()),
            None => self.listens == "nowhere" || host.path(self.listens).exists(),
        });
        running
    }
}

fn ngrok(to: u16) -> Tunnel<'static> {
    let answer = json!({"tunnels": [{
        "name": "panel", "uri": "/api/tunnels/panel", "public_url": "https://panel.ngrok.example", "proto": "https",
        "config": {"addr": format!("http://localhost:{to}"), "inspect": true},
        "metrics": {"conns": {"count": 0}}}], "uri": "/api/tunnels"});
    Tunnel {
        line: "ngrok start --all",
        user: User::Ana,
        listens: "127.0.0.1:4040",
        answers: json!({"/api/tunnels": answer.to_string()}),
    }
}

fn cloudflared(to: u16) -> Tunnel<'static> {
    let rule = |name: &str, service: &str| json!({"hostname": name, "path": null, "service": service, "Handlers": null});
    let answer = json!({"version": 3, "config": {"ingress": [
        rule("panel.example", &format!("http://localhost:{to}")), rule("", "http_status:404")],
        "warp-routing": {"connectTimeout": 5}, "originRequest": {}}});
    Tunnel {
        line: "cloudflared tunnel run",
        user: User::Root,
        listens: "127.0.0.1:20241",
        answers: json!({"/config": answer.to_string(), "/quicktunnel": r#"{"hostname":""}"#}),
    }
}

/// In the foreground: the funnel lasts as long as its command.
fn tailscaled(to: u16, funnel: bool) -> Tunnel<'static> {
    let place = "box.tail1234.ts.net:443";
    let mut session = json!({"TCP": {"443": {"HTTPS": true}},
        "Web": {place: {"Handlers": {"/": {"Proxy": format!("http://127.0.0.1:{to}")}}}}});
    if funnel {
        session["AllowFunnel"] = json!({place: true});
    }
    let answer = json!({"Foreground": {"6a1f3b7c9d2e4f80": session}});
    Tunnel {
        line: "tailscaled",
        user: User::Root,
        listens: TAILSCALED,
        answers: json!({"/localapi/v0/serve-config": answer.to_string()}),
    }
}

/// Makes a tunnel that leads to a port.
type Make = fn(u16) -> Tunnel<'static>;

/// The same tunnel without an API.
fn mute(tunnel: Tunnel<'_>) -> Tunnel<'_> {
    Tunnel { listens: "nowhere", ..tunnel }
}

#[test]
fn an_idle_public_tunnel_is_exposed_protected_or_unknown_by_its_own_word() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let tunnels: [(Make, &str); 2] =
        [(ngrok, "https://panel.ngrok.example"), (cloudflared, "https://panel.example")];
    for (make, public) in tunnels {
        let tunnel = make(PORT).start(host);
        check(host)
            .is("exposed")
            .accuses("tunnel-published", public)
            .accuses("tunnel-published", tunnel.pid());
        drop(tunnel);
        let tunnel = make(3000).start(host);
        check(host).is("safe").is_silent_about("tunnel-published");
        drop(tunnel);
        let tunnel = mute(make(PORT)).start(host);
        check(host).is("blind").cannot_tell(tunnel.pid());
        drop(tunnel);
    }
    check(host).is("safe");
}

/// The real agent.
fn real_ngrok(host: &Host, arguments: &[&str]) -> Running {
    let mut command = Host::command("/mnt/cache/npm/ngrok/ngrok");
    command.args(arguments).args(["--log", "stdout"]);
    let mut agent = host.start(User::Ana, &mut command);
    agent.wait_until("its web interface", SOON, || host.listens(4040));
    agent
}

#[test]
fn the_real_agent_of_ngrok_is_understood() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    for (arguments, verdict) in
        [(["start", "--none"], "safe"), (["http", "3000"], "safe"), (["http", "18789"], "exposed")]
    {
        let agent = real_ngrok(host, &arguments);
        let report = check(host);
        report.is(verdict).is_silent_about("tunnel-published");
        if verdict == "exposed" {
            report.accuses("forwarder-attached", agent.pid());
        }
        drop(agent);
    }
}

#[test]
fn whoever_cannot_see_whose_socket_it_is_believes_a_tunnel_only_when_it_accuses() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let as_ana = || Check::of(host).by(User::Ana).run();
    // Ana's own is seen by her, root's is not.
    let tunnel = ngrok(3000).start(host);
    as_ana().is("safe");
    drop(tunnel);
    let tunnel = cloudflared(PORT).start(host);
    as_ana().is("exposed").accuses("tunnel-published", "https://panel.example");
    drop(tunnel);
    let tunnel = cloudflared(3000).start(host);
    as_ana().is("blind").cannot_tell("whether it was cloudflared that answered");
    drop(tunnel);
}

#[test]
fn what_tailscaled_serves_within_the_vpn_is_noted_and_a_funnel_is_exposed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    for user in [User::Root, User::Ana] {
        let check = || Check::of(host).by(user).run();
        let tunnel = tailscaled(PORT, true).start(host);
        check().is("exposed").accuses("tunnel-published", "https://box.tail1234.ts.net:443/");
        drop(tunnel);
        let tunnel = tailscaled(PORT, false).start(host);
        check().is("safe").notes("tunnel-published", "info", "https://box.tail1234.ts.net:443/");
        drop(tunnel);
        let tunnel = tailscaled(3000, true).start(host);
        check().is("safe").is_silent_about("tunnel-published");
        drop(tunnel);
        host.run(User::Root, &["rm", TAILSCALED]);
        let tunnel = mute(tailscaled(PORT, true)).start(host);
        // It serves a VPN unless it is told otherwise.
        check().is("safe").cannot_tell("tailscaled cannot be asked");
        drop(tunnel);
    }
    // Somebody else in its place, while it runs.
    let real = mute(tailscaled(PORT, true)).start(host);
    let other = Tunnel { line: "helper", ..tailscaled(3000, false) }.start(host);
    check(host).is("safe").cannot_tell("whether it was tailscaled that answered");
    drop((real, other));
}

#[test]
fn a_tunnel_that_is_told_by_a_file_is_judged_by_it() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    let told = |port: u16| {
        let text = format!(
            "serverAddr = \"tunnel.example\"\n[[proxies]]\nname = \"a\"\ntype = \"tcp\"\nlocalPort = {port}\n"
        );
        host.write("/mnt/lab/frpc.toml", &text);
        // From where it was started, as people do.
        let line = "frpc -c mnt/lab/frpc.toml";
        Tunnel { line, user: User::Ana, listens: "nowhere", answers: json!({}) }.start(host)
    };
    let tunnel = told(PORT);
    check(host).is("exposed").accuses("forwarder-attached", tunnel.pid());
    drop(tunnel);
    let tunnel = told(3000);
    check(host).is("safe");
    host.run(User::Root, &["rm", "/mnt/lab/frpc.toml"]);
    check(host).is("blind").cannot_tell(tunnel.pid());
    drop(tunnel);
}

#[test]
fn commands_of_tunnels_that_carry_nothing_are_nobodys_business() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    for line in [
        "ngrok config check",
        "cloudflared access tcp",
        "ngrok http 3000",
        "chisel server",
        "bore local 3000",
    ] {
        let idle = Tunnel { line, user: User::Ana, listens: "nowhere", answers: json!({}) }.start(host);
        check(host).is("safe");
        drop(idle);
    }
}

#[test]
fn the_watcher_trips_on_a_funnel_that_nobody_has_come_by_yet() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, UNSEALED);
    daemon.is("closed");
    let tunnel = tailscaled(PORT, true).start(scene.host());
    let status = daemon.holds();
    assert!(status["trip"]["findings"].to_string().contains("tunnel-published"), "{status:#}");
    drop(tunnel);
    daemon.recovers_and_closes();
}
