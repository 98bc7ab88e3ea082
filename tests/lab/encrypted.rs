//! The gate with TLS, as curl and OpenSSL find it: its own certificate or the owner's, a real gateway behind it.

use std::time::{Duration, Instant};

use crate::daemon::{Daemon, guardian};
use crate::gate::{DOOR, Gate, PASSPHRASE, set_passphrase};
use crate::gateway::{Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::Place;
use crate::ready::Lab;
use crate::trips::POLICY;

const GATE: &str = "https://localhost:18700";
const OWNERS: &str = "/mnt/guardian-root/tls";

/// What a command line says, whether or not it succeeds.
fn says(host: &Host, line: &str) -> String {
    host.run(User::Root, &["sh", "-c", &format!("{{ {line} ; }} 2>&1; echo \"exit $?\"")])
}

/// The same until somebody vouches for the gateway.
fn vouched(host: &Host, line: &str) -> String {
    let begun = Instant::now();
    loop {
        let said = says(host, line);
        if !said.contains("HTTP/1.1 503") || begun.elapsed() > Duration::from_secs(40) {
            return said;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn serves(host: &Host, certificate: &str, tls: &str, make: impl Fn()) {
    let policy = format!("patience = \"30s\"\n{POLICY}[gate]\nlisten = [\"{DOOR}\"]\n[gate.tls]\n{tls}");
    let _daemon = Daemon::start(host, User::Root, &policy);
    set_passphrase(host);
    make();
    let gate = Gate::start(host, User::Root);
    let curl = format!("curl -sS --max-time 20 --http1.1 -i --cacert {certificate}");
    let token = format!("-H 'Guardian-Token: {}'", gate.token);

    let page = vouched(host, &format!("{curl} {token} {GATE}/"));
    assert!(page.contains("HTTP/1.1 200") && page.contains("Control</title>"), "{page}");
    let page = vouched(host, &format!("{curl} {GATE}/"));
    assert!(page.contains("HTTP/1.1 401"), "{page}");
    let upgrade = "-N --max-time 5 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
                   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='";
    // Until its time is up: a socket does not end by itself.
    let socket = vouched(host, &format!("{curl} {token} {upgrade} {GATE}/ | tr -d '\\000'"));
    assert!(socket.contains("HTTP/1.1 101") && socket.contains("connect.challenge"), "{socket}");
    let form = format!("-H 'Origin: {GATE}' --data-urlencode 'passphrase={PASSPHRASE}'");
    let signed = says(host, &format!("{curl} {form} {GATE}/_guardian/sign-in"));
    let cookie = signed.lines().find(|line| line.starts_with("set-cookie: ")).unwrap_or(&signed);
    assert!(cookie.contains("; Secure") && cookie.contains("; HttpOnly"), "{signed}");

    // Whoever does not know the certificate does not believe it, and nothing is served without TLS.
    let unknown = says(host, &format!("curl -sS --max-time 20 {GATE}/"));
    assert!(unknown.contains("exit 60"), "{unknown}");
    let plain = http::ask(host, DOOR, "GET /_guardian/sign-in", &[]);
    assert!(plain.is_err(), "{plain:?}");
    let hello = |version: &str| {
        let line = format!(
            "openssl s_client -connect {DOOR} -servername localhost -CAfile {certificate} -verify_return_error \
             -cipher ALL:@SECLEVEL=0 {version} </dev/null"
        );
        says(host, &line)
    };
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = hello(version);
        assert!(said.contains("exit 0") && said.contains(&format!("New, {name}")), "{said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = hello(version);
        // A handshake failure, or a wrong version: it is the server that says no.
        assert!(said.contains("SSL alert number") && !said.contains("exit 0"), "{version}: {said}");
    }
}

#[test]
fn a_real_gateway_behind_tls_with_either_certificate_is_served_and_nothing_is_without() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let _gateway = Setup::behind_a_gate(Version::V2026_9_6).start(host);
    serves(host, "/mnt/guardian-root/state/gate/certificate.pem", "", || {
        let (code, said) = guardian(host, User::Root, User::Root, &["gate", "certificate"]);
        assert_eq!(code, 0, "{said}");
    });
    let make = format!(
        "install -d -m 755 {OWNERS} && cd {OWNERS} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
         -nodes -days 2 -subj /CN=owner -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem \
         2>/dev/null && chown {} key.pem && chmod 600 key.pem",
        User::Gate.id()
    );
    let certificate = format!("{OWNERS}/certificate.pem");
    let tls = format!("certificate = \"{certificate}\"\nkey = \"{OWNERS}/key.pem\"\n");
    serves(host, &certificate, &tls, || {
        host.run(User::Root, &["sh", "-c", &make]);
    });
}
