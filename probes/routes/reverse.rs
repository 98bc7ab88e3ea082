//! Forwarders that bring connections here from elsewhere when they are told to, as `ssh -R` does.

use crate::routes::Understood;
use crate::routes::argument::{Instruction, values};
use crate::routes::ssh::forwarded_to;
use crate::routes::target::Target;

/// What a forwarder brings here by its arguments; none if nothing from elsewhere.
#[must_use]
pub fn told(program: &str, arguments: &[String]) -> Option<Understood> {
    match program {
        "wstunnel" => wstunnel(arguments),
        "gost" => gost(arguments),
        "websocat" => websocat(arguments),
        _ => None,
    }
}

impl Understood {
    fn bring(&mut self, program: &str, target: Option<Target>) {
        match target {
            Some(target) => {
                let text = format!("{program} {}:{}", target.host, target.port);
                self.instructions.push(Instruction::elsewhere(target, text));
            }
            None => self.whole = false,
        }
    }
}

/// `wstunnel client -R tcp://8080:localhost:18789 wss://relay.example`; `-R socks5://…` leads anywhere.
fn wstunnel(arguments: &[String]) -> Option<Understood> {
    const OPTIONS: [&str; 3] = ["-R", "--remote-to-local", "--remoteToLocal"];
    let mut told = Understood { instructions: Vec::new(), whole: true };
    let mut reverse = values(arguments, &OPTIONS).filter(|it| !it.starts_with("udp://")).peekable();
    reverse.peek()?;
    for specification in reverse {
        let plain = specification.split('?').next().unwrap_or_default();
        let plain = plain.strip_prefix("tcp://").unwrap_or(plain);
        told.bring("wstunnel -R", forwarded_to(plain));
    }
    Some(told)
}

/// `gost -L rtcp://:8080/127.0.0.1:18789 -F relay://relay.example`; a configuration of its own is not read.
fn gost(arguments: &[String]) -> Option<Understood> {
    let mut told = Understood { instructions: Vec::new(), whole: true };
    let services: Vec<&str> = values(arguments, &["-L", "--L"]).collect();
    let asks = |options: &[&str]| arguments.iter().any(|it| options.contains(&it.as_str()));
    if values(arguments, &["-C", "--C"]).next().is_some()
        || (services.is_empty() && !asks(&["-V", "--V", "-h", "--help"]))
    {
        told.whole = false;
    }
    for service in services {
        let Some((scheme, rest)) = service.split_once("://") else { continue };
        if !scheme.split('+').any(|it| it.eq_ignore_ascii_case("rtcp")) {
            continue;
        }
        let path = rest.split('?').next().unwrap_or_default().split_once('/').map_or("", |(_, path)| path);
        path.split(',').for_each(|to| told.bring("gost rtcp", Target::parse(to)));
    }
    (!told.whole || !told.instructions.is_empty()).then_some(told)
}

/// `websocat wss://relay.example tcp:127.0.0.1:18789`: both ends connect.
fn websocat(arguments: &[String]) -> Option<Understood> {
    const KINDS: [&str; 3] = ["tcp:", "tcp-connect:", "connect-tcp:"];
    let target = |it: &String| {
        let kind = KINDS.iter().find_map(|kind| it.split_once(kind).filter(|(front, _)| is_wrapped(front)));
        kind.map(|(_, to)| Target::parse(to))
    };
    let connects = |it: &String| {
        it.starts_with("ws://") || it.starts_with("wss://") || it.contains(":ws://") || it.contains(":wss://")
    };
    if !arguments.iter().any(connects) {
        return None;
    }
    let mut told = Understood { instructions: Vec::new(), whole: true };
    arguments.iter().filter_map(target).for_each(|target| told.bring("websocat tcp", target));
    (!told.whole || !told.instructions.is_empty()).then_some(told)
}

/// What may stand before an end: nothing, or `autoreconnect:` and the like.
fn is_wrapped(front: &str) -> bool {
    front.is_empty() || front.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<(Vec<String>, bool)> {
        let mut words = line.split(' ').map(str::to_owned);
        let program = words.next().unwrap();
        let told = told(&program, &words.collect::<Vec<_>>())?;
        Some((told.instructions.into_iter().map(|it| it.text).collect(), told.whole))
    }

    fn is_told(line: &str, expected: &[&str], whole: bool) {
        assert_eq!(of(line), Some((expected.iter().map(ToString::to_string).collect(), whole)), "{line}");
    }

    #[test]
    fn what_is_brought_here_is_read() {
        is_told(
            "wstunnel client -R tcp://8080:localhost:18789 wss://r.example",
            &["wstunnel -R localhost:18789"],
            true,
        );
        is_told(
            "wstunnel client --remote-to-local=tcp://[::]:80:[::1]:18789?proxy_protocol wss://r.example",
            &["wstunnel -R ::1:18789"],
            true,
        );
        is_told(
            "gost -L=rtcp://:8080/127.0.0.1:18789 -F=relay://r.example",
            &["gost rtcp 127.0.0.1:18789"],
            true,
        );
        is_told(
            "gost -L rtcp+tls://:80/:18789,:18790?x=1 -F r.example:1",
            &["gost rtcp :18789", "gost rtcp :18790"],
            true,
        );
        is_told("websocat wss://r.example tcp:127.0.0.1:18789", &["websocat tcp 127.0.0.1:18789"], true);
        is_told(
            "websocat -b autoreconnect:tcp:localhost:18789 ws://r.example",
            &["websocat tcp localhost:18789"],
            true,
        );
    }

    #[test]
    fn what_leads_anywhere_or_is_not_understood_is_not_known() {
        for line in [
            "wstunnel client -R socks5://1080 wss://r.example",
            "wstunnel client -R http://1080 wss://r.example",
            "gost -C gost.yml",
            "gost -L rtcp://:8080 -F relay://r.example",
            "gost",
        ] {
            is_told(line, &[], false);
        }
    }

    #[test]
    fn the_other_direction_is_none() {
        for line in [
            "wstunnel client -L tcp://8080:localhost:18789 wss://r.example",
            "wstunnel client -R udp://53:localhost:53 wss://r.example",
            "wstunnel server wss://0.0.0.0:8080",
            "gost -L tcp://:8080/127.0.0.1:18789",
            "gost -L :8080",
            "gost -V",
            "websocat -s 8080",
            "websocat ws-l:127.0.0.1:8080 tcp:127.0.0.1:18789",
            "websocat wss://r.example",
            "socat - -",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_arguments_are_borne(
            program in "wstunnel|gost|websocat",
            arguments in proptest::collection::vec(r"(-[RLC]|=|rtcp|tcp|wss?|:|//?|[0-9]{1,6}|\?|,|\[|\]|é){0,8}", 0..6),
        ) {
            let arguments: Vec<String> = arguments;
            let _ = told(&program, &arguments);
        }
    }
}
