use super::*;

fn items(text: &str) -> Vec<Item> {
    lines(text).into_iter().map(|(keyword, words)| Item::Line(keyword, words)).collect()
}

fn forwards(text: &str, host: &str) -> Vec<String> {
    found(&items(text), Some(host), false).forwards
}

#[test]
fn lines_are_read_in_every_spelling() {
    for text in [
        "RemoteForward 8080 localhost:18789",
        "  remoteforward=8080 localhost:18789",
        "\tREMOTEFORWARD = \"8080\" localhost:18789 # the panel",
        "RemoteForward \"8080:localhost:18789\"",
        "RemoteForward\t8080\tlocalhost:18789\r",
    ] {
        assert_eq!(forwards(text, "vps"), ["8080:localhost:18789"], "{text}");
    }
    for text in ["", "#RemoteForward 8080 localhost:18789", "LocalForward 8080 localhost:18789"] {
        assert_eq!(forwards(text, "vps"), [""; 0], "{text}");
    }
}

#[test]
fn a_block_holds_for_the_hosts_that_fit() {
    let file = |patterns: &str| format!("Host {patterns}\nRemoteForward 1 localhost:1\n");
    for patterns in ["vps", "other vps", "v*", "?ps", "*", "* !other", "*.example vps", "\"vps\""] {
        assert_eq!(forwards(&file(patterns), "vps").len(), 1, "{patterns}");
    }
    for patterns in ["other", "!vps *", "* !v*", "vp", "vps?", "!other", "VPS"] {
        assert_eq!(forwards(&file(patterns), "vps").len(), 0, "{patterns}");
    }
    assert_eq!(
        forwards(&format!("RemoteForward 2 localhost:2\n{}", file("x")), "vps").len(),
        1,
        "before any block"
    );
}

#[test]
fn what_a_match_asks_is_not_asked_and_counts_as_so() {
    for asked in ["all", "exec \"test -e /x\"", "host other", "user ana", "localnetwork 10.0.0.0/8", ""] {
        let file = format!("Host x\nMatch {asked}\n RemoteForward 1080\n");
        assert_eq!(forwards(&file, "vps"), ["1080"], "{asked}");
    }
    // It may add a forward, and take none away.
    let file = "Match exec x\nClearAllForwardings yes\nHost *\nRemoteForward 1080\n";
    assert_eq!(found(&items(file), Some("vps"), false).clears, None);
    let file = "Match exec x\nClearAllForwardings no\nHost *\nClearAllForwardings yes\n";
    assert_eq!(found(&items(file), Some("vps"), false).clears, Some(false));
}

#[test]
fn files_that_are_read_again_are_read_for_the_other_name_too() {
    let again = "Host vps\nHostName box.example\nHost *.example\nRemoteForward 1080\n";
    assert_eq!(forwards(again, "vps"), [""; 0]);
    assert_eq!(forwards(&format!("{again}Match final all\nCompression yes\n"), "vps"), ["1080"]);
    assert_eq!(forwards(&format!("{again}Match final all\nCompression yes\n"), "other"), [""; 0]);
    // What the name will be is not known.
    for file in
        [format!("CanonicalizeHostname yes\n{again}"), format!("CanonicalizeHostname always\n{again}")]
    {
        assert_eq!(forwards(&file, "other"), ["1080"], "{file}");
    }
    assert_eq!(forwards(&format!("CanonicalizeHostname no\n{again}"), "other"), [""; 0]);
    assert_eq!(found(&items(again), Some("other"), true).forwards, ["1080"]);
    assert_eq!(found(&items(again), None, false).forwards, ["1080"], "whom it connects to does not show");
}

#[test]
fn an_included_file_holds_where_it_stands_and_ends_its_own_blocks() {
    let included = items("RemoteForward 1080\nHost other\nRemoteForward 1081\n");
    let file = |block: &str| {
        let mut all = items(&format!("Host {block}"));
        all.push(Item::Included(vec![included.clone()]));
        all.extend(items("RemoteForward 1082"));
        all
    };
    assert_eq!(found(&file("vps"), Some("vps"), false).forwards, ["1080", "1082"]);
    assert_eq!(found(&file("x"), Some("vps"), false).forwards, [""; 0]);
    assert_eq!(
        found(&file("x"), Some("other"), false).forwards,
        [""; 0],
        "a block within one that does not hold"
    );
}

#[test]
fn a_file_that_is_not_read_is_unknown_only_where_it_would_hold() {
    let file = |block: &str| {
        let mut all = items(&format!("Host {block}"));
        all.push(Item::Unread(Gap::Usual));
        all
    };
    assert!(found(&file("vps"), Some("vps"), false).unclear.is_some());
    assert!(found(&file("other"), Some("vps"), false).unclear.is_none());
}

#[test]
fn many_stars_do_not_multiply_the_time() {
    assert!(!fits(&"*a".repeat(100), &"a".repeat(99)));
    assert!(fits(&format!("{}*", "a*".repeat(30)), &"a".repeat(2000)));
}

proptest::proptest! {
    #[test]
    fn any_text_is_borne(
        text in "(Host|Match|all|final|RemoteForward|HostName|ClearAllForwardings|Include|[ =\n\"'#*?!,:%~-]|[0-9.]{1,5}|é){0,60}",
        host in "([a-c*?!,]|é){0,6}",
    ) {
        let _ = found(&items(&text), Some(&host), false);
        let _ = found(&items(&text), None, false);
    }
}
