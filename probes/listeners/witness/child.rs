//! The second witness in a process of its own, where what it does to memory dies with it.
//!
//! The child writes a line of JSON for each listener and one at the end that counts them, so that
//! half an answer is not taken for a whole one.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// What the program is called with to be the witness; not for people.
pub const SUBCOMMAND: &str = "witness-child";

/// Time for the child, and bytes of its answer: 100,000 listeners.
const BUDGET: Duration = Duration::from_secs(5);
const LIMIT: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Listens(SocketAddr),
    End(usize),
}

/// The child's part: writes what the second witness sees.
pub fn testify(out: &mut impl Write) -> io::Result<()> {
    let seen = super::netstat().map_err(io::Error::other)?;
    for address in &seen {
        write(out, &Line::Listens(*address))?;
    }
    write(out, &Line::End(seen.len()))?;
    out.flush()
}

fn write(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads what a child wrote.
pub fn read(bytes: &[u8]) -> Result<BTreeSet<SocketAddr>, Blindness> {
    let mut seen = BTreeSet::new();
    let mut lines = serde_json::Deserializer::from_slice(bytes).into_iter::<Line>();
    while let Some(line) = lines.next() {
        match line {
            Ok(Line::Listens(address)) => {
                seen.insert(address);
            }
            Ok(Line::End(count)) if count == seen.len() && lines.next().is_none() => return Ok(seen),
            Ok(Line::End(_)) => return Err(Blindness::malformed("the second witness counts wrongly")),
            Err(error) if error.is_eof() => break,
            Err(error) => {
                return Err(Blindness::malformed(format!("the second witness makes no sense: {error}")));
            }
        }
    }
    Err(Blindness::new(Cause::Interrupted, "the second witness stopped in the middle"))
}

/// Runs this very program as the witness.
pub async fn ask() -> Result<BTreeSet<SocketAddr>, Blindness> {
    let program = std::env::current_exe().map_err(|error| cannot_start(&error))?;
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND);
    ask_as(command, BUDGET).await
}

async fn ask_as(mut command: Command, budget: Duration) -> Result<BTreeSet<SocketAddr>, Blindness> {
    let mut child = command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot_start(&error))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Blindness::new(Cause::Interrupted, "the second witness has no voice"));
    };
    let answer = async {
        let mut bytes = Vec::new();
        stdout.take(LIMIT + 1).read_to_end(&mut bytes).await?;
        let status = child.wait().await?;
        io::Result::Ok((bytes, status))
    };
    match tokio::time::timeout(budget, answer).await {
        Err(_) => Err(Blindness::timed_out(format!("the second witness took longer than {budget:?}"))),
        Ok(Err(error)) => {
            Err(Blindness::new(Cause::Interrupted, format!("the second witness cannot be heard: {error}")))
        }
        Ok(Ok((bytes, _))) if bytes.len() as u64 > LIMIT => {
            Err(Blindness::new(Cause::TooMuch, "the second witness does not stop"))
        }
        Ok(Ok((_, status))) if !status.success() => {
            Err(Blindness::new(Cause::Interrupted, format!("the second witness failed: {status}")))
        }
        Ok(Ok((bytes, _))) => read(&bytes),
    }
}

fn cannot_start(error: &io::Error) -> Blindness {
    Blindness::new(Cause::ToolMissing, format!("the second witness cannot be started: {error}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    async fn heard(script: &str, budget: Duration) -> Result<BTreeSet<SocketAddr>, Blindness> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        ask_as(command, budget).await
    }

    async fn cause(script: &str) -> Cause {
        heard(script, Duration::from_secs(10)).await.unwrap_err().cause
    }

    #[test]
    fn what_the_child_writes_is_what_it_saw() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut out = Vec::new();
        testify(&mut out).unwrap();
        assert!(read(&out).unwrap().contains(&socket.local_addr().unwrap()));
    }

    #[test]
    fn an_answer_cut_anywhere_is_not_an_answer() {
        let whole = b"{\"listens\":\"127.0.0.1:80\"}\n{\"listens\":\"[::]:22\"}\n{\"end\":2}\n";
        assert_eq!(read(whole).unwrap().len(), 2);
        for length in 0..whole.len() - 2 {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn an_answer_that_goes_on_or_counts_wrongly_is_not_an_answer() {
        assert_eq!(read(b"{\"end\":1}\n").unwrap_err().cause, Cause::Malformed);
        assert_eq!(read(b"{\"end\":0}\n{\"end\":0}\n").unwrap_err().cause, Cause::Malformed);
        assert_eq!(read(b"{\"listens\":80}\n{\"end\":0}\n").unwrap_err().cause, Cause::Malformed);
        assert_eq!(read(b"").unwrap_err().cause, Cause::Interrupted);
    }

    #[tokio::test]
    async fn a_witness_that_dies_is_blind() {
        assert_eq!(cause("echo '{\"end\":0}'; kill -9 $$").await, Cause::Interrupted);
        assert_eq!(cause("exit 3").await, Cause::Interrupted);
        assert_eq!(cause("exit 0").await, Cause::Interrupted);
    }

    #[tokio::test]
    async fn a_witness_that_hangs_is_timed_out() {
        let hung = heard("exec sleep 600", Duration::from_millis(200)).await;
        assert_eq!(hung.unwrap_err().cause, Cause::TimedOut);
    }

    #[tokio::test]
    async fn a_witness_without_end_is_too_much() {
        assert_eq!(cause("while :; do echo '{\"listens\":\"127.0.0.1:80\"}'; done").await, Cause::TooMuch);
    }

    #[tokio::test]
    async fn a_witness_that_speaks_is_heard() {
        let seen =
            heard("echo '{\"listens\":\"127.0.0.1:80\"}'; echo '{\"end\":1}'", Duration::from_secs(10)).await;
        assert_eq!(seen.unwrap(), BTreeSet::from(["127.0.0.1:80".parse().unwrap()]));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
