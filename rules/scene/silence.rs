//! Answers that leave open what is behind a door.

use super::door::Door;
use crate::blindness::Cause;
use crate::fact::{Access, Reply};
use crate::snapshot::Snapshot;

/// How a door's answers leave open what is behind it, if they do.
pub(super) fn silence(snapshot: &Snapshot, door: &Door<'_>, gateways_are_mute: bool) -> Option<String> {
    by_page(door, gateways_are_mute).or_else(|| by_access(door)).or_else(|| by_omission(snapshot, door))
}

fn by_page(door: &Door<'_>, gateways_are_mute: bool) -> Option<String> {
    door.panel.iter().find_map(|answer| match &answer.reply {
        Reply::Silent => Some(format!("{} accepts and stays silent", answer.at)),
        Reply::Unknown(why) => Some(format!("{} could not be asked ({why})", answer.at)),
        // 501 says that the server does not know the question; nothing is behind it.
        Reply::Http(page) if page.status >= 500 && page.status != 501 => {
            Some(format!("{} answers with the error {}", answer.at, page.status))
        }
        // A forwarder hangs up when the gateway behind it is down. While the gateway itself
        // answers, whoever hangs up is no way to it.
        Reply::Closed if gateways_are_mute => {
            Some(format!("{} hangs up, and the gateway does not answer either", answer.at))
        }
        Reply::Refused => door
            .listener
            .device
            .as_ref()
            .map(|device| format!("{} is tied to {device} and cannot be asked from this host", answer.at)),
        Reply::Http(_) | Reply::Closed | Reply::OtherProtocol => None,
    })
}

fn by_access(door: &Door<'_>) -> Option<String> {
    let hangs_up = |at| door.panel.iter().any(|answer| answer.at == at && answer.reply == Reply::Closed);
    let access = door.access.iter().map(|answer| (answer.at, &answer.access));
    let handshake = door.handshake.iter().map(|answer| (answer.at, &answer.access));
    access.chain(handshake).find_map(|(at, access)| match access {
        // It hung up on the other question too.
        Access::Unknown(why) if why.cause == Cause::Interrupted && hangs_up(at) => None,
        Access::Unknown(why) => Some(format!("{at} does not tell who gets in ({why})")),
        _ => None,
    })
}

/// An answer that is missing is no answer. Where a probe is blind as a whole it says so itself.
fn by_omission(snapshot: &Snapshot, door: &Door<'_>) -> Option<String> {
    let bound = door.listener.bound;
    if snapshot.panel.known().is_some() && door.is_unasked() {
        return Some(format!("nobody asked {bound}"));
    }
    let speaks_http = door.pages().next().is_some();
    (snapshot.access.known().is_some() && speaks_http && door.access.is_empty())
        .then(|| format!("nobody asked {bound} who gets in"))
}
