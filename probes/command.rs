//! Other programs of the system, run with a deadline and bounded output.
//!
//! What is to be run is data, so that tests can look at it. Arguments go to the program as they
//! are; no shell is between.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// As much of what a program prints is kept.
pub(crate) const OUTPUT: u64 = 4 * 1024 * 1024;

/// Folders in which the system's own programs lie. The caller's `PATH` is not asked.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The program's name, looked up in the system's folders, or its path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables it gets beside `PATH` and `LC_ALL=C`; nothing of the caller's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What it reads.
    pub input: Vec<u8>,
    /// The user and group it runs as, if not the caller's.
    pub user: Option<(u32, u32)>,
    /// How long it may take; then it is killed.
    pub deadline: Duration,
}

/// What a program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// On standard output, cut at 4 MiB.
    pub stdout: String,
    /// On standard error, likewise.
    pub stderr: String,
}

/// Why a program did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("{0} is not installed")]
    Missing(String),
    /// It could not be run or heard.
    #[error("{program} cannot be run")]
    Unusable {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// It did not end in time.
    #[error("{program} did not end within {deadline:?}")]
    TimedOut {
        /// The program.
        program: String,
        /// Its deadline.
        deadline: Duration,
    },
    /// It ended with a failure.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of what it printed on standard error.
        said: String,
    },
}

impl CommandError {
    /// The program did not end in time.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// The exit code of a program that failed.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { status, .. } => status.code(),
            _ => None,
        }
    }
}

impl Tool {
    /// A program with its arguments and ten seconds of time.
    pub fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            input: Vec::new(),
            user: None,
            deadline: Duration::from_secs(10),
        }
    }

    /// The same with something to read.
    #[must_use]
    pub fn with_input(self, input: impl Into<Vec<u8>>) -> Self {
        Self { input: input.into(), ..self }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same as another user. Takes root.
    #[must_use]
    pub fn run_as(self, uid: u32, gid: u32) -> Self {
        Self { user: Some((uid, gid)), ..self }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs it to its end. A failure to succeed is an error.
    pub async fn run(&self) -> Result<Printed, CommandError> {
        let program = self.program.to_string_lossy().into_owned();
        let unusable = |cause: std::io::Error| match cause.kind() {
            std::io::ErrorKind::NotFound => CommandError::Missing(program.clone()),
            _ => CommandError::Unusable { program: program.clone(), cause },
        };
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().map_err(unusable)?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let talk = async {
            let write = async {
                if let Some(stdin) = &mut stdin {
                    // A program that stops reading says why when it ends.
                    let _ = stdin.write_all(&self.input).await;
                }
                drop(stdin.take());
            };
            let ((), out, err) = tokio::join!(write, heard(stdout), heard(stderr));
            let status = child.wait().await?;
            Ok::<_, std::io::Error>((status, Printed { stdout: out?, stderr: err? }))
        };
        let (status, printed) = tokio::time::timeout(self.deadline, talk)
            .await
            .map_err(|_| CommandError::TimedOut { program: program.clone(), deadline: self.deadline })?
            .map_err(unusable)?;
        if status.success() {
            return Ok(printed);
        }
        Err(CommandError::Failed { program, status, said: end_of(&printed.stderr) })
    }
}

/// Reads to the end; what is over the limit is read and dropped, so that the program can end.
async fn heard(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut pipe) = pipe else { return Ok(String::new()) };
    let mut text = Vec::new();
    (&mut pipe).take(OUTPUT).read_to_end(&mut text).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last lines, for a sentence.
fn end_of(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.drain(..lines.len().saturating_sub(3));
    lines.join("; ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Tool {
        Tool::new("sh", ["-c", script])
    }

    #[tokio::test]
    async fn a_program_reads_its_input_and_is_heard_on_both_pipes() {
        let printed = sh("cat; echo aside >&2").with_input("hello").run().await.unwrap();
        assert_eq!(printed, Printed { stdout: "hello".to_owned(), stderr: "aside\n".to_owned() });
    }

    #[tokio::test]
    async fn a_failure_says_what_the_program_said() {
        let failed = sh("echo no such table >&2; exit 3").run().await.unwrap_err();
        assert_eq!(failed.code(), Some(3));
        assert!(failed.to_string().contains("no such table"), "{failed}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let failed = sh("sleep 60").within(Duration::from_millis(50)).run().await.unwrap_err();
        assert!(matches!(failed, CommandError::TimedOut { .. }));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_missing() {
        let failed = Tool::new("no-such-program", ["x"]).run().await.unwrap_err();
        assert!(matches!(failed, CommandError::Missing(_)));
    }

    #[tokio::test]
    async fn nothing_of_the_callers_environment_is_handed_on() {
        let printed = sh("env | sort | cut -d= -f1").with("WANTED", "1").run().await.unwrap();
        assert_eq!(
            printed.stdout.replace("PWD\n", "").replace("_\n", ""),
            "LC_ALL\nPATH\nSHLVL\nWANTED\n"
                .replace("SHLVL\n", if printed.stdout.contains("SHLVL") { "SHLVL\n" } else { "" })
        );
    }

    #[tokio::test]
    async fn endless_output_is_cut_and_does_not_stop_the_program() {
        let printed = sh("head -c 9000000 /dev/zero").run().await.unwrap();
        assert_eq!(printed.stdout.len() as u64, OUTPUT);
    }
}
