//! Rules as iptables-save 1.8.9 prints them.

use proptest::prelude::*;

use super::*;

const SAVED: &str = include_str!("../../../fixtures/iptables/nat.txt");

fn leading_to(port: u16) -> Vec<String> {
    let redirects = read("iptables", SAVED).unwrap();
    let fits = |it: &&Redirect| {
        it.to.is_some_and(|to| (to.ports.0..=to.ports.1).contains(&port) && to.ports != (1, u16::MAX))
    };
    redirects
        .iter()
        .filter(fits)
        .map(|it| {
            let mut words = vec![it.to.unwrap().to_string()];
            words.extend(it.arriving_on.iter().map(|it| format!("on {it}")));
            words.extend(it.arriving_at.iter().map(|it| format!("at {it}")));
            words.extend(it.from.iter().map(|it| format!("from {it}")));
            words.join(" ")
        })
        .collect()
}

#[test]
fn the_table_nat_alone_is_read_from_where_packets_arrive() {
    assert_eq!(leading_to(80), ["172.17.0.2:80 at 127.0.0.1"], "a chain of Docker's");
    for elsewhere in [9999, 1009, 1011] {
        assert_eq!(leading_to(elsewhere), [""; 0], "another table, another protocol, what this host sends");
    }
}

#[test]
fn what_a_person_wrote_beside_a_rule_is_no_option() {
    assert_eq!(leading_to(1001), ["0.0.0.0:1001 on eth0"]);
}

#[test]
fn a_redirect_without_a_port_keeps_the_ports_that_it_is_for() {
    for port in [1002, 1005] {
        let found = leading_to(port);
        assert_eq!(found.len(), 1, "{port}");
        assert!(found[0].ends_with(" at 192.168.77.2 from 10.0.0.0/8"), "{found:?}");
    }
    assert_eq!(leading_to(1003), [""; 0]);
}

#[test]
fn destinations_are_read_in_every_form() {
    assert_eq!(leading_to(1006), ["10.0.0.1:1006-1007", "10.0.0.2:1006-1007"]);
    assert_eq!(leading_to(1008), ["0.0.0.0:1008"], "what is negated, or names many cards, narrows nothing");
    assert_eq!(leading_to(8001), ["10.88.0.5:8000-8001"]);
    let six = destination("[2001:db8::5]:80").unwrap();
    assert_eq!(six, [Target { ip: Some("2001:db8::5".parse().unwrap()), ports: Some((80, 80)) }]);
    assert_eq!(destination("2001:db8::5").unwrap()[0].ports, None);
    for garbled in ["[2001:db8::5", "a", "10.0.0.1:x", "10.0.0.9-10.0.0.1"] {
        assert_eq!(destination(garbled), None, "{garbled}");
    }
}

#[test]
fn a_target_that_is_not_understood_is_kept_as_such() {
    let redirects = read("iptables", SAVED).unwrap();
    let lost: Vec<&str> = redirects.iter().filter(|it| it.to.is_none()).map(|it| it.text.as_str()).collect();
    assert_eq!(lost, ["iptables -t nat -A PREROUTING -p tcp -j NETMAP --to 10.0.0.0/8"]);
}

#[test]
fn chains_that_call_each_other_end() {
    let calls = "-A PREROUTING -j PREROUTING\n".repeat(4);
    assert_eq!(read("iptables", &format!("*nat\n{calls}")).unwrap_err().cause, Cause::TooMuch);
}

proptest! {
    #[test]
    fn nothing_that_is_printed_breaks_the_reader(
        text in "\\PC*",
        noise in "\\*nat\n(-A |PREROUTING |-j |-g |DNAT |REDIRECT |--to-destination |--to-ports |! |-p |tcp |--dports |[\\[\\]0-9.:,/\" \\\\\n-]{1,8})*",
    ) {
        let _ = read("iptables", &text);
        let _ = read("iptables", &noise);
        let _ = destination(&text);
    }
}
