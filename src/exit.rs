//! Exit codes: those of monitoring plugins for answers, those of sysexits.h for failures.

use std::process::ExitCode;

use guardian_rules::verdict::{Judgement, Verdict};

/// Safe or closed, or the command did what it was asked.
pub(crate) const OK: u8 = 0;
/// Safe, and something is worth mending; half-open.
pub(crate) const WARNING: u8 = 1;
/// Exposed or open.
pub(crate) const EXPOSED: u8 = 2;
/// Not everything could be seen; no daemon.
pub(crate) const BLIND: u8 = 3;
/// The command line is wrong (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
/// Something failed inside (`EX_SOFTWARE`).
pub(crate) const FAILURE: u8 = 70;
/// Not now: the lock is there (`EX_TEMPFAIL`).
pub(crate) const LOCKED: u8 = 75;
/// The configuration is wrong or not to be trusted (`EX_CONFIG`).
pub(crate) const CONFIG: u8 = 78;

/// The exit code of a judgement.
pub(crate) fn of(judgement: &Judgement) -> u8 {
    match judgement.verdict {
        Verdict::Safe if judgement.has_warnings() => WARNING,
        Verdict::Safe => OK,
        Verdict::Exposed => EXPOSED,
        Verdict::Blind => BLIND,
    }
}

/// An exit code for `main`.
pub(crate) fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}
