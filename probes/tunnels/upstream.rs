//! Where a tunnel carries what comes in.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::guests::Guests;
use crate::routes::target::Target;

/// Where a tunnel carries what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// To a port of this host.
    Here(u16),
    /// To a container or a virtual machine of this host.
    Guest(SocketAddr),
    /// To another host, to no port at all, or to one that no gateway has.
    Elsewhere,
    /// To wherever who comes in wants.
    Anywhere,
    /// Not understood.
    Unclear,
}

/// How this host may be called.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Its name.
    pub name: Option<String>,
    /// The networks of its guests.
    pub guests: Guests,
}

impl Host {
    /// Reads what a tunnel is told to carry to: `http://localhost:18789`, `18789`, `unix:/run/x`,
    /// `http_status:404`.
    #[must_use]
    pub fn upstream(&self, text: &str) -> Upstream {
        /// Files, sockets of files, and pages of the tunnel's own.
        const NO_PORT: [&str; 7] =
            ["unix:", "unix+tls:", "file:", "http_status:", "hello_world", "hello-world", "helloworld"];
        /// Protocols whose usual port is no gateway's.
        const OTHER: [&str; 4] = ["ssh://", "rdp://", "smb://", "vnc://"];
        let text = text.trim();
        if NO_PORT.iter().any(|start| text.starts_with(start)) {
            return Upstream::Elsewhere;
        }
        if ["bastion", "socks-proxy"].contains(&text) {
            return Upstream::Anywhere;
        }
        match Target::parse(text) {
            Some(target) if self.is_meant(&target) => Upstream::Here(target.port),
            Some(target) => match target.address().filter(|at| self.guests.way_to(at.ip()).is_some()) {
                Some(guest) => Upstream::Guest(guest),
                None => Upstream::Elsewhere,
            },
            None if OTHER.iter().any(|start| text.starts_with(start)) => Upstream::Elsewhere,
            None => Upstream::Unclear,
        }
    }

    /// The host is this one, by an address or by the name it gives itself.
    fn is_meant(&self, target: &Target) -> bool {
        let host = target.host.trim_end_matches('.').to_ascii_lowercase();
        let is_named = self.name.as_ref().is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            let first = name.split('.').next().unwrap_or_default();
            !first.is_empty() && (host == name || host == first || host == format!("{first}.local"))
        });
        is_named || target.is_here(&self.addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Upstream {
        let addresses = BTreeSet::from(["192.0.2.7".parse().unwrap()]);
        Host { addresses, name: Some("Box.lan".to_owned()), guests: Guests::of_one_bridge() }.upstream(text)
    }

    #[test]
    fn a_port_of_this_host_is_known_in_every_spelling() {
        for text in [
            "18789",
            "localhost:18789",
            "http://127.0.0.1:18789/path",
            "https+insecure://localhost:18789",
            "tcp://192.0.2.7:18789",
            "http://box:18789",
            "http://box.lan:18789",
            "http://BOX.local.:18789",
        ] {
            assert_eq!(of(text), Upstream::Here(18789), "{text}");
        }
        assert_eq!(of("http://localhost"), Upstream::Here(80));
    }

    #[test]
    fn a_guest_of_this_host_is_told_from_its_neighbours() {
        let guest = Upstream::Guest("172.17.0.2:18789".parse().unwrap());
        assert_eq!(of("http://172.17.0.2:18789"), guest);
        assert_eq!(of("172.17.0.2:18789"), guest);
        assert_eq!(of("http://172.17.0.1:18789"), Upstream::Elsewhere, "the bridge's own address");
        assert_eq!(of("http://192.168.1.9:18789"), Upstream::Elsewhere);
    }

    #[test]
    fn other_hosts_files_and_pages_of_the_tunnels_own_are_elsewhere() {
        for text in [
            "http://192.0.2.8:18789",
            "http://box.example:18789",
            "unix:/run/x.sock",
            "file:///srv",
            "http_status:404",
            "hello_world",
            "ssh://localhost",
        ] {
            assert_eq!(of(text), Upstream::Elsewhere, "{text}");
        }
    }

    #[test]
    fn what_takes_its_visitors_anywhere_or_is_not_understood_is_told_apart() {
        assert_eq!(of("socks-proxy"), Upstream::Anywhere);
        assert_eq!(of("bastion"), Upstream::Anywhere);
        assert_eq!(of("gopher"), Upstream::Unclear);
        assert_eq!(of(""), Upstream::Unclear);
    }
}
