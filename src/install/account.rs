//! The gate's own user: what makes it, and what takes it away.

use super::InstallError;
use super::site::Manager;
use crate::config::GATE_USER;
use guardian_probes::command::Tool;

/// What makes the user. On macOS `taken` is what [`ids`] say.
pub(crate) fn make(manager: Manager, taken: &str) -> Result<Vec<Tool>, InstallError> {
    match manager {
        Manager::Systemd => Ok(vec![Tool::new(
            "useradd",
            [
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                "/nonexistent",
                "--shell",
                "/usr/sbin/nologin",
                GATE_USER,
            ],
        )]),
        Manager::Launchd => {
            let id = free_id(taken).ok_or(InstallError::NoId)?.to_string();
            let (user, group) = (format!("/Users/{GATE_USER}"), format!("/Groups/{GATE_USER}"));
            let create = |record: &str, more: &[&str]| {
                Tool::new("dscl", [".", "-create", record].into_iter().chain(more.iter().copied()))
            };
            Ok(vec![
                create(&group, &[]),
                create(&group, &["PrimaryGroupID", &id]),
                create(&user, &[]),
                create(&user, &["UniqueID", &id]),
                create(&user, &["PrimaryGroupID", &id]),
                create(&user, &["RealName", "Guardian's gate"]),
                create(&user, &["NFSHomeDirectory", "/var/empty"]),
                create(&user, &["UserShell", "/usr/bin/false"]),
                create(&user, &["IsHidden", "1"]),
            ])
        }
    }
}

/// What takes the user away.
pub(crate) fn unmake(manager: Manager) -> Vec<Tool> {
    match manager {
        Manager::Systemd => vec![Tool::new("userdel", [GATE_USER])],
        Manager::Launchd => ["Users", "Groups"]
            .map(|kind| Tool::new("dscl", [".", "-delete", &format!("/{kind}/{GATE_USER}")]))
            .to_vec(),
    }
}

/// Asks for the ids that are taken, of users and of groups: the same number is to be both.
pub(crate) fn ids() -> [Tool; 2] {
    [["/Users", "UniqueID"], ["/Groups", "PrimaryGroupID"]]
        .map(|[record, key]| Tool::new("dscl", [".", "-list", record, key]))
}

/// A number that no user and no group has, of those for service users (sysadminctl(8): 200 to 400); the highest,
/// for Apple counts from below.
fn free_id(ids: &str) -> Option<u32> {
    let taken: Vec<u32> =
        ids.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    (200..=400).rev().find(|id| !taken.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::plan::line;

    #[test]
    fn on_a_mac_the_user_gets_a_number_that_nobody_has() {
        let ids = "_amavisd                 83\n_guest 400\nana                     501\nnobody                  -2\nroot                    0\n";
        assert_eq!(free_id(ids), Some(399));
        // Group 400 of a stock Mac holds its administrators.
        assert_eq!(free_id("root 0\ncom.apple.access_remote_ae 400\ncom.apple.access_ssh 399\n"), Some(398));
        assert_eq!(free_id(""), Some(400));
        assert_eq!(free_id("garbage\n\u{0} x y\n"), Some(400));
        let all = (200..=400).map(|id| format!("_u{id} {id}")).collect::<Vec<_>>().join("\n");
        assert_eq!(free_id(&all), None);
        assert!(matches!(make(Manager::Launchd, &all), Err(InstallError::NoId)));
    }

    #[test]
    fn the_user_can_sign_in_nowhere() {
        let lines = |manager| make(manager, "").unwrap().iter().map(line).collect::<Vec<_>>();
        assert_eq!(
            lines(Manager::Systemd),
            [
                "useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _guardian-gate"
            ]
        );
        let mac = lines(Manager::Launchd);
        for needed in [
            "dscl . -create /Groups/_guardian-gate PrimaryGroupID 400",
            "dscl . -create /Users/_guardian-gate UniqueID 400",
            "dscl . -create /Users/_guardian-gate UserShell /usr/bin/false",
            "dscl . -create /Users/_guardian-gate IsHidden 1",
        ] {
            assert!(mac.iter().any(|line| line == needed), "{needed}: {mac:#?}");
        }
    }
}
