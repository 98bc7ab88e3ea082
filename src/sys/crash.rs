//! Points at which a test can have this program end as if by a power cut.
//!
//! Builds without debug assertions have none of it.

/// Ends this process by SIGKILL if `GUARDIAN_CRASH_AT` names this point.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    if std::env::var_os("GUARDIAN_CRASH_AT").is_some_and(|wanted| wanted == name) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        // The signal is on its way; nothing may happen after this point.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
