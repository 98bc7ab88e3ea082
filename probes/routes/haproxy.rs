//! What haproxy is told to carry: frontends with `bind`, backends with `server`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::routes::Understood;
use crate::routes::argument::Instruction;
use crate::routes::target::{Target, split};

/// Where packages put it.
pub const USUAL: [&str; 3] =
    ["/etc/haproxy/haproxy.cfg", "/opt/homebrew/etc/haproxy.cfg", "/usr/local/etc/haproxy/haproxy.cfg"];

/// Instructions found in all.
const MAX_INSTRUCTIONS: usize = 4096;

/// A frontend, a backend, or both in one.
#[derive(Default)]
struct Section<'a> {
    binds: Vec<SocketAddr>,
    backends: Vec<&'a str>,
    servers: Vec<(Target, String)>,
}

/// The instructions in a configuration. A frontend carries to every backend that it names, under
/// whatever condition.
#[must_use]
pub fn interpret(text: &str) -> Understood {
    let mut sections: Vec<Section<'_>> = vec![Section::default()];
    let mut names: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [kind @ ("frontend" | "backend" | "listen"), name, ..] => {
                if *kind != "frontend" {
                    names.insert(name, sections.len());
                }
                sections.push(Section::default());
            }
            ["global" | "defaults" | "peers" | "resolvers" | "userlist" | "cache" | "program", ..] => {
                sections.push(Section::default());
            }
            [word, rest @ ..] => {
                if let Some(section) = sections.last_mut() {
                    section.line(word, rest);
                }
            }
            [] => {}
        }
    }
    let mut found = Vec::new();
    for section in sections.iter().filter(|section| !section.binds.is_empty()) {
        let backends = section.backends.iter().filter_map(|name| sections.get(*names.get(name)?));
        for (target, text) in std::iter::once(section).chain(backends).flat_map(|with| &with.servers) {
            if found.len() >= MAX_INSTRUCTIONS {
                return Understood { instructions: found, whole: false };
            }
            let listens = section.binds.clone();
            found.push(Instruction { listens, target: target.clone(), text: text.clone() });
        }
    }
    let whole = !text.trim().is_empty() && !text.lines().any(is_beyond_this);
    Understood { instructions: found, whole }
}

/// Whether a line leads where this does not follow: to servers that are found while it runs, to what a script or a variable
/// says, or to what a name means.
fn is_beyond_this(line: &str) -> bool {
    let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_ascii_whitespace().collect();
    match words.as_slice() {
        ["option", "http_proxy" | "transparent", ..]
        | ["server-template" | "dispatch" | "lua-load" | "lua-load-per-thread", ..] => true,
        ["http-request" | "tcp-request", rest @ ..] => rest
            .iter()
            .any(|it| it.starts_with("set-dst") || it.starts_with("lua.") || it.starts_with("do-resolve")),
        ["use_backend" | "default_backend" | "use-server", name, ..] => name.contains(['%', '$', '"']),
        ["bind", address, ..] => address.contains(['$', '"']),
        ["server", _, address, ..] => {
            let address = address.trim_start_matches("ipv4@").trim_start_matches("ipv6@");
            let is_file =
                address.starts_with('/') || address.starts_with("unix@") || address.starts_with("abns@");
            !is_file && Target::parse(address).is_none()
        }
        _ => false,
    }
}

impl<'a> Section<'a> {
    fn line(&mut self, word: &str, rest: &[&'a str]) {
        match (word, rest) {
            ("bind", [addresses, ..]) => self.binds.extend(addresses.split(',').filter_map(bind)),
            ("default_backend" | "use_backend", [name, ..]) => self.backends.push(name),
            ("server", [name, address, ..]) => {
                let address = address.trim_start_matches("ipv4@").trim_start_matches("ipv6@");
                let target = Target::parse(address);
                self.servers.extend(target.map(|target| (target, format!("server {name} {address}"))));
            }
            _ => {}
        }
    }
}

/// `:80`, `*:80`, `127.0.0.1:80`, `[::]:80`, `:::80`.
fn bind(address: &str) -> Option<SocketAddr> {
    let address = address.trim_start_matches("ipv4@").trim_start_matches("ipv6@");
    let (host, port) = match split(address) {
        (host, Some(port)) => (host, port),
        // haproxy takes IPv6 addresses without brackets.
        (address, None) => address.rsplit_once(':')?,
    };
    let ip: IpAddr = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        "::" => Ipv6Addr::UNSPECIFIED.into(),
        host => host.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frontends_carry_to_the_backends_they_name() {
        let told = interpret(include_str!("../../fixtures/haproxy/haproxy.cfg"));
        assert!(told.whole);
        let found = told.instructions;
        let told: Vec<String> = found
            .iter()
            .map(|found| {
                let listens: Vec<String> = found.listens.iter().map(ToString::to_string).collect();
                format!("{} -> {}:{}", listens.join(" "), found.target.host, found.target.port)
            })
            .collect();
        assert_eq!(
            told,
            [
                "0.0.0.0:8088 [::]:8088 -> ::1:18790",
                "0.0.0.0:8088 [::]:8088 -> 127.0.0.1:18789",
                "192.0.2.7:9000 -> 127.0.0.1:18789",
            ]
        );
        assert_eq!(found[1].text, "server one 127.0.0.1:18789");
    }

    #[test]
    fn circles_and_unknown_names_end() {
        assert_eq!(interpret("listen a\nbind :1\nuse_backend a\nuse_backend none").instructions, []);
    }

    #[test]
    fn what_leads_where_this_does_not_follow_is_not_whole() {
        let whole = |line: &str| interpret(&format!("frontend a\nbind :80\n{line}\nbackend b\n")).whole;
        for line in [
            "default_backend b",
            "server s 127.0.0.1:80 check",
            "server s unix@/run/x.sock",
            "option httplog",
            "",
        ] {
            assert!(whole(line), "{line}");
        }
        for line in [
            "use_backend %[req.hdr(host),lower]",
            "server-template s 3 bot:80",
            "server s ${HOST}:${PORT}",
            "server s bot",
            "http-request set-dst hdr(x-to)",
            "http-request lua.where",
            "option http_proxy",
            "option transparent",
            "lua-load /etc/haproxy/x.lua",
            "bind \"$BIND\"",
        ] {
            assert!(!whole(line), "{line}");
        }
        assert!(!interpret("").whole);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(
            text in "(frontend a|backend b|listen c|bind |server s |use_backend b|[ \n:,#@]|[0-9.]{1,4}|é){0,60}"
        ) {
            let _ = interpret(&text);
        }
    }
}
