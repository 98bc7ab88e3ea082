//! From `guardian install` to `guardian uninstall --purge`, on a host with a real systemd: protected,
//! exposed, tripped, told, upgraded, recovered, and clean again byte for byte. What is typed and what
//! comes is in `docs/transcripts`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, at};
use crate::ready::Lab;
use crate::running::Running;
use crate::session::Session;
use crate::supervised::{ANAS, Manager, PORT, UNIT, place, until};
use crate::transcript::Transcript;

const DOOR: u16 = 18700;

/// Somebody on the host who types commands.
pub(crate) struct Person<'a> {
    pub(crate) host: &'a Host,
    pub(crate) user: User,
}

impl Person<'_> {
    /// A command of Guardian's: its exit code, and what it says.
    pub(crate) fn types(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = Host::command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.user != User::Root {
            command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", self.user.id()));
        }
        let output = self.host.spawn(self.user, &mut command).wait_with_output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
        (output.status.code().unwrap_or(-1), said)
    }

    pub(crate) fn status(&self, program: &str) -> Value {
        let (_, said) = self.types(program, &["status", "--json"]);
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub(crate) fn until(&self, program: &str, circuit: &str) -> Value {
        until(circuit, || {
            let status = self.status(program);
            status["breaker"] == circuit && (circuit != "open" || status["trip"]["barriers"].is_array())
        });
        self.status(program)
    }

    /// Types it again until it is done: what was mended a moment ago has to be seen first. What came
    /// in the end.
    #[track_caller]
    pub(crate) fn insists(&self, program: &str, arguments: &[&str], at_most: i32) -> (i32, String) {
        let begun = Instant::now();
        loop {
            let (code, said) = self.types(program, arguments);
            if (0..=at_most).contains(&code) {
                return (code, said);
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{arguments:?}: {code}: {said}");
            sleep(Duration::from_millis(300));
        }
    }
}

/// Everything that an installation could leave: names, kinds, permissions, owners and what is in them.
/// `useradd` keeps the last version of its files.
pub(crate) fn everything(host: &Host) -> String {
    let look = "find /etc /usr/local /var/lib /home /root ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' \
                ! -name 'gshadow-' ! -name 'subuid-' ! -name 'subgid-' ! -name '.pwd.lock' -printf '%p %y %m %U %G %l\n' | sort; \
                find /etc /usr/local /var/lib /home /root -type f ! -name '*-' ! -name .pwd.lock -print0 | sort -z | xargs -0 -r sha256sum; \
                nft list tables 2>/dev/null; ls /run";
    host.run(User::Root, &["sh", "-c", look])
}

#[track_caller]
pub(crate) fn same(now: &str, before: &str) {
    let [is, was] = [now, before].map(|text| text.lines().collect::<BTreeSet<_>>());
    assert!(now == before, "more: {:#?}\nless: {:#?}", &is - &was, &was - &is);
}

/// A machine on which nobody has heard of Guardian, and whose users can be changed.
pub(crate) fn untouched(host: &Host) {
    host.run(User::Root, &["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/usr/local"]);
    let own = "mkdir /usr/local/bin && cd /etc && for file in passwd group; do grep -v _guardian-gate $file > /tmp/$file; \
               umount /etc/$file; cat /tmp/$file > /etc/$file; rm /tmp/$file; done; rm -rf /home/_guardian-gate /etc/guardian";
    host.run(User::Root, &["sh", "-c", own]);
    // What these write the first time they run is not Guardian's.
    host.run(User::Root, &["sh", "-c", "useradd --system warm-up && userdel warm-up"]);
}

/// Somebody whose commands are taken down.
struct Teller<'a> {
    person: Person<'a>,
    /// What stands before a command, and the program as it is typed.
    prompt: &'static str,
    program: &'static str,
    story: Transcript,
}

impl Teller<'_> {
    /// Types a command of the installed Guardian. It ends so, and says these words.
    #[track_caller]
    fn types(&mut self, arguments: &[&str], code: i32, words: &[&str]) {
        let (came, said) = self.person.types(self.program, arguments);
        self.take_down(&format!("{} {}", self.prompt, arguments.join(" ")), &said, came);
        self.holds((came, said), code, words);
    }

    /// The same of another file of the program.
    #[track_caller]
    fn types_of(&mut self, file: &str, shown: &str, arguments: &[&str], code: i32, words: &[&str]) {
        let begun = Instant::now();
        let (came, said) = self.person.types(file, arguments);
        println!("measured: `{shown} {}` took {:?}", arguments.join(" "), begun.elapsed());
        self.take_down(&format!("{shown} {}", arguments.join(" ")), &said, came);
        self.holds((came, said), code, words);
    }

    #[track_caller]
    fn holds(&self, (came, said): (i32, String), code: i32, words: &[&str]) {
        println!("{said}");
        assert_eq!(came, code, "{said}\n{:#}", self.person.status(self.program));
        for word in words {
            assert!(said.contains(word), "{word:?} is missing:\n{said}");
        }
    }

    fn take_down(&mut self, command: &str, said: &str, code: i32) {
        self.story.typed(command, said, code);
    }

    /// While it is open the watcher looks again, and the wrong bind is still there, or not.
    #[track_caller]
    fn looks_again(&mut self, there: bool, words: &[&str]) {
        until("another look", || {
            let status = self.person.status(self.program);
            let still = status["trip"]["still_found"].as_array();
            still.is_some_and(|it| it.contains(&"bound-beyond-allowed".into()) == there)
        });
        self.types(&["status"], 2, words);
    }

    /// Reviews, mends nothing more, and closes.
    #[track_caller]
    fn recovers(&mut self) {
        for (arguments, at_most) in [(["recover", "--yes"], 1), (["close", "--yes"], 0)] {
            let (code, said) = self.person.insists(self.program, &arguments, at_most);
            self.take_down(&format!("{} {}", self.prompt, arguments.join(" ")), &said, code);
        }
        self.person.until(self.program, "closed");
    }

    /// Ana's desktop shows a message that says this, and it stays.
    #[track_caller]
    fn is_told(&mut self, session: &Session<'_>, service: &Running, words: &[&str]) {
        until("a message on the desktop", || {
            Session::first_message(service).is_some() && session.shown() > 0
        });
        let (headline, text) = Session::first_message(service).unwrap();
        let message = format!("{headline}\n{text}");
        self.story.aside("The desktop shows, until it is clicked away:");
        self.story.shown(&message);
        for word in words {
            assert!(message.contains(word), "{word:?} is missing:\n{message}");
        }
    }
}

/// What a user types of a gate's credentials is root's business where only root has a gate.
fn a_neighbour_is_sent_to_root(host: &Host, guardian: &str) {
    let ana = Person { host, user: User::Ana };
    for typed in [["token", "list"], ["gate", "passphrase"], ["gate", "certificate"]] {
        let (code, said) = ana.types(guardian, &typed);
        assert!(code != 0 && said.contains("type: sudo guardian"), "{typed:?}: {code}: {said}");
    }
    let (code, said) = ana.types(guardian, &["uninstall"]);
    assert!(code == 64 && said.contains("type: sudo guardian uninstall"), "{code}: {said}");
    let (code, said) = ana.types(guardian, &["history"]);
    assert!(code == 3 && said.contains("try: sudo guardian history"), "{code}: {said}");
    // It is root's that watches, and to look whether hers could leaves nothing behind.
    let (code, said) = ana.types(guardian, &["doctor"]);
    assert!(code == 0 && said.starts_with("ARMED  root's watcher runs"), "{code}: {said}");
    assert!(!host.path("/home/ana/.local").exists());
    // The wall lets him not ask the gateway, and he does not see whose it is.
    let bob = Person { host, user: User::Bob };
    let (code, said) = bob.types(guardian, &["check"]);
    assert!(code == 3 && said.contains("refuses whoever asks from here"), "{code}: {said}");
}

/// What its services could not read is refused before anything is touched: the watcher goes on.
fn an_unreadable_policy_is_refused(host: &Host, root: &Person<'_>) {
    let policy = "/etc/guardian/guardian.toml";
    let watcher =
        || Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian.service"]);
    let before = watcher();
    host.run(
        User::Root,
        &["sh", "-c", &format!("cp -p {policy} /tmp/policy && echo 'moed = 1' >> {policy}")],
    );
    let (code, said) = root.types("/tmp/newer", &["install"]);
    assert!(code == 78 && said.contains("moed"), "{code}: {said}");
    // So is a reload, which whoever typed it is told by systemd and by the history.
    let reload = ["reload", "guardian.service"];
    let (code, said) = root.types("systemctl", &reload);
    assert!(code != 0, "{code}: {said}");
    assert_eq!(watcher(), before);
    let missing = root.status("/tmp/newer")["degraded"].to_string();
    assert!(missing.contains("the new policy is refused") && missing.contains("moed"), "{missing}");
    let (_, history) = root.types("/tmp/newer", &["history"]);
    assert!(history.contains("policy refused"), "{history}");
    host.run(User::Root, &["mv", "/tmp/policy", policy]);
    let (code, said) = root.types("systemctl", &reload);
    assert_eq!((code, watcher()), (0, before), "{said}");
    assert_eq!(root.status("/tmp/newer")["degraded"], serde_json::json!([]));
}

/// A gate that does not run is told, with what starts it, and is told no more once it does.
fn a_gate_that_ended_is_missed(host: &Host, root: &Person<'_>, guardian: &str) {
    until("a gate", || root.status(guardian)["gate"] == "running");
    Manager::System.ask(host, &["stop", "guardian-gate.service"]);
    until("no gate", || root.status(guardian)["gate"] == "absent");
    let (code, said) = root.types(guardian, &["status"]);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 0 && words.contains("type: sudo systemctl start guardian-gate"), "{code}: {said}");
    assert_eq!(root.status(guardian)["armed"], true, "what is blocked does not depend on it");
    Manager::System.ask(host, &["start", "guardian-gate.service"]);
    until("a gate again", || root.status(guardian)["gate"] == "running");
    let (_, said) = root.types(guardian, &["status"]);
    assert!(!said.contains("guardian-gate"), "{said}");
}

/// The manager runs, and a sound gateway does.
fn serves(manager: Manager, host: &Host) {
    manager.starts(host);
    manager.write(host, Ipv4Addr::LOCALHOST);
    manager.ask(host, &["daemon-reload"]);
    manager.ask(host, &["start", UNIT]);
    until("the gateway", || host.listens(PORT));
}

/// The folder of Ana's session, where desktops have its bus.
const ANAS_SESSION: &str = "/run/user/4001";

#[test]
fn root_installs_is_protected_upgrades_and_leaves_nothing() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    untouched(host);
    serves(Manager::System, host);
    ANAS.starts(host);
    let session = Session::begin(host, ANAS_SESSION);
    let service = session.service();
    let before = everything(host);
    let guardian = "/usr/local/bin/guardian";
    let mut root = Teller {
        person: Person { host, user: User::Root },
        prompt: "sudo guardian",
        program: guardian,
        story: Transcript::begin("as-root", "Guardian on a machine, from install to uninstall, by root."),
    };
    let (fresh, shown) = ("/mnt/bin/guardian", "sudo ./guardian");

    let (code, said) = root.person.types(fresh, &["install", "--dry-run"]);
    assert!(code == 0 && said.contains("write /etc/systemd/system/guardian.service"), "{said}");
    same(&everything(host), &before);

    let words = ["INSTALLED", "CLOSED", "at 127.0.0.1:18789", "sudo guardian gate passphrase"];
    root.types_of(fresh, shown, &["install"], 0, &words);
    let verified = host
        .run(User::Root, &["sh", "-c", "systemd-analyze verify guardian.service guardian-gate.service 2>&1"]);
    assert_eq!(verified, "", "units are sound");
    let exposure = host.run(
        User::Root,
        &[
            "sh",
            "-c",
            "systemd-analyze security --no-pager guardian.service guardian-gate.service | grep -i overall",
        ],
    );
    println!("{exposure}");
    until("the gate", || host.listens(DOOR));
    until("the gate asks who is there", || http::call(host, at(LOOPBACK, DOOR)).ok() == Some(401));
    let gate =
        Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian-gate.service"]);
    let user = host.run(User::Root, &["stat", "-c", "%U", &format!("/proc/{gate}")]);
    assert_eq!(user.trim(), "_guardian-gate");
    let (code, token) = root.person.types(guardian, &["token", "new", "lab"]);
    assert_eq!(code, 0, "{token}");
    let field = format!("Guardian-Token: {}", token.lines().next().unwrap_or_default());
    until("a credential that is let through", || {
        http::ask(host, at(LOOPBACK, DOOR), "GET /", &[&field]).is_ok_and(|it| it.status == 200)
    });

    a_neighbour_is_sent_to_root(host, guardian);

    // Twice is once, but for what runs.
    let (code, said) = root.person.types(fresh, &["install"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("✓ write") && !said.contains("✓ copy") && !said.contains("✓ make"), "{said}");

    root.story.aside("Ana signs in at the desktop: her session starts Guardian's notifier.");
    let notifier = "guardian-notifier.service";
    ANAS.ask(host, &["daemon-reload"]);
    ANAS.ask(host, &["start", notifier]);
    root.types(&["status"], 0, &["CLOSED"]);

    root.story.aside("The gateway is told to listen on every address, and starts again.");
    Manager::System.moves(host, Ipv4Addr::UNSPECIFIED);
    root.person.until(guardian, "open");
    until("a wall", || !place.outside.reaches(at(LAN, PORT)));
    root.is_told(&session, &service, &["Gateway blocked on", "Type: guardian status"]);
    // Whoever is blocked answers nobody, and is seen all the same.
    root.looks_again(true, &["OPEN", "To do: Set gateway.bind", "guardian recover"]);
    assert_eq!(root.person.status(guardian)["verdict"], "exposed");
    assert_eq!(
        http::ask(host, at(LOOPBACK, DOOR), "GET /", &[&field]).unwrap().status,
        503,
        "the gate is shut"
    );

    root.story.aside("A newer Guardian takes over, and does not let go of what it finds.");
    host.run(User::Root, &["sh", "-c", "cp /mnt/bin/guardian /tmp/newer && echo >> /tmp/newer"]);
    let started =
        Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian.service"]);
    let words = ["✓ copy this program", "✓ systemctl restart guardian.service"];
    root.types_of("/tmp/newer", "sudo ./newer", &["install"], 2, &words);
    assert_ne!(
        Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian.service"]),
        started
    );
    root.person.until(guardian, "open");
    assert!(!place.outside.reaches(at(LAN, PORT)));

    root.types(&["recover", "--yes"], 2, &["0.0.0.0:18789"]);
    root.story.aside("The gateway is told to listen on loopback again, and starts again.");
    Manager::System.moves(host, Ipv4Addr::LOCALHOST);
    root.looks_again(false, &["OPEN", "Not seen now.", "guardian recover"]);
    root.recovers();
    until("the gate again", || {
        http::ask(host, at(LOOPBACK, DOOR), "GET /", &[&field]).is_ok_and(|it| it.status == 200)
    });

    a_gate_that_ended_is_missed(host, &root.person, guardian);
    an_unreadable_policy_is_refused(host, &root.person);

    // Taken off while it blocks, it gives everything back.
    root.types(&["trip", "to be taken off"], 2, &["OPEN"]);
    root.person.until(guardian, "open");
    ANAS.ask(host, &["stop", notifier]);
    root.types(&["uninstall", "--purge", "--yes"], 0, &[]);
    host.run(User::Root, &["rm", "/tmp/newer"]);
    same(&everything(host), &before);
    root.story.aside("The machine is byte for byte what it was.");
    until("the gateway", || host.listens(PORT));
    let units = host.run(User::Root, &["sh", "-c", "systemctl list-units --all --no-legend 'guardian*'; :"]);
    assert!(!units.contains("running"), "{units}");
    root.story.end();
}

#[test]
fn a_user_without_root_installs_is_protected_and_leaves_nothing() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    untouched(host);
    serves(ANAS, host);
    let session = Session::begin(host, ANAS_SESSION);
    let service = session.service();
    let before = everything(host);
    let guardian = "/home/ana/.local/bin/guardian";
    let mut ana = Teller {
        person: Person { host, user: User::Ana },
        prompt: "guardian",
        program: guardian,
        story: Transcript::begin(
            "as-a-user",
            "Guardian for one user, from install to uninstall, without root.",
        ),
    };
    let (fresh, shown) = ("/mnt/bin/guardian", "./guardian");

    ana.types_of(fresh, shown, &["install"], 64, &["guardian install --user"]);
    ana.types_of(fresh, shown, &["install", "--user"], 0, &["INSTALLED", "CLOSED"]);
    until("the gate", || host.listens(DOOR));
    until("the gate asks who is there", || http::call(host, at(LOOPBACK, DOOR)).ok() == Some(401));

    ana.story.aside("The gateway is told to listen on every address, and starts again.");
    ANAS.moves(host, Ipv4Addr::UNSPECIFIED);
    ana.person.until(guardian, "open");
    until("an end", || http::call(&place.outside, at(LAN, PORT)).ok().is_none_or(|status| status == 503));
    ana.is_told(&session, &service, &["Gateway blocked on", "Type: guardian status"]);
    ana.types(&["status"], 2, &["OPEN", "gateway.bind", "guardian recover"]);
    ana.story.aside("The gateway is told to listen on loopback again. It is kept from starting.");
    ANAS.write(host, Ipv4Addr::LOCALHOST);
    ANAS.ask(host, &["daemon-reload"]);
    ana.recovers();

    ana.story.aside("A newer Guardian takes over.");
    host.run(User::Root, &["sh", "-c", "cp /mnt/bin/guardian /tmp/newer && echo >> /tmp/newer"]);
    ana.types_of("/tmp/newer", "./newer", &["install", "--user"], 0, &["✓ copy this program", "CLOSED"]);
    ana.types(&["uninstall", "--user", "--purge"], 0, &[]);
    host.run(User::Root, &["rm", "/tmp/newer"]);
    same(&everything(host), &before);
    ana.story.aside("The home is byte for byte what it was.");
    ana.story.end();
}

#[test]
fn what_an_installation_did_before_the_disk_refused_can_be_taken_away() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    untouched(host);
    let root = Person { host, user: User::Root };
    let before = everything(host);
    host.run(User::Root, &["mount", "-o", "remount,ro", "/usr/local"]);
    let (code, said) = root.types("/mnt/bin/guardian", &["install"]);
    assert!(
        code == 70 && said.contains("/usr/local/bin") && said.contains("goes on from here"),
        "{code}: {said}"
    );
    let (code, said) = root.types("/mnt/bin/guardian", &["uninstall", "--purge"]);
    assert!(code == 0 && said.contains("Nothing of Guardian is left."), "{code}: {said}");
    host.run(User::Root, &["mount", "-o", "remount,rw", "/usr/local"]);
    let (code, said) = root.types("/mnt/bin/guardian", &["uninstall"]);
    assert!(code == 0 && said.contains("There is nothing of Guardian here."), "{code}: {said}");
    same(&everything(host), &before);
}
