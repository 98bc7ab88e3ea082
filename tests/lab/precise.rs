//! What is ended at a trip is the gateway, all of it, and nothing else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, launch, state_file};
use crate::decoy::Decoy;
use crate::gateway::{PORT, Setup, Version};
use crate::holding::STOPS;
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::processes::{Process, all, with_descendants};
use crate::ready::Lab;
use crate::relay::{forward, up};
use crate::running::Running;

/// A shell that starts a gateway, and before it two programs that have nothing to do with it.
const SHELL: &[&str] = &[
    "bash",
    "-c",
    "sleep 4711 & /mnt/cache/bin/node -e 'setInterval(() => {}, 1000)' innocent & \"$@\" & wait",
    "shell",
];

#[track_caller]
fn gone(host: &Host, family: &[Process], daemon: &Daemon<'_>) -> Duration {
    let begun = Instant::now();
    loop {
        let left: Vec<_> = family.iter().filter(|it| it.lives(host)).collect();
        if left.is_empty() {
            return begun.elapsed();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "they live on: {left:#?}\n{:#}\n{}",
            daemon.status(),
            daemon.process.printed()
        );
        sleep(Duration::from_millis(20));
    }
}

/// Waits for the first process to have taken in a child whose parent was killed: the kernel hands
/// it over only after it has taken the parent's memory apart.
#[track_caller]
fn orphaned(host: &Host, child: u32) {
    let begun = Instant::now();
    while Process::of(host, child).parent != 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:#?}", Process::of(host, child));
        sleep(Duration::from_millis(5));
    }
}

/// A gateway whose wrapper forks the one that serves; the wrapper perhaps killed by somebody.
fn all_of_it_ends(wrapper_killed: bool) {
    let place = Place::new();
    let host = &place.host;
    let gateway = Setup::sound(Version::V2026_1_24).start_by(host, SHELL);
    let shell = Process::of(host, gateway.process.pid());
    let children: Vec<Process> = all(host).into_iter().filter(|it| it.parent == shell.pid).collect();
    let serving = host.holders(PORT);
    assert_eq!(serving.len(), 1, "{children:#?}");
    let wrapper = Process::of(host, Process::of(host, serving[0]).parent);
    assert!(children.contains(&wrapper), "a wrapper that forks: {wrapper:?} {children:#?}");
    let innocent: Vec<Process> = children.into_iter().filter(|it| it.pid != wrapper.pid).collect();
    assert_eq!(innocent.len(), 2, "{innocent:#?}");
    let family = with_descendants(host, &[wrapper.pid]);
    assert!(family.len() >= 2, "{family:#?}");

    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.until("a lease", |status| !status["lease"].is_null());
    if wrapper_killed {
        host.run(User::Root, &["kill", "-KILL", &wrapper.pid.to_string()]);
        assert_eq!(http::call(host, at(LOOPBACK, PORT)).unwrap(), 401, "its child serves on");
        orphaned(host, serving[0]);
    }
    let socat = forward(host, 29999, "0.0.0.0", PORT);
    let forwarder = Process::of(host, socat.pid());
    daemon.is("open");
    let took = gone(host, &family, &daemon);
    daemon.holds();
    assert!(!host.listens(PORT));
    println!(
        "measured: 2026.1.24-3, wrapper {}: all {} processes gone {took:?} after the trip was told",
        if wrapper_killed { "killed before" } else { "alive" },
        family.len()
    );
    // Longer than the grace, after which what is left would be killed.
    sleep(Duration::from_secs(4));
    for it in innocent.iter().chain([&shell, &forwarder]) {
        assert!(it.lives(host), "{it:?} had nothing to do with it");
    }
}

#[test]
fn a_gateway_of_two_processes_ends_whole_even_if_its_wrapper_was_killed_and_nothing_else_does() {
    let Some(_lab) = Lab::open() else { return };
    thread::scope(|scope| {
        for wrapper_killed in [false, true] {
            scope.spawn(move || all_of_it_ends(wrapper_killed));
        }
    });
}

const SOUND: SocketAddr = SocketAddr::new(LOOPBACK, PORT);

/// What a gateway may have started: in a session of its own, deaf to hangups, deaf to the polite
/// signal, with a child of its own. The shell becomes the gateway, so all of them are its children.
const BROOD: &str = "setsid sleep 4801 & nohup sleep 4802 & setsid bash -c 'trap \"\" TERM HUP; sleep 4803; :' & \
                     setsid bash -c 'setsid sleep 4804 & wait' & \
                     exec -a openclaw-gateway /mnt/lab/decoy/node drill-decoy 127.0.0.1:18789";

/// A sound gateway that has started things.
fn with_a_brood(host: &Host) -> (Running, Vec<Process>) {
    Decoy { user: User::Ana, at: SOUND }.furnish(host);
    let mut command = Host::command("bash");
    command.args(["-c", BROOD]);
    let gateway = up(host, host.start(User::Ana, &mut command), PORT);
    let begun = Instant::now();
    loop {
        let family = with_descendants(host, &[gateway.pid()]);
        // Itself, four sleeping, two shells.
        if family.iter().filter(|it| it.name == "sleep").count() == 4 {
            assert_eq!(family.len(), 7, "{family:#?}");
            assert_eq!(host.holders(PORT), [gateway.pid()]);
            return (gateway, family);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{family:#?}");
        sleep(Duration::from_millis(20));
    }
}

/// The same programs of the same user, which somebody else has started.
fn namesakes(host: &Host) -> Vec<Running> {
    [
        &["sleep", "4801"][..],
        &["setsid", "sleep", "4802"],
        &["bash", "-c", "trap \"\" TERM HUP; sleep 4803; :"],
    ]
    .into_iter()
    .map(|line| {
        let mut command = Host::command(line[0]);
        command.args(&line[1..]);
        host.start(User::Ana, &mut command)
    })
    .collect()
}

#[test]
fn what_the_gateway_started_ends_with_it_and_the_same_program_of_the_same_user_does_not() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let (_gateway, family) = with_a_brood(host);
    let others = namesakes(host);
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let namesakes: Vec<Process> =
        all(host).into_iter().filter(|it| it.name == "sleep" && !family.contains(it)).collect();
    assert_eq!(namesakes.len(), 3, "{namesakes:#?}");
    daemon.guardian(User::Root, &["trip"]);
    let took = gone(host, &family, &daemon);
    println!(
        "measured: a gateway and six descendants, one deaf to SIGTERM: all gone {took:?} after the trip"
    );
    daemon.holds();
    sleep(Duration::from_secs(1));
    for it in &namesakes {
        assert!(it.lives(host), "{it:?} merely runs the same program");
    }
    drop(others);
}

#[test]
fn what_the_gateway_started_ends_although_the_watcher_dies_between_the_two_signals() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let (gateway, family) = with_a_brood(host);
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.until("a lease", |status| !status["lease"].is_null());
    daemon.guardian(User::Root, &["trip"]);
    let gateway = family.iter().find(|it| it.pid == gateway.pid()).unwrap();
    gone(host, std::slice::from_ref(gateway), &daemon);
    daemon.kill();
    let left = family.iter().filter(|it| it.lives(host)).count();
    assert!(left > 0, "the deaf one had three seconds");
    let daemon = Daemon::restart(host, User::Root, &[]);
    gone(host, &family, &daemon);
}

/// Has a process of ana's get this number, and none other: an innocent one that ends at any signal.
fn recycle(host: &Host, pid: u32) -> (Running, Process) {
    let before = pid - 1;
    let script = format!(
        "for try in $(seq 1000); do\n\
         echo {before} >/proc/sys/kernel/ns_last_pid\n\
         setpriv --reuid=ana --regid=ana --clear-groups sleep 4711 &\n\
         [ $! != {pid} ] || {{ echo recycled; wait; exit; }}\n\
         kill -KILL $!; wait $! 2>/dev/null\n\
         done; exit 1\n"
    );
    let mut command = Host::command("bash");
    command.args(["-c", &script]).process_group(0);
    let mut running = host.start(User::Root, &mut command);
    let begun = Instant::now();
    while !running.printed().contains("recycled") {
        let ended = running.ends_or(Duration::from_millis(10), || false);
        assert!(!ended && begun.elapsed() < Duration::from_secs(20), "{}", running.printed());
    }
    let innocent = Process::of(host, pid);
    (running, innocent)
}

/// The watcher remembers the gateway that it has ended.
fn remembers(host: &Host, pid: u32) -> bool {
    let text = fs::read_to_string(state_file(host, User::Root, "breaker.json")).unwrap();
    let memory: serde_json::Value = serde_json::from_str(&text).unwrap();
    let processes = memory["target"]["processes"].as_array().unwrap();
    processes.iter().any(|it| it["pid"] == pid)
}

fn exposed() -> Decoy {
    Decoy { user: User::Ana, at: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)) }
}

#[test]
fn whoever_gets_the_number_of_an_ended_gateway_is_never_signalled() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let gateway = Decoy { user: User::Ana, at: SOUND }.start(host);
    let pid = gateway.pid();
    // It has run for a while, as gateways have.
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.until("a lease", |status| !status["lease"].is_null());
    sleep(Duration::from_secs(3));
    let ended = Process::of(host, pid);
    daemon.guardian(User::Root, &["trip"]);
    gone(host, std::slice::from_ref(&ended), &daemon);
    drop(gateway);
    let (_running, innocent) = recycle(host, pid);
    assert_ne!(innocent.birth, ended.birth);
    assert!(remembers(host, pid), "otherwise there is nothing to mistake");
    daemon.holds();
    sleep(Duration::from_secs(3));
    assert!(innocent.lives(host), "signalled by the watcher that had ended the gateway");
    daemon.kill();
    let daemon = Daemon::restart(host, User::Root, &[]);
    daemon.holds();
    sleep(Duration::from_secs(3));
    assert!(innocent.lives(host), "signalled by a watcher that remembers the gateway");
    assert!(!place.outside.reaches(at(LAN, PORT)));
}

#[test]
fn whoever_gets_the_number_of_a_gateway_within_its_first_second_is_not_signalled_either() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let host = &place.host;
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let gateway = exposed().launch(host);
    let pid = gateway.pid();
    let ended = Process::of(host, pid);
    gone(host, std::slice::from_ref(&ended), &daemon);
    daemon.kill();
    drop(gateway);
    let (_running, innocent) = recycle(host, pid);
    assert!(remembers(host, pid), "otherwise there is nothing to mistake");
    let apart = innocent.birth - ended.birth;
    println!("measured: a number that went to another process {apart} hundredths of a second later");
    assert!((1..100).contains(&apart), "not within a second: {apart}");
    let _daemon = launch(host, User::Root, &[]);
    sleep(Duration::from_secs(6));
    assert!(innocent.lives(host), "signalled for a gateway that began {apart} hundredths of a second before");
}
