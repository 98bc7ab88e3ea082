//! What Caddy is told to carry, by a plain Caddyfile: sites with `reverse_proxy` and `bind`.
//! Snippets and imports are not followed, and JSON configurations not read: what it runs by, it says
//! itself.

pub mod running;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::routes::argument::Instruction;
use crate::routes::target::{Target, split};

/// Where the packages put it.
pub const USUAL: [&str; 3] =
    ["/etc/caddy/Caddyfile", "/opt/homebrew/etc/Caddyfile", "/usr/local/etc/Caddyfile"];

/// The instructions in a Caddyfile.
#[must_use]
pub fn interpret(text: &str) -> Vec<Instruction> {
    let mut found = Vec::new();
    let mut site = Site::default();
    let mut depth = 0usize;
    let mut in_proxy = None;
    for line in text.lines() {
        let words = words(line);
        let opens = words.last().is_some_and(|last| last == "{");
        match words.first().map(String::as_str) {
            None => continue,
            Some("}") => {
                depth = depth.saturating_sub(1);
                in_proxy = in_proxy.filter(|inside| depth >= *inside);
                if depth == 0 {
                    found.append(&mut site.instructions());
                    site = Site::default();
                }
            }
            Some("bind") => {
                site.binds.extend(words.iter().skip(1).filter_map(|bind| bind.parse::<IpAddr>().ok()));
            }
            Some("reverse_proxy") => {
                let told = words.iter().skip(1).filter(|word| !word.starts_with(['/', '@', '*', '{']));
                site.targets.extend(told.cloned());
                in_proxy = opens.then_some(depth + 1);
            }
            Some("to") if in_proxy.is_some() => site.targets.extend(words.iter().skip(1).cloned()),
            // A single site may stand without braces, its addresses in the first line.
            Some(_) if depth == 0 => {
                let addresses = words.iter().flat_map(|word| word.split(','));
                site.ports.extend(addresses.filter_map(self::site));
            }
            Some(_) => {}
        }
        if opens && words.first().is_none_or(|first| first != "}") {
            depth += 1;
        }
    }
    found.append(&mut site.instructions());
    found
}

/// The port of a site's address: `example.com`, `:8080`, `http://example.com`, `localhost:8443`.
#[must_use]
pub fn site(address: &str) -> Option<u16> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, address),
    };
    let (host, port) = split(rest.split('/').next()?);
    match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        // Not a snippet, not the global options.
        None if host.is_empty() || host.starts_with(['(', '{', '}', '&']) => None,
        None => Some(if scheme == Some("http") { 80 } else { 443 }),
    }
}

#[derive(Default)]
struct Site {
    ports: Vec<u16>,
    binds: Vec<IpAddr>,
    targets: Vec<String>,
}

impl Site {
    fn instructions(&self) -> Vec<Instruction> {
        let any = [Ipv4Addr::UNSPECIFIED.into()];
        let binds = if self.binds.is_empty() { any.as_slice() } else { &self.binds };
        let listens: Vec<SocketAddr> =
            binds.iter().flat_map(|ip| self.ports.iter().map(|port| SocketAddr::new(*ip, *port))).collect();
        let instruction = |told: &String| {
            let text = format!("reverse_proxy {told}");
            Some(Instruction { listens: listens.clone(), target: Target::parse(told)?, text })
        };
        self.targets.iter().filter_map(instruction).collect()
    }
}

/// The words of a line without its comment. Quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if word.is_empty() => break,
            (None, '"' | '`') if word.is_empty() => quote = Some(c),
            (Some(own), c) if own == c => quote = None,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        interpret(text)
            .into_iter()
            .map(|found| {
                let listens: Vec<String> = found.listens.iter().map(ToString::to_string).collect();
                format!("{} -> {}:{}", listens.join(" "), found.target.host, found.target.port)
            })
            .collect()
    }

    #[test]
    fn sites_and_their_proxies_are_read() {
        assert_eq!(
            told(include_str!("../../fixtures/caddy/Caddyfile")),
            [
                "0.0.0.0:443 0.0.0.0:8443 -> localhost:18789",
                "192.0.2.7:8080 -> 127.0.0.1:18789",
                "192.0.2.7:8080 -> 127.0.0.1:18790",
                "0.0.0.0:80 -> 127.0.0.1:18789",
            ]
        );
    }

    #[test]
    fn a_single_site_needs_no_braces() {
        assert_eq!(told(":8080\nreverse_proxy 127.0.0.1:18789"), ["0.0.0.0:8080 -> 127.0.0.1:18789"]);
    }

    #[test]
    fn what_proxies_nothing_is_none() {
        for text in ["", "{\n debug\n}", "example.com {\n respond \"reverse_proxy\"\n}", "}}}\n{\n{"] {
            assert_eq!(told(text), [""; 0], "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "(reverse_proxy|bind|to|[ {}\n\"`#:/,]|[0-9.]{1,4}|[a-z]{1,3}|é){0,60}") {
            let _ = interpret(&text);
        }
    }
}
