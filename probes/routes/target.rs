//! Where an instruction carries connections to.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// A host and a port, as an instruction spells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets; empty where only a port was given.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Target {
    /// Reads `18789`, `:18789`, `localhost:18789`, `[::1]:18789`, `http://localhost:18789/path`, and
    /// `http://localhost`, whose port follows from the scheme.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let usual = scheme.and_then(|scheme| match scheme {
            "http" | "h2c" | "ws" | "grpc" => Some(80),
            "https" | "https+insecure" | "wss" | "grpcs" => Some(443),
            _ => None,
        });
        let (host, port) = split(authority);
        let port = match port {
            Some(port) => port.parse().ok()?,
            // A bare number is a port, a bare name is a host.
            None if scheme.is_none() => return Self::port(host.parse().ok()?),
            None => usual?,
        };
        (port > 0).then(|| Self { host: host.to_owned(), port })
    }

    /// A port of this host.
    #[must_use]
    pub fn port(port: u16) -> Option<Self> {
        (port > 0).then_some(Self { host: String::new(), port })
    }

    /// The address and the port, where the host is an address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse::<IpAddr>().ok()?.to_canonical(), self.port))
    }

    /// Whether the host is this one: loopback, any address, or one of its `own` addresses.
    #[must_use]
    pub fn is_here(&self, own: &BTreeSet<IpAddr>) -> bool {
        /// Names of loopback, among them those of Debian's hosts file.
        const NAMES: [&str; 6] =
            ["", "*", "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"];
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        if NAMES.contains(&name.as_str()) || name.ends_with(".localhost") {
            return true;
        }
        let unscoped = name.split('%').next().unwrap_or_default();
        unscoped.parse::<IpAddr>().is_ok_and(|address| {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified() || own.contains(&address)
        })
    }
}

/// Splits host and port at the last colon; an IPv6 address with a port stands in brackets.
#[must_use]
pub fn split(authority: &str) -> (&str, Option<&str>) {
    if let Some(rest) = authority.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => (authority, None),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(text: &str) -> Option<u16> {
        let own = BTreeSet::from(["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]);
        Target::parse(text).filter(|target| target.is_here(&own)).map(|target| target.port)
    }

    #[test]
    fn every_spelling_of_this_host_is_here() {
        for text in [
            "18789",
            ":18789",
            "localhost:18789",
            "LOCALHOST.:18789",
            "127.0.0.1:18789",
            "127.1.2.3:18789",
            "0.0.0.0:18789",
            "[::1]:18789",
            "[::]:18789",
            "[::ffff:127.0.0.1]:18789",
            "192.0.2.7:18789",
            "[2001:db8::7]:18789",
            "http://localhost:18789",
            "https://user:pw@127.0.0.1:18789/path?x#y",
            "tcp://panel.localhost:18789",
        ] {
            assert_eq!(here(text), Some(18789), "{text}");
        }
    }

    #[test]
    fn other_hosts_are_not() {
        for text in ["192.0.2.8:18789", "example.com:18789", "http://10.0.0.1:18789", "[2001:db8::8]:18789"] {
            assert_eq!(here(text), None, "{text}");
            assert!(Target::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn a_port_may_follow_from_the_scheme() {
        assert_eq!(here("http://localhost"), Some(80));
        assert_eq!(here("https://localhost/x"), Some(443));
        assert_eq!(here("tcp://localhost"), None);
    }

    #[test]
    fn what_is_no_target_is_none() {
        for text in
            ["", "localhost", "0", "localhost:0", "localhost:99999", "host:http", "[::1:80", "a:b:c", "--x"]
        {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_target_or_none(text in r"(\PC{0,4}|[\[\]:/@.0-9]{0,12}|localhost|://){0,6}") {
            let _ = Target::parse(&text).map(|target| target.is_here(&BTreeSet::new()));
        }
    }
}
