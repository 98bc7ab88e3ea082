//! The Debian package, in a bare Debian with a real apt and a real systemd: it brings files alone, its program is
//! what `guardian install` has the services run, an upgrade lets go of nothing, and it does not go before what
//! Guardian has put up.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use serde_json::Value;

use crate::host::{Host, User};
use crate::http;
use crate::installed::{Person, same, untouched};
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::{Lab, given};
use crate::supervised::{Manager, PORT, UNIT, until};

const GUARDIAN: &str = "/usr/bin/guardian";
const APT: &str = "apt-get --yes --no-install-recommends -o Dpkg::Use-Pty=0";
const DOOR: u16 = 18700;
/// What Guardian's own policy has before blindness trips.
const PATIENCE: Duration = Duration::from_secs(10);

/// A machine with nothing on it but Debian, and whoever is at its keyboard.
fn machine() -> Option<Place> {
    let place = given(Host::bare_debian()).map(Place::around)?;
    untouched(&place.host);
    Some(place)
}

/// The program that is tested, without what only a debugger reads: taking that away takes longer than the rest.
fn program() -> &'static Path {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guardian-to-pack");
        let status =
            Command::new("strip").arg("-o").arg(&stripped).arg(env!("CARGO_BIN_EXE_guardian")).status();
        assert!(status.unwrap().success(), "strip");
        stripped
    })
}

/// Has the program that is tested packed. Nothing is compressed, which would take most of the time.
fn pack(folder: &Path, version: Option<&str>, environment: &[(&str, &str)]) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(top.join("packaging/deb/build"));
    build.arg(program()).arg(folder).env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    build.env_remove("SOURCE_DATE_EPOCH").env_remove("DEB_VERSION").envs(environment.iter().copied());
    build.envs(version.map(|version| ("DEB_VERSION", version)));
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// A package on the machine; its name there.
fn carried(host: &Host, folder: &Path, version: Option<&str>) -> String {
    let package = pack(folder, version, &[]);
    let name = format!("/mnt/lab/{}", package.file_name().unwrap().to_str().unwrap());
    fs::rename(&package, host.path(&name))
        .or_else(|_| fs::copy(&package, host.path(&name)).map(drop))
        .unwrap();
    name
}

/// Types a command of Debian's; its exit code, and what it says.
fn types(host: &Host, line: &str) -> (i32, String) {
    let mut command = Host::command("sh");
    command.args(["-c", &format!("{{ {line}\n}} 2>&1")]).env("DEBIAN_FRONTEND", "noninteractive");
    let output = host.spawn(User::Root, command.stdout(Stdio::piped())).wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[track_caller]
fn does(host: &Host, line: &str) -> String {
    let (code, said) = types(host, line);
    assert_eq!(code, 0, "{line}: {said}");
    said
}

/// Every file of the machine, but what apt and dpkg write of what they did, and what `useradd` keeps.
fn whole(host: &Host) -> String {
    let folders = "/ /usr/local /home /root -xdev";
    let but = r"( -path /mnt -o -path /lab -o -path /proc -o -path /tmp -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log ) -prune -o ! -name passwd- ! -name group- ! -name shadow- ! -name gshadow- ! -name subuid- ! -name subgid- ! -name .pwd.lock";
    let but = but.replace('(', r"\(").replace(')', r"\)").replace('!', r"\!");
    does(
        host,
        &format!(
            "{{ find {folders} {but} -printf '%p %y %m %U %G %l\\n' | sort; \
             find {folders} {but} -type f -print0 | sort -z | xargs -0 -r sha256sum; \
             nft list tables; ls /run; }}"
        ),
    )
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

fn installed(host: &Host) -> bool {
    types(host, "dpkg-query --show --showformat='${Status}' guardian").1.ends_with(" ok installed")
}

#[test]
fn a_program_is_packed_the_same_wherever_and_whenever_that_is_done() {
    let Some(_lab) = Lab::open() else { return };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let one = pack(folders[0].path(), None, &[]);
    sleep(Duration::from_secs(1));
    let elsewhere =
        [("TZ", "Asia/Tokyo"), ("TMPDIR", folders[0].path().to_str().unwrap()), ("LC_ALL", "C.UTF-8")];
    let other = pack(folders[1].path(), None, &elsewhere);
    assert_eq!(one.file_name(), other.file_name());
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "the packages differ");
}

#[test]
fn a_package_brings_files_alone_and_takes_them_away_again() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = machine() else { return };
    let host = &place.host;
    let folder = tempfile::tempdir().unwrap();
    let package = carried(host, folder.path(), None);
    let before = whole(host);

    let said = does(host, &format!("{APT} install {package}"));
    assert!(said.contains("sudo guardian install"), "{said}");
    let after = whole(host);
    let brought = does(host, "dpkg --listfiles guardian");
    let (was, is) = (lines(&before), lines(&after));
    for line in is.difference(&was) {
        let path = line.split(' ').find(|word| word.starts_with('/')).unwrap();
        assert!(brought.lines().any(|it| it == path), "not of the package: {line}");
    }
    assert_eq!(was.difference(&is).next(), None, "something is gone");
    let modes = does(host, "dpkg --listfiles guardian | xargs stat --format='%U:%G %a %F %n'");
    for line in modes.lines() {
        let runs = line.ends_with("directory /.") || line.contains(" directory ") || line.ends_with(GUARDIAN);
        let mode = if runs { "root:root 755 " } else { "root:root 644 regular" };
        assert!(line.starts_with(mode), "{line}");
    }
    assert_eq!(does(host, "dpkg --verify guardian"), "", "what is there is what was packed");

    let version = does(host, "guardian --version");
    assert_eq!(version.trim(), concat!("guardian ", env!("CARGO_PKG_VERSION")));
    let (code, said) = types(host, "guardian check --json");
    assert!((0..=1).contains(&code), "{code}: {said}");
    let report: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(report["exit"], code);
    for (page, word) in [("guardian", "Exit codes"), ("guardian-install", "--dry-run")] {
        let text = does(host, &format!("man -P cat {page} | col -b"));
        assert!(text.contains(word), "{page}: {text}");
    }
    let completed = "bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader guardian; \
                     complete -p guardian; COMP_WORDS=(guardian unin); COMP_CWORD=1; \
                     _guardian guardian unin guardian; echo completed ${COMPREPLY[@]}'";
    assert!(does(host, completed).contains("completed uninstall"), "{}", does(host, completed));
    for words in ["_guardian", "guardian.fish"] {
        assert!(brought.lines().any(|line| line.ends_with(words)), "{words}");
    }

    // Whoever has installed it for himself has to take that off first, and nothing that lies there keeps apt waiting.
    let units = "/home/ana/.config/systemd/user";
    does(
        host,
        &format!(
            "mkdir -p {units} /home/bob/.config/systemd/user; mkfifo /home/bob/.config/systemd/user/guardian.service"
        ),
    );
    host.write(&format!("{units}/guardian.service"), "ExecStart=\"/usr/bin/guardian\" daemon\n");
    let (code, said) = types(host, &format!("{APT} remove guardian"));
    let hint = "sudo -u ana XDG_RUNTIME_DIR=/run/user/4001 guardian uninstall --user;";
    assert!(code != 0 && said.contains(hint) && installed(host), "{code}: {said}");
    does(host, "rm -r /home/ana/.config /home/bob/.config");

    does(host, &format!("{APT} remove guardian"));
    same(&whole(host), &before);
    does(host, &format!("{APT} install {package} && {APT} purge guardian"));
    same(&whole(host), &before);
    assert_eq!(does(host, "ls /var/lib/dpkg/info | grep guardian; :"), "");
}

#[test]
fn a_package_does_not_go_before_the_barriers_of_a_watcher_that_was_started_by_hand() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = machine() else { return };
    let host = &place.host;
    let folder = tempfile::tempdir().unwrap();
    let package = carried(host, folder.path(), None);
    does(host, &format!("dpkg --install {package}"));
    let wall = || does(host, "nft list tables").contains("inet guardian");
    let watcher = host.start(User::Root, Host::command(GUARDIAN).arg("daemon"));
    until("the seal", wall);
    let refused = |why: &str| {
        let (code, said) = types(host, "dpkg --remove guardian");
        assert!(code != 0 && said.contains("the package stays") && said.contains(why), "{code}: {said}");
        assert!(installed(host) && wall(), "{said}");
    };
    refused("a daemon runs");
    does(host, &format!("kill -KILL {}", watcher.pid()));
    drop(watcher);
    assert!(wall(), "it stays up without a watcher");
    does(host, "touch /var/lib/guardian/bulkhead.json");
    refused("sudo guardian bulkhead undo");
    // What cannot be taken down keeps what could take it down.
    does(
        host,
        "rm /var/lib/guardian/bulkhead.json; cp /usr/sbin/nft /mnt/lab/nft; cp /bin/false /usr/sbin/nft",
    );
    let (code, said) = types(host, "dpkg --remove guardian");
    assert!(code != 0 && said.contains("not taken back: the firewall") && installed(host), "{code}: {said}");
    does(host, "cp /mnt/lab/nft /usr/sbin/nft");
    let said = does(host, "dpkg --remove guardian");
    assert!(said.contains("taken back: the firewall") && !wall(), "{said}");
}

#[test]
fn a_package_is_upgraded_without_letting_go_and_takes_everything_off_when_it_goes() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = machine() else { return };
    let host = &place.host;
    let folder = tempfile::tempdir().unwrap();
    let packages = [None, Some("9.1"), Some("9.2")].map(|version| carried(host, folder.path(), version));
    let root = Person { host, user: User::Root };
    Manager::System.write(host, Ipv4Addr::LOCALHOST);
    Manager::System.ask(host, &["daemon-reload"]);
    Manager::System.ask(host, &["start", UNIT]);
    until("the gateway", || host.listens(PORT));
    let before = whole(host);

    // A copy was installed by hand, and goes on whatever becomes of a package.
    let (code, said) = root.types("/mnt/bin/guardian", &["install"]);
    assert_eq!(code, 0, "{said}");
    let apt = |line: &str| format!("{APT} {line}");
    let said = does(host, &apt(&format!("install {}", packages[0])));
    assert!(said.contains("sudo /usr/bin/guardian install"), "{said}");
    does(host, &apt("purge guardian"));
    root.until("/usr/local/bin/guardian", "closed");
    assert!(host.path("/etc/guardian/guardian.toml").exists(), "it is not the package's");

    // The package's program takes its place, where it is.
    does(host, &apt(&format!("install {}", packages[0])));
    let (code, said) = root.types(GUARDIAN, &["install"]);
    assert!(code == 0 && said.contains("✓ remove /usr/local/bin/guardian"), "{code}: {said}");
    assert!(!said.contains("✓ copy") && !host.path("/usr/local/bin/guardian").exists(), "{said}");
    root.until(GUARDIAN, "closed");
    until("the gate", || http::call(host, at(LOOPBACK, DOOR)).ok() == Some(401));
    let runs = |unit: &str| {
        let pid = Manager::System.ask(host, &["show", "--property", "MainPID", "--value", unit]);
        (does(host, &format!("readlink /proc/{pid}/exe")).trim().to_owned(), pid)
    };

    // Between unpacking and restarting the old one runs on, longer than blindness would be borne.
    let started = runs("guardian.service");
    does(host, &format!("dpkg --unpack {}", packages[1]));
    sleep(PATIENCE + Duration::from_secs(2));
    assert_eq!(root.status(GUARDIAN)["breaker"], "closed", "{:#}", root.status(GUARDIAN));
    assert_eq!(runs("guardian.service").1, started.1);
    let said = does(host, "dpkg --configure guardian");
    assert!(said.contains("the services run the new version. CLOSED"), "{said}");
    assert_ne!(runs("guardian.service").1, started.1);
    for unit in ["guardian.service", "guardian-gate.service"] {
        assert_eq!(runs(unit).0, GUARDIAN, "{unit}: not the file that was replaced");
    }

    // A policy that the new one cannot use leaves the old one at its work.
    let policy = host.path("/etc/guardian/guardian.toml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, format!("unheard_of = true\n{text}")).unwrap();
    let started = runs("guardian.service");
    let (code, said) = types(host, &format!("dpkg --install {}", packages[1]));
    assert!(code != 0 && said.contains("the watcher of before runs on"), "{code}: {said}");
    assert_eq!(runs("guardian.service").1, started.1);
    fs::write(&policy, text).unwrap();
    does(host, "dpkg --configure guardian");

    // Open before the upgrade, open after it, and nobody has come through meanwhile.
    Manager::System.moves(host, Ipv4Addr::UNSPECIFIED);
    root.until(GUARDIAN, "open");
    until("a wall", || !place.outside.reaches(at(LAN, PORT)));
    let (over, came_through) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if place.outside.reaches(at(LAN, PORT)) {
                    came_through.store(true, Ordering::Relaxed);
                }
            }
        });
        let (code, said) = types(host, &apt(&format!("install {}", packages[2])));
        let (refused, why) = types(host, &apt("remove guardian"));
        over.store(true, Ordering::Relaxed);
        assert!(code == 0 && said.contains("the services run the new version. OPEN"), "{code}: {said}");
        // It does not let go of a gateway that is blocked.
        assert!(refused != 0 && why.contains("The circuit is open"), "{refused}: {why}");
        assert!(why.contains("sudo guardian uninstall --yes"), "{why}");
    });
    assert!(!came_through.load(Ordering::Relaxed), "somebody came through");
    assert!(installed(host), "a removal that was refused leaves it whole");
    root.until(GUARDIAN, "open");
    assert!(!place.outside.reaches(at(LAN, PORT)));
    // Nor because somebody has edited the watcher's unit.
    let unit = host.path("/etc/systemd/system/guardian.service");
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("\"/usr/bin/guardian\"", "/usr/bin/guardian")).unwrap();
    let (refused, why) = types(host, &apt("remove guardian"));
    assert!(refused != 0 && why.contains("The circuit is open"), "{refused}: {why}");
    fs::write(&unit, text).unwrap();

    // On the way back from a trip it asks first, and here is nobody to ask.
    Manager::System.moves(host, Ipv4Addr::LOCALHOST);
    root.insists(GUARDIAN, &["recover", "--yes"], 1);
    root.until(GUARDIAN, "half-open");
    let (refused, why) = types(host, &apt("remove guardian"));
    assert!(refused != 0 && why.contains("the package stays"), "{refused}: {why}");
    assert!(installed(host) && root.status(GUARDIAN)["breaker"] == "half-open", "{why}");
    root.insists(GUARDIAN, &["close", "--yes"], 0);
    root.until(GUARDIAN, "closed");

    // Removed, it leaves what a package leaves; purged, nothing.
    let said = does(host, &apt("remove guardian"));
    assert!(said.contains("Guardian is gone."), "{said}");
    assert_eq!(does(host, "nft list tables"), "");
    assert_eq!(does(host, "find /etc/systemd /run/systemd/system -iname '*guardian*'"), "");
    assert_eq!(does(host, "systemctl list-units --no-legend 'guardian*'"), "");
    assert!(
        host.path("/etc/guardian/guardian.toml").exists()
            && host.path("/var/lib/guardian/journal.jsonl").exists()
    );
    does(host, &apt("purge guardian"));
    same(&whole(host), &before);
    assert!(host.listens(PORT), "the gateway was left alone");
}
