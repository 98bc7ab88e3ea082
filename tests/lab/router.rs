//! A home: a gateway that its owner lets the local network reach, and a router that anybody may ask
//! to open a port.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::gateway::{PORT, SOUND_9_6, Scene, Setup, Shared, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, NEIGHBOUR, at};
use crate::ready::Lab;
use crate::relay::server;
use crate::report::{Check, Report};
use crate::running::Running;

/// A gateway on the local network alone, with a token.
static HOME: Shared = Shared::new(|| Setup::custom(Version::V2026_9_6, at(LAN, PORT)));

const ALLOWED: &str = "seal = false\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n[cadence]\nrouter = \"1s\"\n\
     [[allowance]]\nnetwork = \"192.168.77.0/24\"\nreason = \"kiosk in the hall\"\nuntil = 2099-01-01T00:00:00Z\n";

/// The router's address on the internet: one that miniupnpd takes for public, in namespaces alone.
const PUBLIC: &str = "5.5.5.1";
/// The port that is opened there.
const OPENED: u16 = 4711;

/// A router with miniupnpd between the local network and a host on the internet.
struct Line<'a> {
    home: &'a Scene,
    internet: Host,
    _miniupnpd: Running,
}

impl<'a> Line<'a> {
    fn to(home: &'a Scene) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let router = home.outside();
        let ip = |host: &Host, line: &str| {
            let command: Vec<&str> = std::iter::once("ip").chain(line.split(' ')).collect();
            host.run(User::Root, &command);
        };
        let internet = Host::new();
        let wan = format!("wan{}", COUNT.fetch_add(1, Ordering::Relaxed));
        router.wire(&wan, &internet, "eth0");
        ip(router, &format!("addr add {PUBLIC}/24 dev {wan}"));
        ip(&internet, "addr add 5.5.5.9/24 dev eth0");
        ip(home.host(), &format!("route replace default via {NEIGHBOUR}"));
        router.run(User::Root, &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
        // What nft_init.sh of the package makes, and nothing else is forwarded.
        router.write(
            "/mnt/lab/router.nft",
            "flush ruleset\ntable inet filter {\n\
             chain miniupnpd { }\nchain prerouting_miniupnpd { }\nchain postrouting_miniupnpd { }\n\
             chain forward { type filter hook forward priority 0; policy drop;\n\
             ct state established,related accept\njump miniupnpd\n}\n\
             chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }\n\
             chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }\n}\n",
        );
        router.run(User::Root, &["nft", "-f", "/mnt/lab/router.nft"]);
        router.write(
            "/mnt/lab/miniupnpd.conf",
            &format!(
                "ext_ifname={wan}\nlistening_ip=eth0\nhttp_port=5000\nenable_natpmp=no\nenable_upnp=yes\n\
                 secure_mode=yes\nuuid=00000000-0000-4000-8000-000000000001\n\
                 upnp_table_name=filter\nupnp_nat_table_name=filter\nupnp_forward_chain=miniupnpd\n\
                 upnp_nat_chain=prerouting_miniupnpd\nupnp_nat_postrouting_chain=postrouting_miniupnpd\n\
                 allow 1-65535 192.168.77.0/24 1-65535\n"
            ),
        );
        let mut command = Host::command("miniupnpd");
        command.args(["-d", "-f", "/mnt/lab/miniupnpd.conf", "-P", "/run/miniupnpd.pid"]);
        let mut miniupnpd = router.start(User::Root, &mut command);
        miniupnpd.wait_until("port 5000", Duration::from_secs(20), || router.listens(5000));
        Self { home, internet, _miniupnpd: miniupnpd }
    }

    /// A program of the host asks the router for a port, as any program may.
    fn opens(&self, to: u16) {
        let (to, opened) = (to.to_string(), OPENED.to_string());
        let said = self.client(&["-a", &LAN.to_string(), &to, &opened, "TCP"]);
        assert!(said.contains("is redirected to internal"), "{said}");
    }

    fn closes(&self) {
        self.client(&["-d", &OPENED.to_string(), "TCP"]);
    }

    fn client(&self, arguments: &[&str]) -> String {
        let command = [&["upnpc", "-m", "eth0"], arguments].concat();
        self.home.host().run(User::Root, &command)
    }

    /// What a stranger on the internet gets.
    fn stranger(&self) -> Option<u16> {
        let door = at(PUBLIC.parse().unwrap(), OPENED);
        if self.internet.reaches(door) { http::call(&self.internet, door).ok() } else { None }
    }
}

/// A router that is only said to be one.
fn device(home: &Scene, mode: &str, more: &[&str]) -> Running {
    let mut command = Host::command("/usr/bin/python3");
    command.args(["/mnt/scripts/device.py", mode, &NEIGHBOUR.to_string()]).args(more);
    let mut device = home.outside().start(User::Root, &mut command);
    device.wait_until("port 5000", Duration::from_secs(20), || home.outside().listens(5000));
    device
}

fn check(home: &Scene) -> Report {
    Check::of(home.host()).under(ALLOWED).run()
}

#[test]
fn a_port_that_a_program_opened_in_the_router_is_the_internet_at_the_gateway() {
    let Some(lab) = Lab::open() else { return };
    let home = HOME.hold(&lab);
    let line = Line::to(&home);
    assert_eq!(line.stranger(), None);
    check(&home).is("safe").is_silent_about("router-mapped");

    line.opens(PORT);
    assert_eq!(line.stranger(), Some(401), "a stranger is at the gateway");
    let report = check(&home);
    report
        .is("exposed")
        .accuses("router-mapped", format!("{PUBLIC}:{OPENED}"))
        .accuses("router-mapped", at(LAN, PORT));
    let report = Check::of(home.host()).by(User::Ana).under(ALLOWED).run();
    report.is("exposed").accuses("router-mapped", format!("{PUBLIC}:{OPENED}"));

    line.closes();
    let _site = server(home.host(), User::Bob, "page", &LAN.to_string(), 8000, &["/etc/hostname"]);
    line.opens(8000);
    assert_eq!(line.stranger().map(|_| ()), Some(()), "a stranger is at another service");
    check(&home).is("safe").is_silent_about("router-mapped");
    line.closes();
}

#[test]
fn a_firewall_that_drops_what_nobody_asked_for_does_not_hide_the_router() {
    let Some(lab) = Lab::open() else { return };
    let home = HOME.hold(&lab);
    let line = Line::to(&home);
    line.opens(PORT);
    let host = home.host();
    host.write(
        "/mnt/lab/strict.nft",
        "table inet strict { chain input { type filter hook input priority 0; policy drop;\n\
         iif lo accept\nct state established,related accept\ntcp dport 18789 accept\n}\n}\n",
    );
    host.run(User::Root, &["nft", "-f", "/mnt/lab/strict.nft"]);
    let report = check(&home);
    host.run(User::Root, &["nft", "delete", "table", "inet", "strict"]);
    report.is("exposed").accuses("router-mapped", format!("{PUBLIC}:{OPENED}"));
    line.closes();
}

#[test]
fn a_router_that_does_not_say_what_it_carries_is_said_to_be_unknown() {
    let Some(lab) = Lab::open() else { return };
    let home = HOME.hold(&lab);
    let device = device(&home, "refuses", &[]);
    check(&home).is("safe").cannot_tell(format!("the router at {NEIGHBOUR}:5000 does not tell"));
    let said = device.printed();
    assert!(
        said.contains(&format!("search from {LAN}")) && said.contains("GetGenericPortMappingEntry"),
        "{said}"
    );
    assert!(!said.contains("AddPortMapping"), "{said}");
}

#[test]
fn a_device_that_sends_its_asker_to_the_askers_own_loopback_is_not_followed() {
    let Some(lab) = Lab::open() else { return };
    let home = HOME.hold(&lab);
    let trap = home.host().listen(at(LOOPBACK, 4999));
    trap.set_nonblocking(true).unwrap();
    let _device = device(&home, "elsewhere", &["http://127.0.0.1:4999/description.xml"]);
    let report = check(&home);
    report.is("safe").cannot_tell("an address elsewhere than itself, which is not followed");
    // The probes that ask every listener knock there too; none asks for what the device named.
    while let Ok((mut stream, _)) = trap.accept() {
        let mut said = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let _ = std::io::Read::read_to_string(&mut stream, &mut said);
        assert!(!said.contains("description.xml"), "{said}");
    }
}

#[test]
fn a_thousand_answers_are_borne_and_counted_as_not_heard() {
    let Some(lab) = Lab::open() else { return };
    let home = HOME.hold(&lab);
    let _device = device(&home, "floods", &[]);
    let report = check(&home);
    report.is("safe").cannot_tell("more devices say that they are routers than can be asked");
    assert!(report.took < Duration::from_secs(20) && report.peak < 200, "{report}");
}

#[test]
fn while_the_gateway_is_on_loopback_the_network_hears_no_question() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let device = device(&scene, "refuses", &[]);
    let report = Check::of(scene.host()).run();
    report.is("safe").is_silent_about("router-mapped");
    assert_eq!(report.probe("router").0, "seen", "{report}");
    assert_eq!(device.printed(), "");
}

#[test]
fn a_port_that_is_opened_while_the_watcher_runs_trips() {
    let Some(lab) = Lab::open() else { return };
    let home = HOME.hold(&lab);
    let line = Line::to(&home);
    let daemon = Daemon::start(home.host(), User::Root, ALLOWED);
    daemon.is("closed");
    line.opens(PORT);
    let status = daemon.holds();
    assert!(status["trip"]["findings"].to_string().contains("router-mapped"), "{status:#}");
    assert_eq!(line.stranger(), None, "the stranger is cut off");
    line.closes();
}
