//! Which host a request is for, and which page it comes from.
//!
//! A name that an attacker's DNS points here (rebinding) is not in the list of hosts; a page of
//! another site is no origin that is allowed.

use std::net::IpAddr;

/// The hosts that a gate answers to and the origins that it hears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Names and addresses, in small letters, without ports.
    hosts: Vec<String>,
    /// As browsers write them: `https://panel.example`.
    origins: Vec<String>,
}

impl Names {
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        let host = |host: &String| split(host).map_or_else(|| host.clone(), |(name, _)| name.to_owned());
        Self {
            hosts: hosts.iter().map(|name| host(name).to_ascii_lowercase()).collect(),
            origins: origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a request may name this host. `local` is the address at which the gate was reached:
    /// that may be named too. A client of another machine may not name this one's loopback, which a
    /// gateway might take for a client of this machine.
    pub(crate) fn host(&self, host: &str, local: IpAddr, remote: IpAddr) -> bool {
        let Some((name, _)) = split(host) else { return false };
        // Most hosts are names, and none of those that begins with a letter is an address.
        let may_be_address = host.starts_with(|first: char| first == '[' || first.is_ascii_digit());
        let address: Option<IpAddr> = may_be_address.then(|| name.parse().ok()).flatten();
        let address = address.map(|address| address.to_canonical());
        let loopback = name.eq_ignore_ascii_case("localhost")
            || ends_with_ignore_ascii_case(name, ".localhost")
            || address.is_some_and(|address| address.is_loopback() || address.is_unspecified());
        if loopback && !remote.to_canonical().is_loopback() {
            return false;
        }
        self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name)) || address == Some(local.to_canonical())
    }

    /// Whether a page of this origin may ask: one of the same host and port, or one that is listed.
    pub(crate) fn origin(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let same = ["http://", "https://"]
            .iter()
            .find_map(|scheme| origin.strip_prefix(scheme))
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host));
        same || self.origins.contains(&origin)
    }
}

fn ends_with_ignore_ascii_case(text: &str, end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.and_then(|start| text.get(start..)).is_some_and(|it| it.eq_ignore_ascii_case(end))
}

/// A host as a name, or an address without brackets, and a port. None if it is neither.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    if name.is_empty() || !name.bytes().all(plain) || !host.starts_with('[') && name.contains(':') {
        return None;
    }
    match port {
        "" if host.ends_with(':') => None,
        "" => Some((name, None)),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((name, Some(digits.parse().ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn names() -> Names {
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Names::new(
            &text(&["localhost", "127.0.0.1", "Panel.example", "[::1]:18700"]),
            &text(&["https://panel.example/"]),
        )
    }

    #[test]
    fn a_name_that_is_not_listed_is_no_host_of_this_gate() {
        for host in
            ["localhost", "localhost:18700", "127.0.0.1:18700", "PANEL.example", "[::1]:18700", "[::1]"]
        {
            assert!(names().host(host, HERE, HERE), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil.example:18700",
            "127.0.0.1.nip.io",
            "127.0.0.2",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "local host",
            "user@localhost",
            "[::1",
            "[evil]",
            "[::1]x",
            "::1",
            "",
            ":80",
            "0.0.0.0",
        ] {
            assert!(!names().host(host, HERE, HERE), "{host}");
        }
    }

    #[test]
    fn the_address_at_which_the_gate_is_reached_needs_no_entry() {
        let vpn = "100.64.1.2".parse().unwrap();
        let client = "100.64.1.9".parse().unwrap();
        assert!(names().host("100.64.1.2:18700", vpn, client));
        assert!(!names().host("100.64.1.3:18700", vpn, client));
    }

    #[test]
    fn a_client_of_another_machine_cannot_name_this_ones_loopback() {
        let vpn = "100.64.1.2".parse().unwrap();
        let client = "100.64.1.9".parse().unwrap();
        for host in ["localhost", "127.0.0.1:18789", "[::1]", "[::ffff:127.0.0.1]", "x.localhost"] {
            assert!(!names().host(host, vpn, client), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_not_heard() {
        for origin in ["http://localhost:18700", "https://localhost:18700", "https://Panel.example"] {
            assert!(names().origin(origin, "localhost:18700"), "{origin}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "https://panel.example.evil.example",
            "http://panel.example",
            "ftp://localhost:18700",
            "localhost:18700",
            "",
        ] {
            assert!(!names().origin(origin, "localhost:18700"), "{origin}");
        }
    }

    proptest! {
        #[test]
        fn no_host_or_origin_panics(host in ".*", origin in ".*") {
            let _ = names().host(&host, HERE, HERE);
            let _ = names().origin(&origin, &host);
        }
    }
}
