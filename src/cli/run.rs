//! `guardian run -- CMD`: runs a command only while the circuit is not open.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use clap::Args;

use super::{Failure, Folders, runtime};
use crate::exit;
use crate::status::absent::LockPresence;
use crate::supervise::{Ended, supervise};

/// The options of `guardian run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let places = folders.paths()?.to_ask();
    let is_open = || LockPresence::first_of(&places) != LockPresence::Absent;
    // Clap wants at least one.
    let Some((program, rest)) = arguments.command.split_first() else { return Ok(exit::USAGE) };
    let shown = program.to_string_lossy();
    if is_open() {
        tell(&format!("the circuit is open, so {shown} is not run; guardian status says why"));
        return Ok(exit::LOCKED);
    }
    let mut command = Command::new(program);
    command.args(rest);
    match runtime()?.block_on(supervise(command, is_open))? {
        Ended::ByItself(status) => Ok(code(status)),
        Ended::ByLock => {
            tell(&format!("the circuit was opened, so {shown} was ended; guardian status says why"));
            Ok(exit::LOCKED)
        }
    }
}

/// The exit code as a shell gives it: 128 and the number of the signal that ended it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILURE)
}

fn tell(sentence: &str) {
    use std::io::Write as _;
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "guardian: {sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_commands_own_or_names_the_signal() {
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
    }
}
