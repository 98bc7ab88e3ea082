//! The gate in front of real gateways: who gets through, and that nothing does without the watcher.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, state_file};
use crate::gate::{DOOR, Gate, PASSPHRASE, Socket, set_passphrase};
use crate::gateway::{GATED_9_6, PORT, Setup, TOKEN, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, VPN, at};
use crate::ready::Lab;
use crate::relay::forward;
use crate::trips::POLICY;

/// A gateway that hangs for a moment on a busy machine opens no circuit: what is tested is the gate.
fn patient() -> String {
    format!("patience = \"30s\"\n{POLICY}")
}

/// The same, and the gate on the VPN's address too.
fn on_the_vpn() -> String {
    format!("{}[gate]\nlisten = [\"127.0.0.1:18700\", \"{VPN}:18700\"]\n", patient())
}

/// What a gateway and its gate do for a client of this host and for one of the VPN.
fn served(version: Version) {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _gateway = Setup::behind_a_gate(version).start(&place.host);
    let daemon = Daemon::start(&place.host, User::Root, &on_the_vpn());
    let gate = Gate::start(&place.host, User::Root);
    daemon.until("a lease", |status| !status["lease"].is_null());
    gate.until(200);

    let page = Gate::vouched(|| gate.ask("GET /"));
    assert!(page.text.contains("Control</title>"), "{}", page.text);
    for credential in ["X: y", "Authorization: Bearer gdn_wrong", &format!("Authorization: Bearer {TOKEN}")] {
        let answer = Gate::vouched(|| http::ask(&place.host, DOOR, "GET /", &[credential]).unwrap());
        assert_eq!(answer.status, 401, "{credential}: {}", answer.text);
        assert!(!answer.text.contains("Control</title>"));
    }
    // The gateway's own credential goes through beside the gate's.
    let ours = format!("Guardian-Token: {}", gate.token);
    let theirs = format!("Authorization: Bearer {TOKEN}");
    let from = |host: &Host, door, request: &str, fields: &[&str]| {
        Gate::vouched(|| http::ask(host, door, request, fields).unwrap()).status
    };
    let with = |fields: &[&str]| from(&place.host, DOOR, "POST /tools/invoke", fields);
    assert_eq!(with(&[&ours]), 401, "the gateway asks for its own");
    assert_eq!(with(&[&ours, &theirs]), 400, "with both the call is heard, and it is empty");

    let socket = gate.socket(&place.host, DOOR).unwrap();
    assert!(socket.first.contains("nonce"), "{}", socket.first);

    // A client of the VPN gets through, and what it says of itself does not.
    let vpn = at(VPN, 18700);
    let forged =
        ["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Tailscale-User-Login: ana@example.com"];
    let mut fields: Vec<&str> = forged.to_vec();
    fields.push(&ours);
    assert_eq!(from(&place.outside, vpn, "GET /", &fields), 200);
    assert_eq!(from(&place.outside, vpn, "POST /tools/invoke", &fields), 401);
    // Nor does what a proxy on this host says: whoever comes through it is nobody of this host.
    assert_eq!(from(&place.host, DOOR, "POST /tools/invoke", &fields), 401);
    // It cannot name this machine's loopback, which the gateway might take for a client of its own.
    let misnamed = || {
        let mut stream = place.outside.connect(vpn).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: localhost:18700\r\n{ours}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        http::Answer { status: text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0), text }
    };
    let answer = Gate::vouched(misnamed);
    assert_eq!(answer.status, 421, "{}", answer.text);
    // Nobody hears the gate on the LAN.
    assert!(!place.outside.reaches(at(LAN, 18700)));

    // The watcher has nothing against a gate.
    thread::sleep(Duration::from_secs(12));
    let status = daemon.until("a safe verdict", |status| status["verdict"] == "safe");
    assert!(status["breaker"] == "closed" && status["trip"].is_null(), "{status:#}");
    drop(socket);
}

#[test]
fn a_gateway_of_2026_1_24_is_reached_through_the_gate_and_only_with_a_credential() {
    served(Version::V2026_1_24);
}

#[test]
fn a_gateway_of_2026_1_29_is_reached_through_the_gate_and_only_with_a_credential() {
    served(Version::V2026_1_29);
}

#[test]
fn a_gateway_of_2026_9_6_is_reached_through_the_gate_and_only_with_a_credential() {
    served(Version::V2026_9_6);
}

#[test]
fn a_trip_shuts_the_gate_and_cuts_the_open_socket() {
    let Some(lab) = Lab::open() else { return };
    let scene = GATED_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, &patient());
    let gate = Gate::start(scene.host(), User::Root);
    gate.until(200);
    let socket = gate.socket(scene.host(), DOOR).unwrap_or_else(|said| panic!("{said}"));
    let begun = Instant::now();
    let socat = forward(scene.host(), 29999, "0.0.0.0", PORT);
    let (said, _) = socket.ends(Duration::from_secs(20)).expect("the socket is cut");
    let cut = begun.elapsed();
    gate.until(503);
    println!(
        "measured: a forwarder's start to the socket's end {cut:?}, to the blocked page {:?}",
        begun.elapsed()
    );
    // Half a second at rest; this is a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(5), "{cut:?} {:?}", begun.elapsed());
    assert!(said.ends_with(b"\x88\x09\x03\xf5blocked"), "it is told so: {said:?}");
    let answer = gate.ask("GET /");
    assert!(answer.text.to_ascii_lowercase().contains("retry-after: "), "{}", answer.text);
    assert!(!answer.text.contains("29999") && !answer.text.contains("socat"), "an outsider learns no more");
    let token = format!("Guardian-Token: {}", gate.token);
    assert!(Socket::open(scene.host(), DOOR, &token).is_err_and(|said| said.starts_with("HTTP/1.1 503")));
    drop(socat);
    daemon.until("socat gone", |_| !scene.host().listens(29999));
    daemon.holds();
    daemon.recovers_and_closes();
    gate.until(200);
}

#[test]
fn half_open_lets_this_host_in_and_nobody_of_the_vpn() {
    let Some(lab) = Lab::open() else { return };
    let scene = GATED_9_6.hold(&lab);
    let daemon = Daemon::start(scene.host(), User::Root, &on_the_vpn());
    let gate = Gate::start(scene.host(), User::Root);
    gate.until(200);
    let vpn = at(VPN, 18700);
    let ours = format!("Guardian-Token: {}", gate.token);
    let outside = || http::ask(scene.outside(), vpn, "GET /", &[&ours]).map_or(0, |answer| answer.status);
    let lets_in = |why: &str| {
        let begun = Instant::now();
        while outside() != 200 {
            assert!(begun.elapsed() < Duration::from_secs(30), "{why}, and the VPN is not let in");
            thread::sleep(Duration::from_millis(50));
        }
    };
    lets_in("closed");
    assert_eq!(daemon.guardian(User::Root, &["trip", "a rehearsal"]).0, 2);
    daemon.holds();
    gate.until(503);
    assert_ne!(outside(), 200);
    let (code, said) = daemon.guardian(User::Root, &["recover", "--yes"]);
    assert_eq!(code, 1, "{said}");
    gate.until(200);
    assert_ne!(outside(), 200, "half-open is for this host");
    daemon.until("safe rounds", |status| status["half_open"]["safe"].as_u64() >= Some(3));
    assert_ne!(outside(), 200);
    assert_eq!(daemon.guardian(User::Root, &["close", "--yes"]).0, 0);
    lets_in("closed again");
}

/// A VPN that is down when the gate starts, and one whose card is made anew while it runs: the new card has another
/// number, by which the kernel keeps what a socket hears.
#[test]
fn a_vpn_that_comes_late_or_comes_anew_is_heard_and_loopback_is_served_all_the_time() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let goes = || drop(place.host.run(User::Root, &["ip", "link", "del", "tailscale0"]));
    let comes = || {
        place.host.wire("tailscale0", &place.outside, "tailscale0");
        place.host.run(User::Root, &["ip", "addr", "add", "100.100.1.2/24", "dev", "tailscale0"]);
        place.outside.run(User::Root, &["ip", "addr", "add", "100.100.1.1/24", "dev", "tailscale0"]);
    };
    goes();
    let daemon = Daemon::start(&place.host, User::Root, &on_the_vpn());
    let gate = Gate::start(&place.host, User::Root);
    let ours = format!("Guardian-Token: {}", gate.token);
    let signs_in = |host: &Host, door| {
        http::ask(host, door, "GET /_guardian/sign-in", &[&ours]).map_or(0, |answer| answer.status)
    };
    let vpn = at(VPN, 18700);
    let hears = |why: &str| {
        let begun = Instant::now();
        while signs_in(&place.outside, vpn) != 200 {
            let printed = gate.process.printed();
            assert!(begun.elapsed() < Duration::from_secs(20), "{why}, and nobody of it is heard\n{printed}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    let told = |waits: bool| {
        daemon.until("what the gate waits for", |status| {
            status["gate"] == "running"
                && status["degraded"].to_string().contains("waits for 100.100.1.2") == waits
        });
    };
    assert_eq!(signs_in(&place.host, DOOR), 200, "loopback waits for nobody");
    told(true);
    comes();
    hears("the VPN has come");
    told(false);
    goes();
    told(true);
    comes();
    hears("the VPN has come again");
    // So fast that nobody sees it gone.
    goes();
    comes();
    hears("the VPN's card is another one");
    assert_eq!(signs_in(&place.host, DOOR), 200);
    assert!(!place.outside.reaches(at(LAN, 18700)), "and nobody of the LAN is");
}

/// How long what was open goes on after something befell the watcher.
fn shuts_after(gate: &Gate<'_>, host: &Host, what: &str, befall: impl FnOnce()) {
    gate.until(200);
    let socket = gate.socket(host, DOOR).unwrap_or_else(|said| panic!("{said}"));
    befall();
    let begun = Instant::now();
    socket.ends(Duration::from_secs(20)).expect("the socket is cut");
    let cut = begun.elapsed();
    gate.until(503);
    println!(
        "measured: {what}: the socket ended after {cut:?}, the page was there after {:?}",
        begun.elapsed()
    );
    // A lease lives three rounds of 200 ms; this is a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {cut:?} {:?}", begun.elapsed());
}

#[test]
fn without_its_watcher_the_gate_is_shut_within_a_lease_and_opens_by_itself_with_a_fresh_one() {
    let Some(lab) = Lab::open() else { return };
    let scene = GATED_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, &patient());
    let gate = Gate::start(host, User::Root);
    shuts_after(&gate, host, "frozen", || daemon.process.signal(Signal::SIGSTOP));
    daemon.process.signal(Signal::SIGCONT);
    gate.until(200);
    shuts_after(&gate, host, "killed", || daemon.process.signal(Signal::SIGKILL));
    let socket = state_file(host, User::Root, "../run/control.sock");
    daemon.kill();
    // Somebody else answers in its place: the gate hears root alone, and here root tells it nonsense.
    std::fs::remove_file(&socket).unwrap();
    let nonsense =
        r#"printf '{"v":1,"ok":{"reach":"allowed","serial":1,"expires":"soon"}}\nnonsense\n'; sleep 1"#;
    let address = "UNIX-LISTEN:/mnt/guardian-root/run/control.sock,fork,mode=666";
    let mut command = Host::command("socat");
    command.args([address, &format!("SYSTEM:{nonsense}")]);
    let liar = host.start(User::Root, &mut command);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(gate.ask("GET /").status, 503, "a liar opens nothing");
    liar.signal(Signal::SIGKILL);
    drop(liar);
    let _ = std::fs::remove_file(&socket);
    let daemon = Daemon::restart(host, User::Root, &[]);
    let opened = gate.until(200);
    println!("measured: {opened:?} from the restarted watcher's first round to an open gate");
    daemon.is("closed");
}

/// Stands in a gateway's place and keeps what it is sent. The watcher asks there, too: what the test
/// sends is marked.
fn kept(host: &Host, port: u16) -> Arc<Mutex<Vec<u8>>> {
    let kept = Arc::<Mutex<Vec<u8>>>::default();
    let (listener, keeping) = (host.listen(at(LOOPBACK, port)), Arc::clone(&kept));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let keeping = Arc::clone(&keeping);
            thread::spawn(move || {
                let mut part = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut part) {
                    keeping.lock().unwrap().extend_from_slice(&part[..count]);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            });
        }
    });
    kept
}

#[test]
fn nothing_is_forwarded_whatever_the_reason_for_a_refusal() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let kept = kept(host, 19000);
    let marked = || String::from_utf8_lossy(&kept.lock().unwrap()).contains("/marked");
    let policy = format!(
        "{POLICY}[gate]\ngateway = \"127.0.0.1:19000\"\nlisten = [\"127.0.0.1:18700\", \"{LAN}:18700\"]\n\
         rate = {{ per_second = 2, burst = 200 }}\n\
         [[allowance]]\nnetwork = \"{LAN}\"\nreason = \"the gate\"\nuntil = 2099-01-01T00:00:00Z\n"
    );
    let daemon = Daemon::start(host, User::Root, &policy);
    let gate = Gate::start(host, User::Root);
    gate.until(200);
    let none = |reason: &str, from: &Host, door, request: &str, status: &[u16]| {
        let ask = || {
            let mut stream = from.connect(door).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut part = [0; 4096];
            let count = stream.read(&mut part).unwrap_or(0);
            let text = String::from_utf8_lossy(&part[..count]).into_owned();
            let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            http::Answer { status, text }
        };
        let answer = if status.contains(&503) { ask() } else { Gate::vouched(ask) };
        let (got, said) = (answer.status, answer.text);
        assert!(status.contains(&got), "{reason}: {said}");
        thread::sleep(Duration::from_millis(20));
        assert!(!marked(), "{reason}: something was forwarded");
    };
    let token = gate.token.clone();
    let get = |fields: &str| format!("GET /marked HTTP/1.1\r\nHost: 127.0.0.1:18700\r\n{fields}\r\n");
    let ours = format!("Guardian-Token: {token}\r\n");
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    none("source", &place.outside, at(LAN, 18700), &get(&ours), &[403]);
    none("host", host, DOOR, &get(&ours).replace("127.0.0.1:18700", "evil.test"), &[421]);
    none("origin", host, DOOR, &get(&format!("{ours}Origin: http://evil.test\r\n")), &[403]);
    none(
        "origin of a socket",
        host,
        DOOR,
        &get(&format!("{ours}{socket}Origin: http://evil.test\r\n")),
        &[403],
    );
    none(
        "a form of nowhere",
        host,
        DOOR,
        &get("Cookie: guardian_session=0\r\n").replace("GET", "POST"),
        &[403],
    );
    none("a call without credentials", host, DOOR, &get("").replace("GET", "POST"), &[401]);
    none("no credential", host, DOOR, &get(""), &[401]);
    none(
        "no credential for a socket",
        host,
        DOOR,
        &get(&format!("{socket}Origin: http://127.0.0.1:18700\r\n")),
        &[401],
    );
    none("a wrong credential", host, DOOR, &get("Guardian-Token: gdn_wrong\r\n"), &[401]);
    none("a forged session", host, DOOR, &get("Cookie: guardian_session=0\r\n"), &[401]);
    none(
        "malformed",
        host,
        DOOR,
        &get(&format!("{ours}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")),
        &[400],
    );
    none("two requests in one", host, DOOR, &format!("{}GET /marked HTTP/1.1\r\n\r\n", get("")), &[401]);
    for _ in 0..7 {
        let _ = http::ask(host, DOOR, "GET /", &["Guardian-Token: gdn_wrong"]);
    }
    none("locked out", host, DOOR, &get("Guardian-Token: gdn_wrong\r\n"), &[429]);
    let spent = |ask: &dyn Fn() -> u16| (0..2000).any(|_| ask() == 429);
    assert!(spent(&|| http::ask(host, DOOR, "GET /", &[]).unwrap().status));
    none("budget", host, DOOR, &get(""), &[429]);
    let answer = Gate::vouched(|| gate.ask("GET /"));
    assert_eq!(answer.status, 200, "whoever has a credential has a budget of their own: {}", answer.text);
    assert!(spent(&|| gate.ask("GET /").status));
    none("the budget of a credential", host, DOOR, &get(&ours), &[429]);
    daemon.process.signal(Signal::SIGSTOP);
    gate.until(503);
    none("blocked", host, DOOR, &get(&ours), &[503]);
    none("blocked, a socket", host, DOOR, &get(&format!("{ours}{socket}")), &[503]);
    daemon.process.signal(Signal::SIGCONT);
    gate.until(200);
    // What is admitted arrives, or the test would show nothing.
    let begun = Instant::now();
    while !marked() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing arrives at all");
        gate.ask("GET /marked");
    }
}

#[test]
fn a_passphrase_opens_a_session_and_the_way_back_from_the_page() {
    let Some(lab) = Lab::open() else { return };
    let scene = GATED_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, &patient());
    set_passphrase(host);
    let gate = Gate::start(host, User::Root);
    gate.until(200);
    let form = |path: &str, body: &str, fields: &str| {
        let mut stream = host.connect(DOOR).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:18700\r\nOrigin: http://127.0.0.1:18700\r\n{fields}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let right = format!("passphrase={}", PASSPHRASE.replace(' ', "+"));
    assert!(form("/_guardian/sign-in", "passphrase=wrong", "").starts_with("HTTP/1.1 401"));
    let planted = form("/_guardian/sign-in", &right, "Cookie: guardian_session=planted\r\n");
    assert!(planted.starts_with("HTTP/1.1 303"), "{planted}");
    let cookie = planted.split("guardian_session=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(cookie.len() == 64 && cookie != "planted");
    let signed_in = format!("Cookie: guardian_session={cookie}");
    let get = |path: &str| {
        http::ask(host, DOOR, &format!("GET {path}"), &[&signed_in, "Accept: text/html"]).unwrap()
    };
    assert!(Gate::vouched(|| get("/")).text.contains("Control</title>"));
    // A page of another site cannot sign anybody in or out.
    let mut foreign = host.connect(DOOR).unwrap();
    write!(
        foreign,
        "POST /_guardian/sign-in HTTP/1.1\r\nHost: 127.0.0.1:18700\r\nOrigin: http://evil.test\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{right}",
        right.len()
    )
    .unwrap();
    let mut text = String::new();
    foreign.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");

    let socat = forward(host, 29999, "0.0.0.0", PORT);
    daemon.holds();
    let blocked = get("/");
    assert!(blocked.status == 503 && blocked.text.contains("/_guardian/status"), "{}", blocked.text);
    let page = get("/_guardian/status");
    assert!(page.status == 200 && page.text.contains("29999") && page.text.contains("OPEN"), "{}", page.text);
    let cookie = format!("{signed_in}\r\n");
    // Whoever asks the watcher itself gets no further: the gate's user not without it, a neighbour not with it.
    let asks = |user, passphrase: &str| {
        let line = format!(r#"{{"v":1,"ask":"recover","passphrase":"{passphrase}"}}"#);
        let ask = format!("echo '{line}' | socat -t 30 - UNIX-CONNECT:/mnt/guardian-root/run/control.sock");
        host.run(user, &["bash", "-c", &ask])
    };
    let said = asks(User::Gate, "correct horse battery stapler");
    assert!(said.contains("that is not the passphrase"), "{said}");
    let said = asks(User::Bob, PASSPHRASE);
    assert!(said.contains("not-owner"), "{said}");
    daemon.is("open");
    let refused = form("/_guardian/recover", &right, &cookie);
    assert!(refused.starts_with("HTTP/1.1 409"), "the review fails while it is exposed: {refused}");
    drop(socat);
    daemon.until("socat gone", |_| !host.listens(29999));
    let begun = Instant::now();
    while !form("/_guardian/recover", &right, &cookie).starts_with("HTTP/1.1 303") {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(500));
    }
    daemon.is("half-open");
    assert!(form("/_guardian/close", "passphrase=wrong", &cookie).starts_with("HTTP/1.1 401"));
    daemon.until("safe rounds", |status| status["half_open"]["safe"].as_u64() >= Some(3));
    assert!(form("/_guardian/close", &right, &cookie).starts_with("HTTP/1.1 303"));
    daemon.is("closed");
    gate.until(200);
    assert!(form("/_guardian/sign-out", "", &cookie).starts_with("HTTP/1.1 303"));
    assert_eq!(Gate::vouched(|| http::ask(host, DOOR, "GET /", &[&signed_in]).unwrap()).status, 401);
}
