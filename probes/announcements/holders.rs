//! Which gateways' processes hold the port of mDNS.

use std::collections::{BTreeMap, BTreeSet};

use guardian_rules::blindness::Blindness;

/// Whether a process holds the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// It does.
    Yes,
    /// Somebody does, and whether it is this one cannot be told; why.
    Unknown(Blindness),
}

/// Those of some processes that hold the port, or may.
pub(super) fn holds(pids: &BTreeSet<u32>) -> BTreeMap<u32, Hold> {
    platform::holds(pids)
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    use guardian_rules::blindness::{Blindness, Cause};

    use super::super::{PORT, udp};
    use super::Hold;
    use crate::listeners::attribution::sockets_of;

    /// Bytes of the kernel's table; more is too much.
    const TABLE: u64 = 32 * 1024 * 1024;

    pub(super) fn holds(pids: &BTreeSet<u32>) -> BTreeMap<u32, Hold> {
        let bound = bound();
        let hold = |pid: u32| match &bound {
            Ok(bound) => hold(pid, bound),
            Err(why) => Some(Hold::Unknown(why.clone())),
        };
        pids.iter().filter_map(|pid| Some((*pid, hold(*pid)?))).collect()
    }

    /// The sockets on the port, of both families.
    fn bound() -> Result<Vec<udp::Bound>, Blindness> {
        let mut bound = Vec::new();
        for table in ["/proc/net/udp", "/proc/net/udp6"] {
            match read(table) {
                Ok(text) if text.len() as u64 >= TABLE => {
                    return Err(Blindness::new(
                        Cause::TooMuch,
                        format!("{table} is longer than {TABLE} bytes"),
                    ));
                }
                Ok(text) => bound.extend(udp::bound_to(PORT, &text)),
                // A kernel without IPv6 has no second table.
                Err(failure) if failure.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => {}
                Err(failure) => return Err(Blindness::denied(format!("{table} cannot be read: {failure}"))),
            }
        }
        Ok(bound)
    }

    fn hold(pid: u32, bound: &[udp::Bound]) -> Option<Hold> {
        match sockets_of(pid) {
            Ok(sockets) => bound.iter().any(|it| sockets.contains(&it.socket)).then_some(Hold::Yes),
            // Another user's: his are the sockets that he opened. Whoever has ended holds nothing.
            Err(failure) => {
                let user = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
                let why = format!(
                    "a process of user {user} holds UDP port {PORT}, and which one is hidden: {failure}"
                );
                bound.iter().any(|it| it.uid == user).then(|| Hold::Unknown(Blindness::denied(why)))
            }
        }
    }

    fn read(table: &str) -> std::io::Result<String> {
        let mut bytes = Vec::new();
        File::open(table)?.take(TABLE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use std::collections::{BTreeMap, BTreeSet};

    use guardian_rules::blindness::Blindness;

    use super::super::PORT;
    use super::Hold;
    use crate::listeners::libproc::{has_ended, socket_info, sockets};
    use crate::listeners::socket_fdinfo::udp_port;

    pub(super) fn holds(pids: &BTreeSet<u32>) -> BTreeMap<u32, Hold> {
        pids.iter().filter_map(|pid| Some((*pid, hold(*pid)?))).collect()
    }

    fn hold(pid: u32) -> Option<Hold> {
        match sockets(pid) {
            Ok(descriptors) => {
                let holds = |fd: i32| socket_info(pid, fd).is_ok_and(|bytes| udp_port(&bytes) == Some(PORT));
                descriptors.into_iter().any(holds).then_some(Hold::Yes)
            }
            Err(failure) if has_ended(&failure) => None,
            Err(failure) => {
                Some(Hold::Unknown(Blindness::denied(format!("its sockets are hidden: {failure}"))))
            }
        }
    }
}
