//! Gateways that announce themselves.

use guardian_rules::fact::{Announcement, Heard};

use super::{denied, ip};

/// A gateway on port 18789 that is announced on the networks of these addresses.
pub(crate) fn announced_on(pid: Option<u32>, own: &[&str]) -> Announcement {
    let heard = Heard {
        service: "_openclaw-gw._tcp".to_owned(),
        port: Some(18789),
        tells: vec!["cliPath".to_owned(), "sshPort".to_owned()],
        on: own.iter().map(|own| ip(own)).collect(),
    };
    Announcement { pid, heard: Ok(heard) }
}

/// A gateway that may announce itself.
pub(crate) fn perhaps_announced(pid: u32) -> Announcement {
    Announcement { pid: Some(pid), heard: Err(denied()) }
}
