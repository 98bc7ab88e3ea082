//! A command of the owner's choice that is told of every event.

use std::path::Path;
use std::time::Duration;

use super::event::Event;
use guardian_probes::command::{CommandError, Tool};

/// How long the command may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why `notify.command` cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// Which program is meant would depend on who looks for it.
    #[error("{0:?} is no absolute path; name the program with its folders, such as /usr/local/bin/alarm")]
    NotAbsolute(String),
    /// A string that no program can be given.
    #[error("argument {0} has a zero byte in it")]
    ZeroByte(usize),
}

/// Why an event could not be handed to the command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It did not do what it was run for.
    #[error("the command failed")]
    Command(#[from] CommandError),
    /// The event cannot be written.
    #[error("the event cannot be put into JSON")]
    Json(#[from] serde_json::Error),
}

/// The command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    program: String,
    arguments: Vec<String>,
}

impl Hook {
    /// The command that the policy names, if it names one.
    pub(crate) fn of(argv: &[String]) -> Result<Option<Self>, HookError> {
        let Some((program, arguments)) = argv.split_first() else { return Ok(None) };
        if let Some(at) = argv.iter().position(|argument| argument.contains('\0')) {
            return Err(HookError::ZeroByte(at));
        }
        if !Path::new(program).is_absolute() {
            return Err(HookError::NotAbsolute(program.clone()));
        }
        Ok(Some(Self { program: program.clone(), arguments: arguments.to_vec() }))
    }

    /// What is run for an event: the command as the daemon's user, with nothing of its environment
    /// but a path and a language, and one line of JSON to read.
    fn tool(&self, event: &Event) -> Result<Tool, serde_json::Error> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        Ok(Tool::new(&self.program, &self.arguments).with_input(line).within(DEADLINE))
    }

    /// Runs the command for an event. It has to end well within ten seconds, and with it whatever it
    /// started that still holds its output.
    pub(crate) async fn run(&self, event: &Event) -> Result<(), RunError> {
        self.tool(event)?.run().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::effect::Notice;
    use crate::notify::message::tests::{stamped, trip};
    use crate::notify::queue::Delivery;

    fn event() -> Event {
        Event::of(&Delivery::first(stamped(Notice::Tripped(trip(0, 1)))), "pine")
    }

    fn hook(argv: &[&str]) -> Result<Option<Hook>, HookError> {
        Hook::of(&argv.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn no_command_is_no_hook_and_a_program_without_folders_is_refused() {
        assert_eq!(hook(&[]).unwrap(), None);
        for program in ["alarm", "./alarm", "~/alarm", ""] {
            let refused = hook(&[program, "loud"]).unwrap_err().to_string();
            assert!(refused.contains("absolute path"), "{refused}");
        }
        assert!(matches!(hook(&["/bin/alarm", "a\0b"]), Err(HookError::ZeroByte(1))));
    }

    #[test]
    fn the_event_is_one_line_on_standard_input_and_arguments_go_as_they_are() {
        let tool = hook(&["/bin/alarm", "$(id)", "a b"]).unwrap().unwrap().tool(&event()).unwrap();
        assert_eq!(tool.arguments, ["$(id)", "a b"]);
        assert_eq!((tool.environment.len(), tool.user, tool.deadline), (0, None, DEADLINE));
        let text = String::from_utf8(tool.input).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&json["event"], &json["schema"]), (&"tripped".into(), &1.into()));
    }

    #[tokio::test]
    async fn the_command_reads_json_and_its_failure_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard");
        let script = format!("cat > {}", heard.display());
        hook(&["/bin/sh", "-c", &script]).unwrap().unwrap().run(&event()).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(heard).unwrap()).unwrap();
        assert_eq!(json["host"], "pine");
        let failed = hook(&["/bin/sh", "-c", "exit 3"]).unwrap().unwrap().run(&event()).await;
        assert!(matches!(failed, Err(RunError::Command(failed)) if failed.code() == Some(3)));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 60", pid.display());
        let tool = hook(&["/bin/sh", "-c", &script]).unwrap().unwrap().tool(&event()).unwrap();
        let hangs = tool.within(Duration::from_millis(300)).run().await;
        assert!(matches!(hangs, Err(CommandError::TimedOut { .. })), "{hangs:?}");
        let pid: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        for _ in 0..50 {
            if nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{pid} lives");
    }
}
