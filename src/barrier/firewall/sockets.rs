//! Established connections to a gateway, to be ended.
//!
//! On Linux `ss -K` ends them (`SOCK_DESTROY` of `sock_diag(7)`): the peer gets a reset. It skips in
//! silence what the kernel does not end, so what is left is looked at afterwards.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::wall::Wall;
use guardian_probes::command::Tool;

pub(crate) mod visitors;

/// The kernel takes filters of a bounded length, so ports are asked for by so many at a time.
const PORTS_AT_ONCE: usize = 64;

/// As many own addresses are asked for beside loopback.
const ADDRESSES: usize = 64;

/// A connection as `ss` names its ends, the local one first.
pub(crate) type Connection = (String, String);

/// What `ss` printed is not a table of sockets.
#[derive(Debug, thiserror::Error)]
#[error("this line is not one of ss: {0}")]
pub(crate) struct Garbled(String);

/// Lists the connections that a gateway's place takes part in, the local one or that of a peer on this
/// host; a call for each lot of places.
pub(crate) fn list(wall: &Wall, own: &BTreeSet<IpAddr>) -> Vec<Tool> {
    tools("-Htn", &filters(wall, own, Which::All))
}

/// Ends them.
pub(crate) fn destroy(wall: &Wall, own: &BTreeSet<IpAddr>) -> Vec<Tool> {
    tools("-KHtn", &filters(wall, own, Which::All))
}

fn tools(options: &str, filters: &[String]) -> Vec<Tool> {
    filters.iter().map(|filter| ss(options, filter)).collect()
}

/// A socket that waits out its end carries nothing any more, and one that is still being opened
/// nothing yet: the wall refuses it.
fn ss(options: &str, filter: &str) -> Tool {
    const STATES: [&str; 8] =
        ["state", "connected", "exclude", "time-wait", "exclude", "syn-sent", "exclude", "syn-recv"];
    Tool::new("ss", [&[options], &STATES[..], &[filter]].concat())
}

/// Which sockets of a connection are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The gateway's, and that of a peer on this host.
    All,
    /// That of a peer on this host.
    Visitors,
}

/// Whose addresses a port is held on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Both,
    V4,
    V6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    /// That an address is one of the family. A socket of IPv6 that carries IPv4 is one of both, as it
    /// listens for both. `ss -4` would leave it out.
    fn of_source(self) -> &'static str {
        match self {
            Self::Both => "",
            Self::V4 => " and src 0.0.0.0/0",
            Self::V6 => " and src [::/0]",
        }
    }
}

fn filters(wall: &Wall, own: &BTreeSet<IpAddr>, which: Which) -> Vec<String> {
    let (v4, v6) = wall.places();
    let mut filters = by_port(&wall.ports, own, which, Family::Both);
    filters.extend(by_port(&v4.ports, own, which, Family::V4));
    filters.extend(by_port(&v6.ports, own, which, Family::V6));
    let exact4 = v4.exact.iter().map(|(address, port)| (address.to_string(), *port));
    let exact6 = v6.exact.iter().map(|(address, port)| (format!("[{address}]"), *port));
    let exact: Vec<String> = exact4
        .chain(exact6)
        .map(|(at, port)| {
            let visitors = format!("( dst {at} and dport = :{port} )");
            match which {
                Which::All => format!("( src {at} and sport = :{port} ) or {visitors}"),
                Which::Visitors => visitors,
            }
        })
        .collect();
    filters.extend(exact.chunks(PORTS_AT_ONCE).map(|lot| format!("( {} )", lot.join(" or "))));
    filters
}

fn by_port(ports: &BTreeSet<u16>, own: &BTreeSet<IpAddr>, which: Which, family: Family) -> Vec<String> {
    let ports: Vec<u16> = ports.iter().copied().collect();
    let loopback = [(Family::V4, "dst 127.0.0.0/8"), (Family::V6, "dst [::1]")];
    let mut here: Vec<String> = loopback
        .into_iter()
        .filter(|(of, _)| family == Family::Both || family == *of)
        .map(|(_, prefix)| prefix.to_owned())
        .collect();
    let own = own.iter().filter(|it| !it.is_loopback() && family.has(**it));
    here.extend(own.take(ADDRESSES).map(|it| match it {
        IpAddr::V4(address) => format!("dst {address}"),
        IpAddr::V6(address) => format!("dst [{address}]"),
    }));
    let here = here.join(" or ");
    let any = |end: &str, ports: &[u16]| {
        let each: Vec<String> = ports.iter().map(|port| format!("{end} = :{port}")).collect();
        each.join(" or ")
    };
    let filter = |ports: &[u16]| {
        let visitors = format!("( ( {} ) and ( {here} ) )", any("dport", ports));
        match which {
            Which::All => {
                format!("( ( ( {} ){} ) or {visitors} )", any("sport", ports), family.of_source())
            }
            Which::Visitors => visitors,
        }
    };
    ports.chunks(PORTS_AT_ONCE).map(filter).collect()
}

/// Reads what `ss -Htn` printed: state, two queues, and the two ends.
pub(crate) fn read(text: &str) -> Result<BTreeSet<Connection>, Garbled> {
    let mut connections = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut fields = line.split_whitespace().skip(3);
        let (Some(local), Some(peer)) = (fields.next(), fields.next()) else {
            return Err(Garbled(line.chars().take(80).collect()));
        };
        connections.insert((local.to_owned(), peer.to_owned()));
    }
    Ok(connections)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::barrier::firewall::wall::Stance;

    fn at(ports: BTreeSet<u16>) -> Wall {
        Wall { ports, ..Wall::empty(Stance::Block) }
    }

    #[test]
    fn on_a_shared_port_only_the_gateways_own_place_is_named() {
        let doors = ["127.0.0.2:5432", "[::1]:5432", "[::]:6000"].map(|it| it.parse().unwrap()).into();
        let wall = Wall { doors, ..at(BTreeSet::new()) };
        let said: Vec<String> = list(&wall, &BTreeSet::new())
            .iter()
            .map(|tool| {
                format!("{} {}", tool.arguments[0].to_str().unwrap(), tool.arguments[9].to_str().unwrap())
            })
            .collect();
        assert_eq!(
            said,
            [
                "-Htn ( ( ( sport = :6000 ) and src [::/0] ) or ( ( dport = :6000 ) and ( dst [::1] ) ) )",
                "-Htn ( ( src 127.0.0.2 and sport = :5432 ) or ( dst 127.0.0.2 and dport = :5432 ) or \
                 ( src [::1] and sport = :5432 ) or ( dst [::1] and dport = :5432 ) )",
            ]
        );
    }

    #[test]
    fn the_filter_names_ports_of_both_ends_and_own_addresses() {
        let own = ["192.0.2.1", "127.0.0.1", "2001:db8::1"].map(|it| it.parse().unwrap()).into();
        let [tool] = destroy(&at(BTreeSet::from([1, 2])), &own).try_into().unwrap();
        let arguments: Vec<_> = tool.arguments.iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(arguments[..5], ["-KHtn", "state", "connected", "exclude", "time-wait"]);
        assert_eq!(
            arguments[9],
            "( ( ( sport = :1 or sport = :2 ) ) or ( ( dport = :1 or dport = :2 ) and ( dst 127.0.0.0/8 or dst [::1] \
             or dst 192.0.2.1 or dst [2001:db8::1] ) ) )"
        );
    }

    #[test]
    fn without_ports_nothing_is_run() {
        assert!(destroy(&at(BTreeSet::new()), &BTreeSet::new()).is_empty());
    }

    #[test]
    fn many_ports_are_asked_for_in_lots() {
        assert_eq!(list(&at((1..=1000).collect()), &BTreeSet::new()).len(), 16);
    }

    #[test]
    fn a_line_has_both_ends() {
        let text = "ESTAB 0 0 127.0.0.1:18789 127.0.0.1:40000 \nCLOSE-WAIT 1 0 [::ffff:10.0.0.1]:18789 [::ffff:10.0.0.2]:9\n";
        let read = read(text).unwrap();
        assert_eq!(read.len(), 2);
        assert!(read.contains(&("127.0.0.1:18789".to_owned(), "127.0.0.1:40000".to_owned())));
        assert!(super::read("ESTAB 0 0 127.0.0.1:18789").is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_breaks_the_reader(text in "\\PC*") {
            let _ = read(&text);
        }
    }
}
