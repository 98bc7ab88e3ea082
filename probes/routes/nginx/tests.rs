use super::*;

fn of(text: &str) -> Vec<Instruction> {
    interpret(&parse(text).unwrap()).instructions
}

/// The ports at which something leads nobody knows where; none if that may be any.
fn astray(text: &str) -> Option<Vec<u16>> {
    interpret(&parse(text).unwrap()).astray.map(|ports| ports.into_iter().collect())
}

/// The ports at which something leads to a host and a port that are not known; none if that may be any.
fn vague(text: &str) -> Option<Vec<u16>> {
    interpret(&parse(text).unwrap()).vague.map(|ports| ports.into_iter().collect())
}

/// Each instruction as "listens -> host:port".
fn told(text: &str) -> Vec<String> {
    of(text)
        .into_iter()
        .map(|found| {
            let listens: Vec<String> = found.listens.iter().map(ToString::to_string).collect();
            format!("{} -> {}:{}", listens.join(" "), found.target.host, found.target.port)
        })
        .collect()
}

#[test]
fn every_way_to_name_a_backend_is_read() {
    assert_eq!(
        told(include_str!("../../../fixtures/nginx/every-way.conf")),
        [
            "0.0.0.0:8088 [::]:8088 -> 127.0.0.1:18789",
            "127.0.0.1:8089 -> 127.0.0.1:18789",
            "127.0.0.1:8089 -> ::1:18790",
            "0.0.0.0:80 -> localhost:18789",
            "0.0.0.0:443 -> 127.0.0.1:443",
            "0.0.0.0:8090 -> 127.0.0.1:18789",
            "0.0.0.0:8091 -> 127.0.0.1:18789",
            " -> 127.0.0.1:18789",
            "[::]:9000 -> 127.0.0.1:18789",
            "0.0.0.0:9001 -> 127.0.0.1:18789",
        ]
    );
}

#[test]
fn the_instruction_is_told_as_it_stands() {
    let found = of("http { server { listen 8088; location / { proxy_pass http://127.0.0.1:18789; } } }");
    assert_eq!(found[0].text, "proxy_pass http://127.0.0.1:18789");
}

#[test]
fn a_port_that_leads_to_what_is_no_host_and_port_is_marked() {
    let server = |inside: &str| {
        astray(&format!(
            "http {{ upstream bot {{ server 127.0.0.1:18789; }} upstream two {{ server 127.0.0.1:18789; server unix:/run/x; }}
             upstream lua {{ server 0.0.0.1; balancer_by_lua_file x; }} upstream empty {{ }}
             server {{ listen 8088; location / {{ proxy_pass http://bot; }} location /x {{ {inside} }} }}
             server {{ listen 8089; location / {{ proxy_pass http://127.0.0.1:18789; }} }} }}"
        ))
    };
    for sound in
        ["", "root /srv;", "return 404;", "proxy_pass http://127.0.0.1:18789; proxy_pass_header Date;"]
    {
        assert_eq!(server(sound), Some(vec![]), "{sound}");
    }
    for stray in [
        "proxy_pass http://unix:/run/app.sock;",
        "proxy_pass http://two;",
        "proxy_pass http://lua;",
        "proxy_pass http://empty;",
        "proxy_pass $backend;",
        "proxy_pass http://127.0.0.1$more;",
        "set $a 127.0.0.1:18789; if ($b) { set $a 127.0.0.1:1; } proxy_pass http://$a;",
        "if ($a) { fastcgi_pass 127.0.0.1:9000; }",
        "uwsgi_pass unix:/run/app.sock;",
        "content_by_lua_file x.lua;",
        "js_content x.y;",
    ] {
        assert_eq!(server(stray), Some(vec![8088]), "{stray}");
    }
    assert_eq!(astray("stream { server { listen 9000; pass 127.0.0.1:1; } }"), Some(vec![9000]));
    assert_eq!(astray("http { server { location / { proxy_pass $a; } } }"), Some(vec![80]));
}

#[test]
fn where_a_server_listens_at_what_cannot_be_told_any_port_may_lead_anywhere() {
    for listen in ["panel.example:8088", "8088-8090", "127.0.0.1:http"] {
        let text = format!(
            "http {{ server {{ listen {listen}; location / {{ proxy_pass http://127.0.0.1:1; }} }} }}"
        );
        assert_eq!(astray(&text), None, "{listen}");
    }
    assert_eq!(astray("http { server { listen unix:/run/a; location / { proxy_pass $a; } } }"), Some(vec![]));
    let many = "proxy_pass http://127.0.0.1:1;".repeat(MAX_INSTRUCTIONS + 1);
    assert_eq!(astray(&format!("http {{ server {{ listen 80; {many} }} }}")), None);
}

#[test]
fn what_is_no_proxy_is_none() {
    for text in [
        "",
        "events { }",
        "http { server { listen 80; root /var/www; } }",
        "http { server { location / { proxy_pass http://unix:/run/app.sock; } } }",
        "http { server { location / { proxy_pass $backend; } } }",
        "http { server { location / { proxy_pass http://127.0.0.1:$port; } } }",
        "http { upstream empty { } server { location / { proxy_pass http://empty; } } }",
        "server { location / { proxy_pass http://127.0.0.1:1; } }",
    ] {
        assert_eq!(told(text), [""; 0], "{text}");
    }
}

#[test]
fn variables_that_do_not_end_are_no_flood() {
    let sets: Vec<String> = (0..64).map(|at| format!("set $a{} $a{at}$a{at};", at + 1)).collect();
    let sets = sets.concat();
    let text = format!("http {{ server {{ set $a0 xxxxxxxx; {sets} proxy_pass http://$a64; }} }}");
    assert_eq!(told(&text), [""; 0]);
}

#[test]
fn the_main_file_is_found_as_nginx_finds_it() {
    let find = |argv: &[&str], there: &str| {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        main_file(&arguments(&argv), &|path| path == Path::new(there)).is_some()
    };
    for (argv, there) in [
        (&["nginx"] as &[&str], "/etc/nginx/nginx.conf"),
        (&["nginx"], "/opt/homebrew/etc/nginx/nginx.conf"),
        (&["nginx", "-g", "daemon off;"], "/etc/nginx/nginx.conf"),
        (&["nginx: master process /usr/sbin/nginx -c /srv/n.conf -g daemon on;"], "/srv/n.conf"),
        (&["nginx", "-c/srv/n.conf"], "/srv/n.conf"),
        (&["nginx", "-p", "/srv", "-c", "n.conf"], "/srv/n.conf"),
        (&["nginx", "-p", "/srv/"], "/srv/conf/nginx.conf"),
        (&["nginx", "-c", "n.conf"], "/usr/share/nginx/n.conf"),
    ] {
        assert!(find(argv, there), "{argv:?} {there}");
    }
    assert!(!find(&["nginx", "-c", "/srv/n.conf"], "/etc/nginx/nginx.conf"));
}

#[test]
fn a_place_that_is_chosen_while_it_runs_is_not_known_and_an_application_is_no_such_place() {
    let of = |http: &str, location: &str| {
        vague(&format!(
            "http {{ {http} server {{ listen 81; location / {{ {location} }} }} server {{ listen 82; }} }}"
        ))
    };
    for (http, location) in [
        ("map $host $b { bot.example 127.0.0.1:18789; }", "proxy_pass http://$b;"),
        ("", "proxy_pass http://127.0.0.1:$port;"),
        ("upstream u { server 127.0.0.1:1; balancer_by_lua_block { } }", "proxy_pass http://u;"),
    ] {
        assert_eq!(of(http, location), Some(vec![81]), "{http} {location}");
    }
    for (http, location) in [
        ("", "proxy_pass http://127.0.0.1:3000;"),
        ("", "proxy_pass http://127.0.0.1:3000$request_uri;"),
        ("", "set $b 127.0.0.1:3000; proxy_pass http://$b;"),
        ("", "proxy_pass http://unix:/run/app.sock;"),
        ("upstream u { server unix:/run/app.sock; keepalive 8; }", "proxy_pass http://u;"),
        ("", "fastcgi_pass unix:/run/php.sock;"),
        ("", "root /srv;"),
    ] {
        assert_eq!(of(http, location), Some(vec![]), "{http} {location}");
    }
}

#[test]
fn included_files_stand_in_the_place_of_their_directive() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("nginx.conf", "http { include up.conf; include site-*.conf; include none.conf; }");
    write("up.conf", "upstream bot { server 127.0.0.1:18789; }");
    write("site-1.conf", "server { listen 8088; include pass.inc; }");
    write("site-2.conf", "server { listen 8089; ");
    write("pass.inc", "location / { proxy_pass http://bot; include nginx.conf; }");
    let main = folder.path().join("nginx.conf");
    let argv = ["nginx".to_owned(), "-c".to_owned(), main.display().to_string()];
    let (file, found) = instructions(&View::own().unwrap(), &argv, &mut Age::default()).unwrap();
    assert_eq!(file, main);
    assert_eq!(found.astray, None, "one is broken, and one is not there");
    assert_eq!(found.vague, None);
    let found = found.instructions;
    assert_eq!(found[0].listens, ["0.0.0.0:8088".parse().unwrap()]);
    assert_eq!(found[0].target, Target { host: "127.0.0.1".into(), port: 18789 });
}

proptest::proptest! {
    #[test]
    fn any_configuration_is_borne(
        text in r"(http|stream|server|upstream u|listen [0-9*:\[\]]{1,6}|proxy_pass|http://|set \$a|[ ;{}$]|\$\{a\}|[0-9.:]{1,5}|é){0,60}"
    ) {
        if let Ok(tree) = parse(&text) {
            let _ = interpret(&tree);
        }
    }
}
