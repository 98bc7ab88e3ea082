use super::*;

fn shown<'a>(name: &'a str, exe: Option<&'a str>, argv: &'a [String]) -> Shown<'a> {
    Shown { name, exe: exe.map(Path::new), argv, listens: false }
}

fn role_of(name: &str, exe: Option<&str>, argv: &[&str]) -> Role {
    let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
    role(&shown(name, exe, &argv))
}

fn role_of_listener(name: &str, exe: Option<&str>, argv: &[&str]) -> Role {
    let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
    role(&Shown { listens: true, ..shown(name, exe, &argv) })
}

const NODE: Option<&str> = Some("/usr/bin/node");

#[test]
fn the_executable_tells_what_a_program_is_for() {
    for (exe, role) in [
        ("/usr/sbin/nginx", Role::Proxy),
        ("/usr/bin/socat", Role::Forwarder),
        ("/usr/local/bin/cloudflared", Role::Tunnel),
        ("/usr/sbin/tailscaled", Role::Vpn),
        ("/usr/lib/openssh/sshd-session", Role::Session),
        ("/usr/bin/docker-proxy", Role::ContainerEngine),
        ("/usr/bin/conmon", Role::ContainerEngine),
        ("/usr/bin/qemu-system-x86_64", Role::ContainerEngine),
        ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", Role::Browser),
        ("/usr/bin/redis-server", Role::OtherService),
        ("/opt/node/bin/node", Role::Runtime),
        ("/usr/bin/unheard-of", Role::Unknown),
    ] {
        let name = exe.rsplit('/').next().unwrap();
        assert_eq!(role_of(name, Some(exe), &[exe]), role, "{exe}");
    }
}

#[test]
fn a_name_may_accuse_but_only_the_executable_excuses() {
    assert_eq!(role_of("redis-server", NODE, &["redis-server *:6379"]), Role::Runtime);
    assert_eq!(role_of("sshd", Some("/tmp/x"), &["sshd: root@pts/0"]), Role::Unknown);
    assert_eq!(role_of("firefox", Some("/tmp/x"), &["/usr/lib/firefox/firefox"]), Role::Unknown);
    assert_eq!(role_of("socat", Some("/tmp/x"), &["x"]), Role::Forwarder);
    assert_eq!(role_of("x", Some("/usr/bin/redis-server"), &["ngrok", "http", "18789"]), Role::Tunnel);
    assert_eq!(role_of("redis-server", Some("/usr/bin/socat"), &["redis-server"]), Role::Forwarder);
}

#[test]
fn a_relay_under_a_gateways_title_is_a_relay() {
    assert_eq!(role_of("openclaw-gatewa", Some("/usr/bin/socat"), &["openclaw-gateway"]), Role::Forwarder);
    assert_eq!(role_of("openclaw", Some("/usr/bin/nginx"), &["openclaw"]), Role::Proxy);
}

#[test]
fn daemons_that_rewrite_their_title_are_recognised_by_it() {
    assert_eq!(role_of("nginx", None, &["nginx: master process /usr/sbin/nginx"]), Role::Proxy);
    assert_eq!(role_of("busybox", Some("/bin/busybox"), &["nc", "-lk", "-p", "80"]), Role::Forwarder);
}

#[test]
fn scripts_of_tunnels_are_tunnels_whatever_runs_them() {
    assert_eq!(
        role_of("node", NODE, &["node", "/usr/lib/node_modules/localtunnel/bin/lt.js", "-p", "1"]),
        Role::Tunnel
    );
    assert_eq!(
        role_of("MainThread", NODE, &["node", "--no-warnings", "/opt/bin/ngrok", "http"]),
        Role::Tunnel
    );
    assert_eq!(
        role_of("python3.11", Some("/usr/bin/python3.11"), &["python3", "-m", "pagekite"]),
        Role::Tunnel
    );
    assert_eq!(role_of("node", NODE, &["node", "-r", "lt", "server.js"]), Role::Runtime);
    assert_eq!(role_of("bash", Some("/bin/bash"), &["bash", "deploy.sh", "nginx"]), Role::Unknown);
}

#[test]
fn programs_that_tunnel_only_when_told_to_are_unknown_otherwise() {
    let code = Some("/usr/bin/code");
    assert_eq!(role_of("code", code, &["code", "tunnel"]), Role::Tunnel);
    assert_eq!(role_of("code", code, &["code", "README.md"]), Role::Unknown);
}

#[test]
fn every_title_of_a_gateway_is_recognised() {
    for (name, argv0) in [
        ("clawdbot-gatewa", "clawdbot-gateway"),
        ("openclaw-gatewa", "openclaw-gateway"),
        ("moltbot-gateway", "moltbot-gateway"),
        // The kernel's name is "node" on macOS and "MainThread" before the title is set.
        ("node", "openclaw-gateway"),
        ("MainThread", "openclaw-gateway   "),
    ] {
        assert_eq!(role_of(name, NODE, &[argv0]), Role::Gateway, "{name} {argv0}");
        assert_eq!(role_of(name, None, &[argv0]), Role::Gateway, "{name} {argv0}");
    }
}

#[test]
fn a_bare_title_is_a_gateways_only_if_it_listens() {
    for title in ["openclaw", "clawdbot", "moltbot"] {
        assert_eq!(role_of(title, NODE, &[title]), Role::Client);
        assert_eq!(role_of_listener(title, NODE, &[title]), Role::Gateway);
        assert_eq!(role_of_listener(title, None, &[]), Role::Gateway);
    }
    let app = Some("/Applications/OpenClaw.app/Contents/MacOS/OpenClaw");
    assert_eq!(role_of_listener("OpenClaw", app, &["OpenClaw"]), Role::Client);
}

#[test]
fn an_entry_script_is_a_gateway_only_if_told_to_run_one() {
    let entry = "/usr/lib/node_modules/openclaw/openclaw.mjs";
    for rest in [
        &["gateway"] as &[&str],
        &["gateway", "run"],
        &["gateway", "--port", "18789"],
        &["--profile", "work", "gateway", "run"],
    ] {
        let argv = [&["node", "--no-warnings", entry], rest].concat();
        assert_eq!(role_of("node", NODE, &argv), Role::Gateway, "{rest:?}");
    }
    for rest in [&["gateway", "status"] as &[&str], &["status"], &[]] {
        let argv = [&["node", entry], rest].concat();
        assert_eq!(role_of("node", NODE, &argv), Role::Client, "{rest:?}");
    }
    for entry in ["/x/node_modules/clawdbot/dist/entry.js", "/usr/local/bin/clawdbot", "openclaw.mjs"] {
        assert_eq!(role_of("node", NODE, &["node", entry, "gateway"]), Role::Gateway, "{entry}");
    }
    for other in ["/x/node_modules/vite/dist/index.js", "server.js", "/srv/openclaw/app.js"] {
        assert_eq!(role_of("node", NODE, &["node", other, "gateway"]), Role::Runtime, "{other}");
    }
    assert_eq!(role_of("node", NODE, &["node", "edit.js", "/h/.openclaw/openclaw.json"]), Role::Runtime);
}

#[test]
fn names_cut_by_the_kernel_are_recognised_by_their_beginning() {
    assert_eq!(role_of("systemd-resolve", None, &[]), Role::OtherService);
    assert_eq!(role_of("systemd-socket-", None, &[]), Role::Forwarder);
    assert_eq!(role_of("systemd", None, &[]), Role::Unknown);
}

#[test]
fn a_name_alone_excuses_only_processes_of_the_system() {
    assert!(stands_without_executable(Role::OtherService, Some(105)));
    assert!(stands_without_executable(Role::Session, Some(0)));
    assert!(!stands_without_executable(Role::OtherService, Some(1000)));
    assert!(!stands_without_executable(Role::Browser, Some(65534)));
    assert!(!stands_without_executable(Role::Session, None));
    assert!(stands_without_executable(Role::Forwarder, Some(1000)));
}

#[test]
fn no_name_stands_for_two_roles() {
    let lists = [
        &ROLES.proxy,
        &ROLES.forwarder,
        &ROLES.tunnel,
        &ROLES.vpn,
        &ROLES.container_engine,
        &ROLES.session,
        &ROLES.browser,
        &ROLES.other_service,
        &ROLES.runtime,
    ];
    let mut names: Vec<&String> = lists.into_iter().flatten().collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_relay_is_told_with_the_arguments_that_are_its_own() {
    let of = |exe: &str, argv: &[&str]| {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        let relay = relay(&shown("x", Some(exe), &argv))?;
        Some((relay.name, relay.arguments.to_vec()))
    };
    let expected =
        |name: &str, rest: &[&str]| Some((name.to_owned(), rest.iter().map(ToString::to_string).collect()));
    assert_eq!(of("/usr/bin/ssh", &["ssh", "-N", "host"]), expected("ssh", &["-N", "host"]));
    assert_eq!(of("/usr/bin/node", &["node", "/bin/lt", "-p", "1"]), expected("lt", &["-p", "1"]));
    assert_eq!(of("/usr/bin/node", &["node", "server.js"]), None);
    assert_eq!(of("/opt/cloudflared-linux-amd64", &["x", "tunnel"]), expected("cloudflared", &["tunnel"]));
    assert_eq!(of("/opt/Ngrok", &["x"]), expected("ngrok", &[]));
}

proptest::proptest! {
    #[test]
    fn any_name_and_any_arguments_have_a_role(
        name in ".{0,20}", exe in proptest::option::of(".{0,40}"), argv in proptest::collection::vec(".{0,40}", 0..8),
    ) {
        let argv: Vec<String> = argv;
        let exe = exe.as_deref();
        let _ = role(&shown(&name, exe, &argv));
    }

    #[test]
    fn arguments_never_excuse(argv in proptest::collection::vec("[a-z:/ .-]{0,20}|redis-server|sshd|firefox|node", 0..5)) {
        let argv: Vec<String> = argv;
        for exe in ["/usr/bin/socat", "/usr/bin/node", "/tmp/x"] {
            let told = role(&shown("x", Some(exe), &argv));
            proptest::prop_assert!(!matches!(told, Role::OtherService | Role::Session | Role::Browser));
        }
    }
}

#[test]
fn a_unit_is_the_products_by_its_whole_name() {
    for (unit, product) in [
        ("openclaw-gateway.service", Some(Product::Openclaw)),
        ("clawdbot-gateway-work.service", Some(Product::Clawdbot)),
        ("openclaw-gateway@ana.service", Some(Product::Openclaw)),
        ("openclaw-gatewayd.service", None),
        ("openclaw-node.service", None),
        ("dbus.service", None),
        ("x-openclaw-gateway.service", None),
    ] {
        assert_eq!(product_of_service(unit), product, "{unit}");
    }
}

#[test]
fn a_label_is_the_products_unless_it_is_a_nodes() {
    for (label, product) in [
        ("ai.openclaw.gateway", Some(Product::Openclaw)),
        ("ai.openclaw.work", Some(Product::Openclaw)),
        ("com.clawdbot.gateway", Some(Product::Clawdbot)),
        ("com.steipete.clawdbot.gateway", Some(Product::Clawdbot)),
        ("bot.molt.gateway", Some(Product::Moltbot)),
        ("ai.openclaw.node", None),
        ("ai.openclaw.", None),
        ("com.apple.WindowServer", None),
        ("xai.openclaw.gateway", None),
    ] {
        assert_eq!(product_of_label(label), product, "{label}");
    }
}
