//! Who is at the other end of a connection: the user that the kernel names.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::unistd::{Uid, User};

use crate::breaker::event::Asker;

/// Looking up a name may take this long; a directory service that hangs holds nobody up.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Whether a user may recover and close: root, the owner of the state folder, and those whom the
/// policy names.
pub(super) fn is_owner(uid: u32, state_owner: u32, owners: &BTreeSet<u32>) -> bool {
    uid == 0 || uid == state_owner || owners.contains(&uid)
}

/// The user as the loop gets to know them.
pub(super) async fn asker(uid: u32, owner: bool) -> Asker {
    let look_up = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
    let name = match tokio::time::timeout(LOOK_UP, look_up).await {
        Ok(Ok(Ok(Some(user)))) => user.name,
        _ => format!("user {uid}"),
    };
    Asker { name, owner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_owner_of_the_state_and_the_named_are_owners_and_nobody_else() {
        let owners = BTreeSet::from([1001]);
        let is_owner = |uid| is_owner(uid, 1000, &owners);
        assert!(is_owner(0) && is_owner(1000) && is_owner(1001));
        assert!(!is_owner(1002) && !is_owner(u32::MAX));
    }

    #[tokio::test]
    async fn a_user_without_a_name_has_a_number() {
        assert_eq!(asker(0, true).await.name, "root");
        assert_eq!(asker(3_999_999, false).await.name, "user 3999999");
    }
}
