use super::*;

/// A wall whose ports nobody shares.
fn alone() -> Wall {
    Wall { doors: BTreeSet::new(), ..Wall::sample() }
}

fn lines(wall: &Wall) -> Vec<String> {
    rules(wall).lines().map(str::to_owned).collect()
}

/// The first rule that names all of these, by its place.
fn place(rules: &[String], words: &[&str]) -> usize {
    let has = |rule: &String| words.iter().all(|word| rule.contains(word));
    rules.iter().position(has).unwrap_or_else(|| panic!("{words:?} in {rules:#?}"))
}

#[test]
fn a_sealed_port_in_full() {
    let wall = Wall { local_users: Some([0, 501].into()), gateway_user: None, ..alone() };
    assert_eq!(
        rules(&wall),
        "\
pass in quick proto tcp from any to any port = 18789 flags R/R no state
pass out quick on lo0 proto tcp from any to any port = 18789 user 0 no state
pass out quick on lo0 proto tcp from any to any port = 18789 user 501 no state
block return out quick on lo0 proto tcp from any to any port = 18789 flags S/SA
pass in quick on lo0 inet proto tcp from any to 127.0.0.0/8 port = 18789 no state
pass in quick on lo0 inet6 proto tcp from any to ::1 port = 18789 no state
pass in quick on lo0 inet proto tcp from any to 192.0.2.1 port = 18789 no state
pass in quick on tun0 inet proto tcp from any to 192.0.2.1 port = 18789 no state
pass in quick on lo0 inet6 proto tcp from any to 2001:db8::1 port = 18789 no state
pass in quick on tun0 inet6 proto tcp from any to 2001:db8::1 port = 18789 no state
pass in quick inet proto tcp from 192.0.2.1/32 to any port = 18789 no state
pass in quick inet6 proto tcp from 2001:db8::1/128 to any port = 18789 no state
block return in quick proto tcp from any to any port = 18789
"
    );
}

#[test]
fn the_gateways_user_is_held_on_any_port_for_what_comes_in_alone() {
    let rules = lines(&Wall { ports: BTreeSet::new(), gateway_user: Some(222), ..alone() });
    assert_eq!(rules.last().unwrap(), "block return in quick proto tcp from any to any user 222 flags S/SA");
    assert!(rules.iter().all(|rule| rule.contains(" in ") && rule.contains("user 222 flags S/SA")));
    assert!(place(&rules, &["on lo0", "127.0.0.0/8"]) < rules.len() - 1);
}

#[test]
fn a_recovery_lets_this_host_itself_through_and_nobody_else() {
    let rules = lines(&Wall { stance: Stance::Loopback, ..alone() });
    let passed: Vec<_> =
        rules.iter().filter(|rule| rule.starts_with("pass in") && !rule.contains("R/R")).collect();
    assert!(passed.iter().all(|rule| rule.contains(" on lo0 ")), "{passed:#?}");
    let to = |address: &str| passed.iter().filter(|rule| rule.contains(&format!(" to {address} "))).count();
    assert_eq!((to("127.0.0.0/8"), to("::1")), (2, 2), "{passed:#?}");
    assert_eq!((to("192.0.2.1"), to("2001:db8::1")), (2, 2), "{passed:#?}");
}

#[test]
fn a_block_lets_nothing_through_but_resets_either_way() {
    let rules = lines(&Wall { stance: Stance::Block, ..Wall::sample() });
    assert!(rules.iter().filter(|rule| rule.starts_with("pass")).all(|rule| rule.contains("flags R/R")));
    place(&rules, &["block return out quick proto tcp from any port = 18789 to any"]);
    place(&rules, &["block return in quick proto tcp from any to any port = 18789"]);
    place(&rules, &["block return in quick proto tcp from any to any user 0 flags S/SA"]);
}

#[test]
fn nobody_listed_is_nobody_and_no_list_is_everybody() {
    let nobody = lines(&Wall { local_users: Some(BTreeSet::new()), ..Wall::sample() });
    place(&nobody, &["block return out quick on lo0"]);
    assert!(!nobody.iter().any(|rule| rule.starts_with("pass out")));
    let everybody = lines(&Wall { local_users: None, ..Wall::sample() });
    assert!(!everybody.iter().any(|rule| rule.contains(" out ")));
}

#[test]
fn neighbouring_ports_share_a_rule() {
    let ports = [80, 1000, 1001, 1002, 65534, 65535].into();
    assert_eq!(spans(&ports), ["= 80", "1000:1002", "65534:65535"]);
    let wall = Wall { ports: (1000..2000).collect(), ..Wall::empty(Stance::Seal) };
    assert_eq!(lines(&wall).len(), 4);
}

#[test]
fn a_wall_without_ports_and_user_has_no_rules_and_is_still_loaded() {
    let rules = rules(&Wall::empty(Stance::Block));
    assert_eq!(rules, "");
    assert_eq!(load(&rules).input, b"\n");
}

#[test]
fn nothing_but_our_own_anchor_is_ever_changed() {
    for tool in [load("x"), flush(), list()] {
        assert_eq!(tool.arguments[..2], ["-a", ANCHOR], "{tool:?}");
    }
    assert_eq!(check("x").arguments[..3], ["-n", "-a", ANCHOR]);
    for (tool, arguments) in [
        (list_main(), vec!["-s", "rules"]),
        (info(), vec!["-s", "info"]),
        (references(), vec!["-s", "References"]),
        (enable(), vec!["-E"]),
    ] {
        assert_eq!(tool.arguments, arguments);
    }
    assert_eq!(release("17").arguments, ["-X", "17"]);
}

#[test]
fn every_rule_is_quick_and_a_line_of_its_own() {
    for stance in [Stance::Seal, Stance::Loopback, Stance::Block] {
        for rule in lines(&Wall { stance, ..Wall::sample() }) {
            assert!(rule.contains(" quick ") && !rule.contains(['{', '}', '<', '\\', '"', '#']), "{rule}");
        }
    }
}

#[test]
fn on_a_shared_port_only_the_gateways_place_is_held() {
    let doors = ["127.0.0.2:5432", "[2001:db8::1]:5432", "[::]:6000"].map(|it| it.parse().unwrap()).into();
    let wall = Wall { ports: BTreeSet::new(), doors, gateway_user: None, ..Wall::sample() };
    let sealed = rules(&wall);
    assert_eq!(
        sealed.lines().skip_while(|line| line.contains("6000")).collect::<Vec<_>>().join("\n"),
        "\
pass in quick inet proto tcp from any to 127.0.0.2 port = 5432 flags R/R no state
pass out quick on lo0 inet proto tcp from any to 127.0.0.2 port = 5432 user 0 no state
block return out quick on lo0 inet proto tcp from any to 127.0.0.2 port = 5432 flags S/SA
pass in quick on lo0 inet proto tcp from any to 127.0.0.2 port = 5432 no state
pass in quick inet proto tcp from 192.0.2.1/32 to 127.0.0.2 port = 5432 no state
block return in quick inet proto tcp from any to 127.0.0.2 port = 5432
pass in quick inet6 proto tcp from any to 2001:db8::1 port = 5432 flags R/R no state
pass out quick on lo0 inet6 proto tcp from any to 2001:db8::1 port = 5432 user 0 no state
block return out quick on lo0 inet6 proto tcp from any to 2001:db8::1 port = 5432 flags S/SA
pass in quick on lo0 inet6 proto tcp from any to 2001:db8::1 port = 5432 no state
pass in quick on tun0 inet6 proto tcp from any to 2001:db8::1 port = 5432 no state
pass in quick inet6 proto tcp from 2001:db8::1/128 to 2001:db8::1 port = 5432 no state
block return in quick inet6 proto tcp from any to 2001:db8::1 port = 5432"
    );
    assert!(sealed.lines().filter(|line| line.contains("6000")).all(|line| line.contains("inet6")));
    let blocked = rules(&Wall { stance: Stance::Block, ..wall });
    assert!(blocked.contains("block return out quick inet proto tcp from 127.0.0.2 port = 5432 to any\n"));
}
