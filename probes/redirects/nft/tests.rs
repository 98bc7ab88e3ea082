//! Rules as nft 1.0.6 lists them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const RULESET: &str = include_str!("../../../fixtures/nft/ruleset.json");

fn reading(listing: &str) -> Reading {
    let mut rules = Ruleset::default();
    rules.add(listing).unwrap();
    rules.read().unwrap()
}

/// The rules that lead to this port, each as `ADDRESS:PORT` with what narrows it.
fn leading_to(port: u16) -> Vec<String> {
    shown(&reading(RULESET), |first, last| (first..=last).contains(&port) && (first, last) != (1, u16::MAX))
}

fn shown(reading: &Reading, fits: impl Fn(u16, u16) -> bool) -> Vec<String> {
    let found = reading.redirects.iter().filter(|it| it.to.is_some_and(|to| fits(to.ports.0, to.ports.1)));
    found
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
fn a_destination_is_read_with_the_interface_that_narrows_it() {
    assert_eq!(leading_to(2001), ["127.0.0.1:2001 on eth0"]);
    let redirects = reading(RULESET).redirects;
    let text = &redirects.iter().find(|it| it.to.unwrap().ports.0 == 2001).unwrap().text;
    assert_eq!(text, "ip nat pre: iifname eth0 tcp dport 8080 dnat to 127.0.0.1:2001");
}

#[test]
fn a_redirect_leads_to_this_host_at_the_address_that_was_called() {
    assert_eq!(leading_to(2002), ["0.0.0.0:2002"]);
    assert_eq!(leading_to(2003), ["0.0.0.0:2003 on lo"], "without a port it keeps the one it came to");
    assert_eq!(leading_to(2007), ["0.0.0.0:2004-2010"]);
}

#[test]
fn a_destination_without_a_port_keeps_the_ports_that_the_rule_is_for() {
    assert_eq!(leading_to(2011), ["127.0.0.1:2011"]);
    assert_eq!(leading_to(2014), ["127.0.0.1:2013-2014"]);
    assert_eq!(leading_to(2012), [""; 0]);
}

#[test]
fn maps_lead_to_each_of_their_values() {
    assert_eq!(leading_to(2015), ["127.0.0.1:2015"]);
    assert_eq!(leading_to(18789), ["127.0.0.1:18789"], "by its name");
    assert_eq!(leading_to(2016), ["10.0.0.1:2016"], "the key is the port");
    assert_eq!(leading_to(2017), ["10.0.0.2:2017"]);
}

#[test]
fn only_what_a_rule_says_of_its_packets_narrows_it() {
    let at = |ip: &str| format!("{ip}:2018 at 192.168.77.2");
    assert_eq!(
        leading_to(2018),
        [at("10.1.1.1"), at("10.1.1.2")],
        "from elsewhere than a network: from anywhere"
    );
    assert_eq!(leading_to(2022), ["0.0.0.0:2022"], "docker* is many");
    let any_port = shown(&reading(RULESET), |first, last| (first, last) == (1, u16::MAX));
    assert_eq!(any_port, ["127.0.0.1:1-65535 on eth0 on eth1 from 10.0.0.0/8"]);
}

#[test]
fn other_protocols_are_nobodys_business() {
    assert_eq!(leading_to(2019), ["0.0.0.0:2019"], "TCP is among them");
    for udp in [2020, 2021] {
        assert_eq!(leading_to(udp), [""; 0]);
    }
}

#[test]
fn chains_are_followed_from_where_packets_arrive() {
    let expected = ["127.0.0.1:1001 on wg0", "127.0.0.1:1001 at 192.168.77.2"];
    assert_eq!(leading_to(1001), expected, "by a map of verdicts, and by a jump");
    assert_eq!(leading_to(1002), ["0.0.0.0:1002 on wg0"]);
    for elsewhere in [1003, 2023] {
        assert_eq!(leading_to(elsewhere), [""; 0], "nobody jumps there, or what this host sends");
    }
}

#[test]
fn packets_that_are_rewritten_are_redirected_too() {
    assert_eq!(leading_to(4001), ["127.0.0.1:4001"]);
    assert_eq!(leading_to(3001), ["[2001:db8::1]:3001"]);
    assert_eq!(leading_to(3002), [""; 0], "a transparent proxy has a socket of its own");
}

#[test]
fn a_target_that_is_not_understood_is_kept_as_such() {
    let lost: Vec<String> =
        reading(RULESET).redirects.into_iter().filter(|it| it.to.is_none()).map(|it| it.text).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].contains("10.141.11.0"), "{lost:?}");
}

/// A listing with one chain where packets arrive and this rule in it.
fn listing(family: &str, table: &str, expressions: &Value) -> String {
    let chain = json!({"chain": {"family": family, "table": table, "name": "pre", "hook": "prerouting"}});
    let rule = json!({"rule": {"family": family, "table": table, "chain": "pre", "expr": expressions}});
    json!({"nftables": [{"metainfo": {}}, chain, rule]}).to_string()
}

#[test]
fn sets_that_are_not_listed_are_asked_for_and_then_found() {
    let expressions = json!([{"dnat": {"addr": {"map": {
        "key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@m"}}}}]);
    let mut rules = Ruleset::default();
    rules.add(&listing("ip", "nat", &expressions)).unwrap();
    let reading = rules.read().unwrap();
    let set = ("ip".to_owned(), "nat".to_owned(), "m".to_owned());
    assert_eq!(reading.wanted, [set.clone()].into());
    assert_eq!(reading.redirects[0].to, None);
    let map = json!({"nftables": [{"map": {"family": "ip", "table": "nat", "name": "m", "flags": "dynamic",
        "elem": [[{"elem": {"val": 80, "timeout": 9}}, {"concat": ["127.0.0.1", 81]}]]}}]});
    rules.add(&map.to_string()).unwrap();
    rules.is_listed(set);
    let reading = rules.read().unwrap();
    assert!(reading.wanted.is_empty() && rules.is_dynamic);
    assert_eq!(shown(&reading, |_, _| true), ["127.0.0.1:81"]);
}

#[test]
fn what_iptables_made_is_left_to_iptables() {
    for xt in [json!({"type": "target", "name": "DNAT"}), json!(null), json!({})] {
        let expressions = json!([{"xt": {"type": "match", "name": "addrtype"}}, {"xt": xt}]);
        let found = reading(&listing("ip6", "nat", &expressions));
        assert_eq!(found.by_iptables, ["ip6".to_owned()].into());
        assert!(found.redirects.is_empty());
        let elsewhere = reading(&listing("ip", "mine", &expressions));
        assert!(elsewhere.by_iptables.is_empty());
        assert_eq!(elsewhere.redirects[0].to, None, "iptables has no such table");
    }
    let harmless = json!([{"xt": {"type": "target", "name": "LOG"}}]);
    assert_eq!(reading(&listing("ip", "nat", &harmless)), Reading::default());
}

#[test]
fn chains_that_call_each_other_end() {
    let chain = |name: &str, hook: Value| json!({"chain": {"family": "ip", "table": "t", "name": name, "hook": hook}});
    let jump = |from: &str, to: &str| json!({"rule": {"family": "ip", "table": "t", "chain": from, "expr": [{"jump": {"target": to}}]}});
    let round = json!({"nftables": [chain("a", json!("prerouting")), chain("b", json!(null)),
        jump("a", "b"), jump("b", "a")]});
    assert_eq!(reading(&round.to_string()), Reading::default());
    let mut wide = vec![chain("a", json!("prerouting"))];
    wide.extend((0..40).map(|_| jump("a", "a")));
    let wide = json!({ "nftables": wide });
    let mut rules = Ruleset::default();
    rules.add(&wide.to_string()).unwrap();
    assert_eq!(rules.read().unwrap_err().cause, Cause::TooMuch);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "addr",
        "port",
        "map",
        "key",
        "data",
        "set",
        "elem",
        "val",
        "concat",
        "range",
        "prefix",
        "len",
        "match",
        "left",
        "right",
        "op",
        "payload",
        "protocol",
        "field",
        "meta",
        "tcp",
        "dport",
        "ip",
        "daddr",
        "dnat",
        "redirect",
        "mangle",
        "value",
        "vmap",
        "jump",
        "target",
        "xt",
        "@m",
        "127.0.0.1",
        "==",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..4)
                .prop_map(|entries| entries.into_iter().map(|(key, it)| (key.to_owned(), it)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_that_is_listed_breaks_the_reader(expressions in prop::collection::vec(any_json(), 0..4), elements in any_json(), text: String) {
        let mut rules = Ruleset::default();
        rules.add(&listing("ip", "nat", &Value::from(expressions))).unwrap();
        let map = json!({"nftables": [{"map": {"family": "ip", "table": "nat", "name": "m", "elem": elements}}]});
        rules.add(&map.to_string()).unwrap();
        let _ = rules.read();
        let _ = rules.add(&text);
        let _ = rules.add(&json!({"nftables": [{"rule": elements}]}).to_string());
    }
}
