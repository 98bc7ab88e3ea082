//! Why the holder of a socket cannot be named, in a sentence that says what would help.

use guardian_rules::blindness::{Blindness, Cause};

use super::passwd::name_of;

/// Who is asking, and what stood in the way.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The user we run as.
    pub uid: u32,
    /// Processes that would not show their sockets.
    pub hidden: usize,
    /// Time ran out before all processes were looked at.
    pub cut: bool,
    /// The text of /etc/passwd; may be empty.
    pub passwd: &'a str,
}

impl View<'_> {
    /// The reason for a socket of this user.
    #[must_use]
    pub fn reason(&self, user: Option<u32>) -> Blindness {
        let owned = match user {
            Some(uid) => format!("owned by {}", self.user(uid)),
            None => "its owner is unknown".to_owned(),
        };
        if self.cut {
            return Blindness::timed_out(format!("{owned}; looking through all processes took too long"));
        }
        if self.uid != 0 && user != Some(self.uid) {
            return Blindness::denied(format!("{owned}; run as root to name the process"));
        }
        match self.hidden {
            0 => Blindness::denied(format!(
                "{owned}, and no process in sight holds it: a service of the kernel, or a process of a container"
            )),
            1 => Blindness::denied(format!("{owned}, and one process does not show its sockets")),
            hidden => Blindness::denied(format!("{owned}, and {hidden} processes do not show their sockets")),
        }
    }

    fn user(&self, uid: u32) -> String {
        match name_of(self.passwd, uid) {
            Some(name) => format!("user {uid} ({name})"),
            None => format!("user {uid}"),
        }
    }
}

/// The reason while sockets come and go faster than they can be looked up.
#[must_use]
pub fn unsettled() -> Blindness {
    Blindness::new(Cause::Interrupted, "opened while its process was being looked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nwww-data:x:33:33::/var/www:/bin/false\n";

    fn view(uid: u32, hidden: usize) -> View<'static> {
        View { uid, hidden, cut: false, passwd: PASSWD }
    }

    #[test]
    fn another_users_socket_asks_for_root() {
        let reason = view(1000, 200).reason(Some(33));
        assert_eq!(reason.detail, "owned by user 33 (www-data); run as root to name the process");
        assert_eq!(reason.cause, Cause::Denied);
    }

    #[test]
    fn a_user_without_a_name_is_its_number() {
        assert_eq!(view(1000, 0).reason(Some(7)).detail, "owned by user 7; run as root to name the process");
    }

    #[test]
    fn root_is_told_what_else_it_may_be() {
        assert!(view(0, 0).reason(Some(0)).detail.contains("service of the kernel"));
        assert!(view(0, 3).reason(Some(0)).detail.contains("3 processes do not show"));
    }

    #[test]
    fn an_unfinished_search_is_timed_out_whoever_asks() {
        assert_eq!(View { cut: true, ..view(1000, 0) }.reason(Some(33)).cause, Cause::TimedOut);
    }
}
