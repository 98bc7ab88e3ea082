//! What Linux tells of a process beside what sysinfo reads: identity across namespaces, and the
//! unit it belongs to.

use std::path::Path;

use guardian_rules::fact::{Manager, Service};

/// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)). The name in field
/// 2 may hold anything, parentheses included.
#[must_use]
pub fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
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

/// The systemd service in which a process runs, by `/proc/PID/cgroup` (cgroups(7)): the last part
/// of its path, if that is a service, and the user below whose own manager it lies. The service
/// that runs a user's other services is none.
#[must_use]
pub fn service(cgroup: &[u8]) -> Option<Service> {
    let text = String::from_utf8_lossy(cgroup);
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers) = (fields.next()?, fields.next()?);
        let told = (number == "0" && controllers.is_empty()) || controllers == "name=systemd";
        service_of(fields.next().filter(|_| told)?)
    })
}

/// The service by a path in one tree. A machine may have both trees, and systemd use but one.
fn service_of(path: &str) -> Option<Service> {
    let mut parts = path.rsplit('/');
    let last = parts.next()?;
    if !last.ends_with(".service") || last.starts_with("user@") {
        return None;
    }
    let user = parts.find_map(|part| part.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok());
    Some(Service { name: last.to_owned(), manager: user.map_or(Manager::System, Manager::User) })
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
    fn the_service_is_the_last_part_of_the_path() {
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
        }

        #[test]
        fn any_text_of_such_files_is_borne(text in r"([0-9]{1,3}| |\(|\)|:|/|\n|NSpid:|0::/|\.service){0,60}") {
            let _ = (start_ticks(text.as_bytes()), numbers(text.as_bytes()), service(text.as_bytes()));
        }
    }
}
