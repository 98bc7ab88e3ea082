//! Rules in the form in which pfctl(8) prints them.

use proptest::prelude::*;

use super::*;

const RULES: &str = include_str!("../../../fixtures/pf/nat.txt");

fn found(port: u16) -> Vec<Redirect> {
    let fits =
        |it: &Redirect| it.to.is_some_and(|to| (to.ports.0..=to.ports.1).contains(&port) && to.ports.0 > 1);
    redirects("", RULES).into_iter().filter(fits).collect()
}

#[test]
fn a_redirect_is_read_with_its_interface() {
    let [redirect] = found(18789).try_into().unwrap();
    assert_eq!(redirect.to.unwrap().to_string(), "127.0.0.1:18789");
    assert_eq!(redirect.arriving_on, ["en0"]);
    assert!(redirect.text.starts_with("pf: rdr pass on en0"), "{}", redirect.text);
    assert!(redirects("com.example", RULES)[0].text.starts_with("pf com.example: rdr "));
}

#[test]
fn what_is_negated_does_not_narrow_and_what_is_said_does() {
    let [redirect] = found(8005).try_into().unwrap();
    assert!(redirect.arriving_on.is_empty());
    assert_eq!(redirect.to.unwrap().ports, (8000, 8010));
    assert_eq!(redirect.from, ["10.0.0.0/8".parse::<IpNet>().unwrap()]);
    assert_eq!(redirect.arriving_at, ["192.168.1.5".parse::<IpAddr>().unwrap()]);
}

#[test]
fn several_targets_are_several_redirects() {
    let to: Vec<String> = found(1001).iter().map(|it| it.to.unwrap().to_string()).collect();
    assert_eq!(to, ["10.0.0.1:1001-1002", "10.0.0.2:1001-1002"]);
    assert_eq!(found(1003)[0].to.unwrap().to_string(), "[::1]:1003");
    assert_eq!(found(60001)[0].to.unwrap().to_string(), "0.0.0.0:60000-65535", "an address of this host");
}

#[test]
fn what_is_no_redirect_of_tcp_is_left_out() {
    for port in [5353, 1024, 22] {
        assert!(found(port).is_empty(), "{port}");
    }
}

#[test]
fn a_table_is_not_understood_and_a_translation_in_both_directions_is() {
    let all = redirects("", RULES);
    assert_eq!(all.iter().filter(|it| it.to.is_none()).count(), 1);
    assert!(all.iter().any(|it| it.to.is_some_and(|to| to.to_string() == "192.168.64.2:1-65535")));
}

#[test]
fn anchors_are_listed_by_their_paths() {
    assert_eq!(
        anchors("  com.apple\n  com.apple/200.AirDrop\n\n  com.apple/*\n"),
        ["com.apple", "com.apple/200.AirDrop"]
    );
    assert!(anchors("-F all\n").is_empty(), "nothing that pfctl would take for an option");
}

#[test]
fn pf_says_whether_it_is_on() {
    assert_eq!(
        is_off("No ALTQ support in kernel\nStatus: Disabled for 0 days 00:00:01  Debug: Urgent\n"),
        Some(true)
    );
    assert_eq!(is_off("Status: Enabled for 0 days 00:12:34           Debug: Urgent\n"), Some(false));
    assert_eq!(is_off("pfctl: /dev/pf: Permission denied"), None);
}

proptest! {
    #[test]
    fn nothing_that_is_printed_breaks_the_readers(
        text in "\\PC*",
        noise in "(rdr |binat |on |proto |tcp |from |to |any |port |= |-> |\\{ |\\} |[0-9.:,/*()<> \n-]{1,8})*",
    ) {
        for text in [text, noise] {
            let _ = (redirects("a", &text), anchors(&text), is_off(&text));
        }
    }
}
