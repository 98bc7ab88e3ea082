//! What Linux tells of a process beside what sysinfo reads: identity across namespaces, and the
//! unit it belongs to.

use std::collections::BTreeSet;
use std::path::Path;

use guardian_rules::fact::{Manager, Service};

/// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)). The name in field
/// 2 may hold anything, parentheses included.
#[must_use]
pub fn start_ticks(stat: &[u8]) -> Option<u64> {
    field(stat, 22)?.parse().ok()
}

/// A field of `/proc/PID/stat` behind the name, numbered as in the manual page.
fn field(stat: &[u8], number: usize) -> Option<&str> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

/// The numbers of a process, `NSpid` in `/proc/PID/status`: as this program knows it, then in each
/// namespace below, to the one by which it knows itself.
#[must_use]
pub fn numbers(status: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(status);
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect()
}

/// Whether a process is in a container: it has a number of its own there. Anybody may ask.
#[must_use]
pub fn is_contained(pid: u32) -> bool {
    read(pid, "status").is_some_and(|status| numbers(&status).len() > 1)
}

/// Whether a process has a controlling terminal: field 7 of `/proc/PID/stat`. Somebody typed it, or
/// what started it, and no supervisor did.
#[must_use]
pub fn has_terminal(stat: &[u8]) -> bool {
    field(stat, 7).and_then(|device| device.parse::<i64>().ok()).is_some_and(|device| device != 0)
}

/// The real user of a process, `Uid` in `/proc/PID/status`.
#[must_use]
pub fn real_user(status: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(status);
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The groups of a process, `Gid` (the effective one) and `Groups` in `/proc/PID/status`.
#[must_use]
pub fn groups(status: &[u8]) -> BTreeSet<u32> {
    let text = String::from_utf8_lossy(status);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let effective = line("Gid:").split_ascii_whitespace().nth(1);
    effective
        .into_iter()
        .chain(line("Groups:").split_ascii_whitespace())
        .filter_map(|it| it.parse().ok())
        .collect()
}

/// The paths of a process in the trees that systemd may use, by `/proc/PID/cgroup` (cgroups(7)). A
/// machine may have both trees, and systemd uses but one.
#[must_use]
pub fn control_groups(cgroup: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(cgroup);
    let path = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers) = (fields.next()?, fields.next()?);
        let told = (number == "0" && controllers.is_empty()) || controllers == "name=systemd";
        fields.next().filter(|_| told).map(str::to_owned)
    };
    text.lines().filter_map(path).collect()
}

/// The systemd service in which a process runs, by `/proc/PID/cgroup`, and the user whose own
/// manager has it. The service that runs a user's other services is none.
#[must_use]
pub fn service(cgroup: &[u8]) -> Option<Service> {
    control_groups(cgroup).iter().find_map(|path| service_of(path))
}

/// The service by a path. It is read from the root on, as systemd does: what lies below a service
/// is that service's own, and its user may have given it any name, another service's too.
fn service_of(path: &str) -> Option<Service> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let unit = parts.find(|part| !is_slice(part)).filter(|part| is_service(part))?;
    let Some(instance) = unit.strip_prefix("user@") else {
        return Some(Service { name: unit.to_owned(), manager: Manager::System });
    };
    let user = instance.strip_suffix(".service")?.parse().ok()?;
    let unit = parts.find(|part| !is_slice(part)).filter(|part| is_service(part))?;
    Some(Service { name: unit.to_owned(), manager: Manager::User(user) })
}

fn is_slice(part: &str) -> bool {
    part.strip_suffix(".slice").is_some()
}

fn is_service(part: &str) -> bool {
    part.strip_suffix(".service").is_some_and(|stem| !stem.is_empty())
}

/// Reads one of a process's small files.
#[must_use]
pub fn read(pid: u32, name: &str) -> Option<Vec<u8>> {
    std::fs::read(Path::new("/proc").join(pid.to_string()).join(name)).ok()
}

/// Whether a process is in the same network as this program; none if it does not tell.
#[must_use]
pub fn same_network(pid: u32) -> Option<bool> {
    let own = std::fs::read_link("/proc/self/ns/net").ok()?;
    let other = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    Some(own == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = |name: &str| {
            format!("812 ({name}) S 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 11 0 157105 100 200")
        };
        for name in ["openclaw-gatewa", "a) S 1 (b", "", ") R 9 9 9"] {
            assert_eq!(start_ticks(stat(name).as_bytes()), Some(157_105), "{name}");
        }
        assert_eq!(start_ticks(b"812 (x"), None);
        assert_eq!(start_ticks(b""), None);
    }

    #[test]
    fn a_process_in_a_container_knows_itself_by_another_number() {
        assert_eq!(numbers(b"Name:\tnode\nNSpid:\t812\t31\t7\nUid:\t0\n"), [812, 31, 7]);
        assert_eq!(numbers(b"NSpid:\t812\n"), [812]);
        assert_eq!(numbers(b"Name:\tNSpid: 3\n"), [0u32; 0]);
    }

    #[test]
    fn a_terminal_shows_in_the_seventh_field() {
        assert!(has_terminal(b"812 (node) S 1 812 812 34816 -1 4194560"));
        assert!(!has_terminal(b"812 (a) S 1 1 1 9 (b) S 1 812 812 0 -1 4194560"));
        assert!(!has_terminal(b"812 (node) S 1 812") && !has_terminal(b""));
    }

    #[test]
    fn the_real_user_is_the_first_of_the_four() {
        assert_eq!(real_user(b"Name:\tsh\nUid:\t4001\t0\t0\t0\nGid:\t7\n"), Some(4001));
        assert_eq!(real_user(b"Name:\tUid: 3\n"), None);
        assert_eq!(real_user(b"Uid:\tana\n"), None);
    }

    #[test]
    fn the_service_is_the_first_part_below_the_slices() {
        for (cgroup, expected) in [
            (
                "0::/system.slice/openclaw-gateway.service\n",
                Some(("openclaw-gateway.service", Manager::System)),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/clawdbot-gateway-work.service",
                Some(("clawdbot-gateway-work.service", Manager::User(1000))),
            ),
            (
                "12:cpu:/x\n1:name=systemd:/system.slice/bot.service\n0::/",
                Some(("bot.service", Manager::System)),
            ),
            ("1:name=systemd:/\n0::/system.slice/bot.service", Some(("bot.service", Manager::System))),
            ("0::/bot.service", Some(("bot.service", Manager::System))),
            (
                "0::/system.slice/system-bot.slice/bot@2.service/inner/dbus.service",
                Some(("bot@2.service", Manager::System)),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/user@0.service/b.service",
                Some(("a.service", Manager::User(1000))),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/user@0.service",
                Some(("user@0.service", Manager::User(1000))),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope/dbus.service", None),
            ("0::/user.slice/user-1000.slice/session-3.scope/dbus.service", None),
            ("0::/docker/4f/system.slice/cron.service", None),
            ("0::/machine.slice/libpod-4f.scope/system.slice/cron.service", None),
            ("0::/system.slice/user@x.service/dbus.service", None),
            ("0::/system.slice/.service", None),
            ("0::/user.slice/user-1000.slice/user@1000.service", None),
            ("0::/user.slice/user-1000.slice/session-3.scope", None),
            ("0::/\n", None),
            ("", None),
        ] {
            let found = service(cgroup.as_bytes());
            let found = found.as_ref().map(|service| (service.name.as_str(), service.manager));
            assert_eq!(found, expected, "{cgroup}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_in_its_own_network() {
        let own = std::process::id();
        assert_eq!(same_network(own), Some(true));
        assert_eq!(numbers(&read(own, "status").unwrap()).first(), Some(&own));
        assert!(start_ticks(&read(own, "stat").unwrap()).is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = (start_ticks(&bytes), numbers(&bytes), service(&bytes));
            let _ = (has_terminal(&bytes), real_user(&bytes));
        }

        #[test]
        fn any_text_of_such_files_is_borne(text in r"([0-9]{1,3}| |\(|\)|:|/|\n|NSpid:|Uid:|0::/|\.slice|user@|\.service){0,60}") {
            let _ = (start_ticks(text.as_bytes()), numbers(text.as_bytes()), service(text.as_bytes()));
            let _ = (has_terminal(text.as_bytes()), real_user(text.as_bytes()));
        }
    }
}
