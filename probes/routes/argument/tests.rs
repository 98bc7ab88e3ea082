use super::*;

fn of(line: &str) -> Vec<Instruction> {
    let mut words = line.split(' ').map(str::to_owned);
    let program = words.next().unwrap();
    instructions(&program, &words.collect::<Vec<_>>())
}

/// Host and port to which a line carries, if it carries to one.
fn target(line: &str) -> Option<(String, u16)> {
    let found = of(line);
    assert!(found.len() < 2, "{line}: {found:?}");
    found.into_iter().next().map(|found| (found.target.host, found.target.port))
}

fn to(host: &str) -> (String, u16) {
    (host.to_owned(), 18789)
}

#[test]
fn every_spelling_of_a_remote_forward_is_read() {
    for line in [
        "ssh -R 8080:localhost:18789 vps",
        "ssh -R8080:localhost:18789 vps",
        "ssh vps -N -R 8080:localhost:18789",
        "ssh -fNR 8080:localhost:18789 vps",
        "ssh -fNTR8080:localhost:18789 vps",
        "ssh -i key -p 2222 -R 0.0.0.0:8080:localhost:18789 vps",
        "ssh -R *:8080:localhost:18789 vps",
        "ssh -R [::]:8080:localhost:18789 vps",
        "ssh -R /run/panel.sock:localhost:18789 vps",
        "ssh -o RemoteForward=8080:localhost:18789 vps",
        "ssh -oremoteforward=8080:localhost:18789 vps",
        "autossh -M 0 -N -R 8080:localhost:18789 vps",
        "autossh -M0 -f -NR8080:localhost:18789 vps",
        "dbclient -N -R 8080:localhost:18789 vps",
    ] {
        assert_eq!(target(line), Some(to("localhost")), "{line}");
        assert_eq!(of(line)[0].listens, [], "{line}");
    }
    assert_eq!(target("ssh -R 8080:[::1]:18789 vps"), Some(to("::1")));
    let separate = ["-o".to_owned(), "RemoteForward 8080 localhost:18789".to_owned(), "vps".to_owned()];
    let found = instructions("ssh", &separate);
    assert_eq!(found[0].target, Target { host: "localhost".into(), port: 18789 });
    assert_eq!(found[0].text, "ssh -R 8080:localhost:18789");
}

#[test]
fn several_remote_forwards_are_several() {
    assert_eq!(of("ssh -R 80:localhost:18789 -R 81:localhost:18790 vps").len(), 2);
}

#[test]
fn the_other_direction_and_a_proxy_for_every_destination_name_no_port() {
    for line in [
        "ssh -L 8080:localhost:18789 vps",
        "ssh -W localhost:18789 vps",
        "ssh -D 1080 vps",
        "ssh -R 1080 vps",
        "ssh -R 0.0.0.0:1080 vps",
        "ssh -R 8080:/run/panel.sock vps",
        "ssh vps",
        "ssh",
        "kubectl port-forward svc/panel 18789:18789",
        "cloudflared access tcp --hostname h --url localhost:18789",
        "cloudflared tunnel run --token localhost:18789",
    ] {
        assert_eq!(target(line), None, "{line}");
    }
}

#[test]
fn a_command_for_the_other_side_is_no_option() {
    assert_eq!(target("ssh vps run -R 8080:localhost:18789"), None);
    assert_eq!(target("ssh -- vps -R 8080:localhost:18789"), None);
    assert_eq!(target("ssh -i -R vps"), None, "a key of that name");
}

#[test]
fn a_socat_is_read_either_way_round() {
    for (line, listens) in [
        ("socat TCP-LISTEN:8080,fork,reuseaddr TCP:127.0.0.1:18789", "0.0.0.0:8080"),
        ("socat -d -d TCP4-LISTEN:8080,bind=192.0.2.7,fork tcp4:127.0.0.1:18789", "192.0.2.7:8080"),
        ("socat TCP6-LISTEN:8080,fork TCP-CONNECT:127.0.0.1:18789", "[::]:8080"),
        ("socat tcp:127.0.0.1:18789,nodelay tcp-l:8080,fork", "0.0.0.0:8080"),
        ("socat OPENSSL-LISTEN:8080,cert=c.pem TCP:127.0.0.1:18789", "0.0.0.0:8080"),
    ] {
        assert_eq!(target(line), Some(to("127.0.0.1")), "{line}");
        assert_eq!(of(line)[0].listens, [listens.parse().unwrap()], "{line}");
    }
    assert_eq!(target("socat TCP6-LISTEN:8080 TCP6:[::1]:18789"), Some(to("::1")));
}

#[test]
fn a_socat_that_brings_connections_from_elsewhere_has_no_socket_here() {
    let found = of("socat TCP:127.0.0.1:18789 OPENSSL:relay.example:443");
    assert_eq!(found[0].listens, []);
    assert_eq!(found[0].target.port, 18789);
}

#[test]
fn a_socat_for_the_user_at_the_keyboard_is_none() {
    for line in ["socat - TCP:127.0.0.1:18789", "socat STDIO TCP:127.0.0.1:18789", "socat -h", "socat"] {
        assert_eq!(target(line), None, "{line}");
    }
}

#[test]
fn tunnels_are_read_by_their_own_spellings() {
    for line in [
        "cloudflared tunnel --url http://localhost:18789",
        "cloudflared --url=localhost:18789 --no-autoupdate",
        "ngrok http http://localhost:18789",
        "ngrok tcp localhost:18789 --region eu",
        "zrok share public http://localhost:18789",
        "inlets client --remote r --upstream=http://localhost:18789",
        "loclx tunnel http --to localhost:18789",
    ] {
        assert_eq!(target(line), Some(to("localhost")), "{line}");
    }
    for line in [
        "ngrok http 18789",
        "ngrok --log=stdout http --domain=x.example 18789",
        "lt --port 18789",
        "lt -p18789 -s name",
        "tmole 18789",
        "bore local 18789 --to bore.example",
        "loophole http 18789",
        "devtunnel host -p 18789 --allow-anonymous",
        "chisel client https://vps.example R:18789",
    ] {
        assert_eq!(target(line), Some(to("")), "{line}");
    }
    assert_eq!(target("chisel client https://vps.example R:8080:localhost:18789"), Some(to("localhost")));
    assert_eq!(target("ngrok start --all"), None);
}

#[test]
fn caddys_own_command_is_read() {
    let found = of("caddy reverse-proxy --from :8080 --to 127.0.0.1:18789");
    assert_eq!(found[0].listens, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(found[0].target, Target { host: "127.0.0.1".into(), port: 18789 });
}

#[test]
fn the_text_holds_no_secret() {
    let text = &of("ngrok http --authtoken hush http://ana:hush@localhost:18789")[0].text;
    assert_eq!(text, "ngrok localhost:18789");
}

proptest::proptest! {
    #[test]
    fn any_arguments_are_borne(
        program in "ssh|autossh|dbclient|socat|chisel|caddy|cloudflared|ngrok|lt|bore|x",
        arguments in proptest::collection::vec(
            r"-{0,2}[A-Za-z]{0,3}|R:|[0-9]{1,6}|\PC{0,6}|TCP[46]?(-LISTEN|-L)?:[0-9,:a-z=\[\]]{0,12}|[\[\]:/]{1,5}|é-R",
            0..8,
        ),
    ) {
        let arguments: Vec<String> = arguments;
        let _ = instructions(&program, &arguments);
    }
}
