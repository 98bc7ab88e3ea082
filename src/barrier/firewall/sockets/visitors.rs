//! Connections that users of this host have to a gateway, to be ended where a wall does not admit them.
//!
//! A wall alone leaves half of such a connection behind: it answers the user's next packet with a
//! reset and the gateway never learns of it, so that the gateway's socket stays, connected with
//! nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Connection, Garbled, PORTS_AT_ONCE, Wall, Which, filters, ss, tools};
use guardian_probes::command::Tool;

/// Connections of this host's users, their own end first, and whose they are.
pub(crate) type Visitors = BTreeMap<Connection, u32>;

/// Lists them; a call for each lot of places.
pub(crate) fn list(wall: &Wall, own: &BTreeSet<IpAddr>) -> Vec<Tool> {
    tools("-Htne", &filters(wall, own, Which::Visitors))
}

/// Reads what `ss -Htne` printed.
pub(crate) fn read(text: &str) -> Result<Visitors, Garbled> {
    let mut visitors = Visitors::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let garbled = || Garbled(line.chars().take(80).collect());
        let mut fields = line.split_whitespace().skip(3);
        let (Some(local), Some(peer)) = (fields.next(), fields.next()) else { return Err(garbled()) };
        // Root's number is left out. What comes after the control group is of its owner's choosing.
        let uid = fields
            .take_while(|field| !field.starts_with("cgroup:"))
            .find_map(|field| field.strip_prefix("uid:"))
            .map_or(Ok(0), |uid| uid.parse().map_err(|_| garbled()))?;
        visitors.insert((local.to_owned(), peer.to_owned()), uid);
    }
    Ok(visitors)
}

/// Those of users who are not among these.
pub(crate) fn strangers(visitors: &Visitors, users: &BTreeSet<u32>) -> BTreeSet<Connection> {
    visitors.iter().filter(|(_, uid)| !users.contains(uid)).map(|(ends, _)| ends.clone()).collect()
}

/// Ends these at both ends, and no others: the gateway's is left where the visitor's has gone.
pub(crate) fn end(connections: &BTreeSet<Connection>) -> Vec<Tool> {
    let each: Vec<String> = connections
        .iter()
        .map(|(local, peer)| {
            let (local, peer) = (end_of(local), end_of(peer));
            format!("( src {local} and dst {peer} ) or ( src {peer} and dst {local} )")
        })
        .collect();
    each.chunks(PORTS_AT_ONCE / 2).map(|lot| ss("-KHtn", &format!("( {} )", lot.join(" or ")))).collect()
}

/// An end as `ss` understands it: `127.0.0.1%lo:80` is `127.0.0.1:80`, for the name of a device is
/// printed and not understood; an IPv4 address in IPv6's form is one of IPv4, which fits both forms.
fn end_of(printed: &str) -> String {
    let Some((address, port)) = printed.rsplit_once(':') else { return printed.to_owned() };
    let bare = address.trim_start_matches('[').split(['%', ']']).next().unwrap_or_default();
    match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => format!("{ip}:{port}"),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Err(_) => printed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::barrier::firewall::wall::Stance;

    /// Printed by iproute2 6.1.0: root's, ana's, one bound to a device, one over a mapped address.
    const PRINTED: &str = "\
ESTAB 0      0                   [::1]:42738              [::1]:18789 ino:12300756 sk:94d8f cgroup:/ <->
ESTAB 0      0               127.0.0.1:46042          127.0.0.1:18789 timer:(keepalive,58sec,0) uid:4001 ino:1 sk:94d83 cgroup:/ <->
ESTAB 0      0            127.0.0.1%lo:38790          127.0.0.1:18789 uid:4002 ino:12300757 sk:94d8e cgroup:/ <->
ESTAB 0      0      [::ffff:127.0.0.1]:38788 [::ffff:127.0.0.1]:18789 uid:4002 ino:12300755 sk:94d90 cgroup:/a uid:0 <->
";

    fn strangers_to(users: &[u32]) -> Vec<String> {
        let found = strangers(&read(PRINTED).unwrap(), &users.iter().copied().collect());
        found.into_iter().map(|(local, _)| local).collect()
    }

    #[test]
    fn whoever_is_not_admitted_is_a_stranger() {
        assert_eq!(strangers_to(&[0, 4001, 4002]), [""; 0]);
        assert_eq!(strangers_to(&[0, 4001]), ["127.0.0.1%lo:38790", "[::ffff:127.0.0.1]:38788"]);
        assert_eq!(strangers_to(&[4001, 4002]), ["[::1]:42738"]);
        assert_eq!(strangers_to(&[]).len(), 4);
    }

    #[test]
    fn they_are_ended_by_both_ends() {
        let found = strangers(&read(PRINTED).unwrap(), &BTreeSet::from([0, 4001]));
        let [tool] = end(&found).try_into().unwrap();
        assert_eq!(
            tool.arguments.last().unwrap(),
            "( ( src 127.0.0.1:38790 and dst 127.0.0.1:18789 ) or \
             ( src 127.0.0.1:18789 and dst 127.0.0.1:38790 ) or \
             ( src 127.0.0.1:38788 and dst 127.0.0.1:18789 ) or \
             ( src 127.0.0.1:18789 and dst 127.0.0.1:38788 ) )"
        );
        assert!(end(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn an_end_is_spelt_as_it_is_understood() {
        for (printed, understood) in [
            ("[fe80::1]%eth0:80", "[fe80::1]:80"),
            ("[fe80::1%eth0]:80", "[fe80::1]:80"),
            ("127.0.0.1%lo:80", "127.0.0.1:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("*:80", "*:80"),
            ("", ""),
        ] {
            assert_eq!(end_of(printed), understood);
        }
    }

    #[test]
    fn only_the_visitors_end_is_listed() {
        let doors = BTreeSet::from(["127.0.0.2:5432".parse().unwrap()]);
        let wall = Wall { ports: BTreeSet::from([18789]), doors, ..Wall::empty(Stance::Seal) };
        let said: Vec<_> = list(&wall, &BTreeSet::new())
            .into_iter()
            .map(|tool| tool.arguments.last().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            said,
            [
                "( ( dport = :18789 ) and ( dst 127.0.0.0/8 or dst [::1] ) )",
                "( ( dst 127.0.0.2 and dport = :5432 ) )",
            ]
        );
    }

    #[test]
    fn a_line_without_both_ends_or_with_an_odd_user_is_garbled() {
        for line in ["ESTAB 0 0 127.0.0.1:1", "ESTAB 0 0 127.0.0.1:1 127.0.0.1:2 uid:ana"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_breaks_the_reader(text in "\\PC*") {
            let _ = read(&text).map(|found| end(&strangers(&found, &BTreeSet::new())));
        }
    }
}
