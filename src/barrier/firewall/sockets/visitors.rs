//! Connections that users of this host have to a gateway, to be ended where a wall does not admit them.
//!
//! A wall alone leaves half of such a connection behind: it answers the user's next packet with a
//! reset and the gateway never learns of it, so that the gateway's socket stays, connected with
//! nobody.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Connection, Garbled, PORTS_AT_ONCE, Wall, Which, filters, ss, tools};
use guardian_probes::command::Tool;

/// Lists them, with their users; a call for each lot of places.
pub(crate) fn list(wall: &Wall, own: &BTreeSet<IpAddr>) -> Vec<Tool> {
    tools("-Htne", filters(wall, own, Which::Visitors))
}

/// Of what `ss -Htne` printed, the connections of users who are not among these.
pub(crate) fn strangers(text: &str, users: &BTreeSet<u32>) -> Result<BTreeSet<Connection>, Garbled> {
    let mut strangers = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let garbled = || Garbled(line.chars().take(80).collect());
        let mut fields = line.split_whitespace().skip(3);
        let (Some(local), Some(peer)) = (fields.next(), fields.next()) else { return Err(garbled()) };
        // Root's number is left out. What comes after the control group is of its owner's choosing.
        let uid = fields
            .take_while(|field| !field.starts_with("cgroup:"))
            .find_map(|field| field.strip_prefix("uid:"))
            .map_or(Ok(0), |uid| uid.parse().map_err(|_| garbled()))?;
        if !users.contains(&uid) {
            strangers.insert((local.to_owned(), peer.to_owned()));
        }
    }
    Ok(strangers)
}

/// Ends these, as `ss` has named them, and no others.
pub(crate) fn end(connections: &BTreeSet<Connection>) -> Vec<Tool> {
    let each: Vec<String> = connections
        .iter()
        .map(|(local, peer)| format!("( src {} and dst {} )", without_device(local), without_device(peer)))
        .collect();
    each.chunks(PORTS_AT_ONCE).map(|lot| ss("-KHtn", &format!("( {} )", lot.join(" or ")))).collect()
}

/// `127.0.0.1%lo:80` is `127.0.0.1:80`: the name of a device is printed, and not understood.
fn without_device(end: &str) -> String {
    match (end.split_once('%'), end.rsplit_once(':')) {
        (Some((address, rest)), Some((_, port))) => {
            let bracket = if rest.contains(']') { "]" } else { "" };
            format!("{address}{bracket}:{port}")
        }
        _ => end.to_owned(),
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
        let found = strangers(PRINTED, &users.iter().copied().collect()).unwrap();
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
        let found = strangers(PRINTED, &BTreeSet::from([0, 4001])).unwrap();
        let [tool] = end(&found).try_into().unwrap();
        assert_eq!(
            tool.arguments.last().unwrap(),
            "( ( src 127.0.0.1:38790 and dst 127.0.0.1:18789 ) or \
             ( src [::ffff:127.0.0.1]:38788 and dst [::ffff:127.0.0.1]:18789 ) )"
        );
        assert!(end(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_device_is_left_out_of_an_address() {
        for (printed, understood) in [
            ("[fe80::1]%eth0:80", "[fe80::1]:80"),
            ("[fe80::1%eth0]:80", "[fe80::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(without_device(printed), understood);
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
            assert!(strangers(line, &BTreeSet::from([0])).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_breaks_the_reader(text in "\\PC*") {
            let _ = strangers(&text, &BTreeSet::new()).map(|found| end(&found));
        }
    }
}
