//! What whoever has started the daemon is told: systemd by `sd_notify(3)`, launchd nothing.

use guardian_rules::verdict::Verdict;

use crate::breaker::state::Circuit;

/// The first whole round is over: the watcher is at work.
#[cfg(target_os = "linux")]
pub(super) fn ready(circuit: Circuit, verdict: Option<Verdict>) {
    let verdict = match verdict {
        Some(Verdict::Safe) => "safe",
        Some(Verdict::Exposed) => "exposed",
        Some(Verdict::Blind) | None => "blind",
    };
    let said = format!("{}, {verdict}", circuit.as_str());
    let ready = [sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&said)];
    if let Err(failed) = sd_notify::notify(&ready) {
        tracing::debug!(%failed, "the supervisor is not told");
    }
}

/// The loop turns.
#[cfg(target_os = "linux")]
pub(super) fn alive() {
    // Without a supervisor nobody is told.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
}

/// Nothing.
#[cfg(not(target_os = "linux"))]
pub(super) fn ready(_: Circuit, _: Option<Verdict>) {}

/// Nothing.
#[cfg(not(target_os = "linux"))]
pub(super) fn alive() {}
