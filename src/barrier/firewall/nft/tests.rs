use std::collections::BTreeSet;

use super::*;

/// The rules of a chain, as text.
fn rules(wall: &Wall, chain: &str) -> Vec<String> {
    let ruleset = ruleset(wall);
    let commands = ruleset["nftables"].as_array().unwrap().clone();
    let of_chain = commands.into_iter().map(|mut it| it["add"]["rule"].take());
    of_chain.filter(|rule| rule["chain"] == chain).map(|rule| rule["expr"].to_string()).collect()
}

fn set(wall: &Wall, name: &str) -> Value {
    let ruleset = ruleset(wall);
    let commands = ruleset["nftables"].as_array().unwrap().clone();
    commands.into_iter().map(|mut it| it["add"]["set"].take()).find(|set| set["name"] == name).unwrap()
}

#[test]
fn nothing_but_our_own_table_is_ever_named() {
    for stance in [Stance::Seal, Stance::Loopback, Stance::Block] {
        for commands in [ruleset(&Wall { stance, ..Wall::sample() }), removal()] {
            for command in commands["nftables"].as_array().unwrap() {
                let (verb, object) = command.as_object().unwrap().iter().next().unwrap();
                assert!(verb == "add" || *command == json!({"delete": table()}), "{command}");
                let (kind, object) = object.as_object().unwrap().iter().next().unwrap();
                let name = if kind == "table" { &object["name"] } else { &object["table"] };
                assert_eq!((&object["family"], name), (&json!("inet"), &json!(TABLE)), "{command}");
            }
        }
    }
}

#[test]
fn the_old_table_goes_in_the_same_transaction_even_if_there_was_none() {
    let ruleset = ruleset(&Wall::sample());
    let commands = ruleset["nftables"].as_array().unwrap();
    assert_eq!(commands[..3], [add_table(), json!({"delete": table()}), add_table()]);
}

#[test]
fn nothing_of_the_wall_is_among_the_arguments() {
    let tool = apply(&ruleset(&Wall::sample()));
    assert_eq!((tool.program, tool.arguments), ("nft".into(), vec!["-j".into(), "-f".into(), "-".into()]));
    assert_eq!(check(&removal()).arguments[0], "--check");
}

#[test]
fn a_set_without_elements_has_no_list_of_them() {
    let wall = Wall::empty(Stance::Seal);
    for name in ["ports", "vpn", "own4", "own6", "networks4", "networks6", "users"] {
        assert!(set(&wall, name).get("elem").is_none(), "{name}");
    }
    assert_eq!(set(&Wall::sample(), "ports")["elem"], json!([18789]));
}

#[test]
fn while_blocked_no_chain_lets_anything_through_but_resets() {
    let wall = Wall { stance: Stance::Block, ..Wall::sample() };
    for chain in ["door", "answers", "published", "forwarded"] {
        let rules = rules(&wall, chain);
        assert_eq!(rules.len(), 1, "{chain}: {rules:?}");
        assert!(!rules[0].contains("accept"), "{chain}: {rules:?}");
    }
    assert!(rules(&wall, "output").iter().any(|rule| rule.contains("sport")));
}

/// Elsewhere a place on a shared port is one socket's; while blocked it may be what an engine publishes by translation.
#[test]
fn what_came_for_a_shared_place_is_followed_through_translation_while_blocked_and_only_then() {
    for (stance, followed) in [(Stance::Block, true), (Stance::Loopback, false), (Stance::Seal, false)] {
        let wall = Wall { stance, ..Wall::sample() };
        for chain in ["translated", "output"] {
            let rules = rules(&wall, chain);
            for set in ["@ports4", "@ports6", "@doors4", "@doors6"] {
                let by = |rule: &&String| rule.contains("proto-dst") && rule.contains(set);
                assert_eq!(rules.iter().any(|rule| by(&rule)), followed, "{stance:?} {chain} {set}");
            }
        }
        let own =
            rules(&wall, "translated").iter().any(|it| it.contains("daddr") && it.contains("\"dport\""));
        assert_eq!(own, followed, "a guest's own place, {stance:?}");
    }
}

#[test]
fn every_chain_that_lets_something_through_ends_with_what_stops_the_rest() {
    for chain in ["door", "answers", "published", "forwarded"] {
        let rules = rules(&Wall::sample(), chain);
        let last = rules.last().unwrap();
        assert_eq!(last, &json!([goto("refuse")]).to_string());
        assert!(rules.iter().all(|rule| rule == last || rule.contains("match")), "{rules:?}");
    }
}

#[test]
fn users_are_asked_for_only_where_some_are_named() {
    let everybody = Wall { local_users: None, ..Wall::sample() };
    assert!(!rules(&everybody, "output").iter().any(|rule| rule.contains("@users")));
    let nobody = Wall { local_users: Some(BTreeSet::new()), ..Wall::sample() };
    assert!(rules(&nobody, "output").iter().any(|rule| rule.contains("@users")));
}

#[test]
fn without_a_user_of_its_own_no_answers_are_looked_at() {
    let shared = Wall { gateway_user: None, ..Wall::sample() };
    assert!(!rules(&shared, "output").iter().any(|rule| rule.contains("answers")));
}
