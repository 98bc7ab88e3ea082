//! Asks the person at the terminal whether to go on.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};

use super::Failure;

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64;

/// Fails where nobody could be asked, before anything else is done.
pub(super) fn possible(yes: bool) -> Result<(), Failure> {
    if yes || io::stdin().is_terminal() { Ok(()) } else { Err(Failure::NobodyToAsk("--yes")) }
}

/// Whether the person says yes; `yes` says it for them.
pub(super) fn confirm(question: &str, yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    possible(yes)?;
    let mut told = io::stderr().lock();
    write!(told, "{question} [y/N] ").and_then(|()| told.flush())?;
    let mut answer = String::new();
    BufReader::new(io::stdin().lock().take(LONGEST)).read_line(&mut answer)?;
    Ok(means_yes(&answer))
}

fn means_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_means_yes() {
        assert!(means_yes("y\n") && means_yes(" YES \n"));
        assert!(!means_yes("") && !means_yes("\n") && !means_yes("n\n") && !means_yes("yess\n"));
    }
}
