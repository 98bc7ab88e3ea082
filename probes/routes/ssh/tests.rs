use super::*;
use crate::routes::ssh::config::Item;

fn read(line: &str) -> CommandLine {
    let mut words = line.split(' ').map(str::to_owned);
    let program = words.next().unwrap();
    CommandLine::read(&program, &words.collect::<Vec<_>>()).unwrap()
}

fn items(text: &str) -> Vec<Item> {
    config::lines(text).into_iter().map(|(keyword, words)| Item::Line(keyword, words)).collect()
}

/// What arguments and a file say together: the ports, and whether that is all.
fn told(line: &str, file: &str) -> (Vec<u16>, bool) {
    let read = read(line);
    let found = config::found(&items(file), read.host.as_deref(), read.renames);
    let told = together(&read, &found);
    (told.instructions.into_iter().map(|it| it.target.port).collect(), told.whole)
}

#[test]
fn the_host_and_the_file_are_found_wherever_they_stand() {
    for (line, host) in [
        ("ssh vps", "vps"),
        ("ssh -N ana@vps", "vps"),
        ("ssh -p 2222 -i key vps -N", "vps"),
        ("ssh ssh://ana@vps:2222", "vps"),
        ("ssh -- vps run", "vps"),
        ("autossh -M 0 -N vps", "vps"),
    ] {
        assert_eq!(read(line).host.as_deref(), Some(host), "{line}");
    }
    assert_eq!(read("ssh -F my.conf vps").file.as_deref(), Some("my.conf"));
    assert_eq!(read("ssh -NFmy.conf vps").file.as_deref(), Some("my.conf"));
    assert_eq!(read("ssh -V").host, None);
}

#[test]
fn a_port_alone_is_a_proxy_for_every_destination() {
    for anywhere in ["1080", "0.0.0.0:1080", "[::]:1080", "*:1080", "", "x", "8080:localhost:http"] {
        assert_eq!(forward(anywhere), Forward::Anywhere, "{anywhere}");
    }
    assert_eq!(forward("8080:/run/panel.sock"), Forward::File);
    assert_eq!(forward("/run/a.sock:/run/b.sock"), Forward::File);
    assert_eq!(
        forward("8080:localhost:18789"),
        Forward::To(Target { host: "localhost".into(), port: 18789 })
    );
    for line in ["ssh -NR 1080 vps", "ssh -o RemoteForward=1080 vps", "ssh -oremoteforward=*:1080 vps"] {
        assert_eq!(told(line, ""), (vec![], false), "{line}");
    }
    assert_eq!(
        told("ssh -R 8080:localhost:18789 vps", ""),
        (vec![], true),
        "its arguments tell that themselves"
    );
    assert_eq!(told("ssh -D 1080 vps", ""), (vec![], true));
}

#[test]
fn a_forward_in_the_file_counts_for_its_host_alone() {
    let file = "Host vps\n  RemoteForward 8080 localhost:18789\nHost other\n  RemoteForward 1080\n";
    assert_eq!(told("ssh -N vps", file), (vec![18789], true));
    assert_eq!(told("ssh -N other", file), (vec![], false));
    assert_eq!(told("ssh git@github.example", file), (vec![], true));
}

#[test]
fn all_forwards_can_be_forgotten() {
    let file = "Host vps\n  RemoteForward 8080 localhost:18789\n";
    for line in [
        "ssh -o ClearAllForwardings=yes -R 1080 vps",
        "ssh -oClearAllForwardings=yes -s -- vps sftp",
        "ssh -W [inner]:22 vps",
    ] {
        assert_eq!(told(line, file), (vec![], true), "{line}");
        assert_eq!(instructions("ssh", &line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>()), []);
    }
    assert_eq!(told("ssh -W x:1 -o ClearAllForwardings=no vps", file), (vec![18789], true));
    let clears = format!("Host *\n ClearAllForwardings yes\n{file}");
    assert_eq!(told("ssh -R 1080 vps", &clears), (vec![], true));
    assert_eq!(told("ssh -o ClearAllForwardings=no vps", &clears), (vec![18789], true));
}

#[test]
fn what_only_a_file_keeps_from_being_forgotten_is_told() {
    let file = "Host *\n ClearAllForwardings no\n";
    let line = "ssh -W x:1 -R 8080:localhost:18789 vps";
    assert_eq!(told(line, file), (vec![18789], true));
    assert_eq!(told(line, ""), (vec![], true), "forgotten, as nothing else is said");
    assert_eq!(told("ssh -W x:1 -R 1080 vps", file), (vec![], false));
    let line = "ssh -W x:1 -o ClearAllForwardings=no -R 8080:localhost:18789 vps";
    assert_eq!(told(line, file), (vec![], true), "its arguments tell that themselves");
}

#[test]
fn the_window_of_a_dbclient_makes_it_forget_nothing() {
    for line in
        ["-W 65536 -R 8080:localhost:18789 vps", "-o ClearAllForwardings=yes -R 8080:localhost:18789 vps"]
    {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let ports: Vec<u16> = instructions("dbclient", &arguments).iter().map(|it| it.target.port).collect();
        assert_eq!(ports, [18789], "{line}");
    }
}

#[test]
fn a_file_that_could_not_be_read_leaves_it_unknown() {
    for gap in [Gap::Usual, Gap::Unusual] {
        let found = config::found(&[Item::Unread(gap)], Some("vps"), false);
        for line in ["ssh vps", "ssh -W x:1 vps", "ssh -o ClearAllForwardings=no vps"] {
            assert!(!together(&read(line), &found).whole, "{line}");
        }
        assert!(together(&read("ssh -o ClearAllForwardings=yes vps"), &found).whole, "its arguments say it");
    }
}

#[test]
fn an_ssh_of_which_what_is_missing_is_missing_of_many_is_seldom_a_tunnel() {
    let seldom = |line: &str, gaps: &[Gap], file: &str| {
        let mut items = items(file);
        items.extend(gaps.iter().map(|gap| Item::Unread(*gap)));
        let read = read(line);
        is_seldom(&read, &config::found(&items, read.host.as_deref(), read.renames))
    };
    assert!(seldom("ssh vps", &[Gap::Usual], ""));
    assert!(seldom("ssh vps", &[Gap::Usual], "RemoteForward 8080 localhost:18789"), "which is told");
    assert!(!seldom("ssh vps", &[], ""));
    assert!(!seldom("ssh vps", &[Gap::Usual, Gap::Unusual], ""));
    assert!(!seldom("ssh vps", &[Gap::Usual], "RemoteForward 1080"));
    for forward in ["-R 1080", "-R 8080:localhost:18789", "-o RemoteForward=1080"] {
        assert!(!seldom(&format!("ssh {forward} vps"), &[Gap::Usual], ""), "{forward}");
    }
    assert_eq!(Gap::of(&crate::file::Unread::Denied), Gap::Usual);
    assert_eq!(Gap::of(&crate::file::Unread::NotAFile), Gap::Unusual);
}
