//! Users of services: what makes one, and what takes it away.

use super::InstallError;
use super::plan::line;
use super::site::Manager;
use crate::config::GATE_USER;
use guardian_probes::command::Tool;

/// A user that signs in nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) name: &'a str,
    pub(crate) home: &'a str,
    /// For people, on macOS.
    pub(crate) title: &'a str,
}

impl Account<'_> {
    /// The gate's.
    pub(crate) fn gates(manager: Manager) -> Self {
        let home = if manager == Manager::Launchd { "/var/empty" } else { "/nonexistent" };
        Self { name: GATE_USER, home, title: "Guardian's gate" }
    }
}

/// What makes a user, asked of this machine where that has to be known.
pub(crate) async fn commands(manager: Manager, account: Account<'_>) -> Result<Vec<Tool>, InstallError> {
    let mut taken = String::new();
    if manager == Manager::Launchd {
        for tool in ids() {
            let failed = |cause| InstallError::Command { line: line(&tool), cause };
            taken.push_str(&tool.run().await.map_err(failed)?.stdout);
        }
    }
    make(manager, account, &taken)
}

/// What makes a user. On macOS `taken` is what [`ids`] say.
pub(super) fn make(manager: Manager, account: Account<'_>, taken: &str) -> Result<Vec<Tool>, InstallError> {
    let Account { name, home, title } = account;
    match manager {
        Manager::Systemd => Ok(vec![Tool::new(
            "useradd",
            [
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                home,
                "--shell",
                "/usr/sbin/nologin",
                name,
            ],
        )]),
        Manager::Launchd => {
            let id = free_id(taken).ok_or(InstallError::NoId)?.to_string();
            let (user, group) = (format!("/Users/{name}"), format!("/Groups/{name}"));
            let create = |record: &str, more: &[&str]| {
                Tool::new("dscl", [".", "-create", record].into_iter().chain(more.iter().copied()))
            };
            Ok(vec![
                create(&group, &[]),
                create(&group, &["PrimaryGroupID", &id]),
                create(&user, &[]),
                create(&user, &["UniqueID", &id]),
                create(&user, &["PrimaryGroupID", &id]),
                create(&user, &["RealName", title]),
                create(&user, &["NFSHomeDirectory", home]),
                create(&user, &["UserShell", "/usr/bin/false"]),
                create(&user, &["IsHidden", "1"]),
            ])
        }
    }
}

/// What takes the user away.
pub(crate) fn unmake(manager: Manager, name: &str) -> Vec<Tool> {
    match manager {
        Manager::Systemd => vec![Tool::new("userdel", [name])],
        Manager::Launchd => ["Users", "Groups"]
            .map(|kind| Tool::new("dscl", [".", "-delete", &format!("/{kind}/{name}")]))
            .to_vec(),
    }
}

/// Asks for the ids that are taken, of users and of groups: the same number is to be both.
fn ids() -> [Tool; 2] {
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
        assert!(matches!(
            make(Manager::Launchd, Account::gates(Manager::Launchd), &all),
            Err(InstallError::NoId)
        ));
    }

    #[test]
    fn the_user_can_sign_in_nowhere() {
        let lines = |manager| {
            make(manager, Account::gates(manager), "").unwrap().iter().map(line).collect::<Vec<_>>()
        };
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
