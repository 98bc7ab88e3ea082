//! Notifications by osascript(1), which is on every Mac.

use crate::notify::message::{Message, Urgency};
use guardian_probes::command::Tool;

/// The script. What it shows comes as arguments and is never part of it.
const SCRIPT: [&str; 3] =
    ["on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run"];
/// The same with a sound.
const LOUD: &str = "display notification (item 2 of argv) with title (item 1 of argv) sound name \"Basso\"";

/// The command that shows a message. It ends well even if the user has switched notifications off.
pub(crate) fn tool(message: &Message) -> Tool {
    let [begin, quiet, end] = SCRIPT;
    let show = if message.urgency == Urgency::Critical { LOUD } else { quiet };
    let script = [begin, show, end].into_iter().flat_map(|line| ["-e", line]);
    // The signs end the options: what a message begins with is never one.
    Tool::new("osascript", script.chain(["--", &message.title, &message.body]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_goes_by_arguments_and_is_no_part_of_the_script() {
        let message = Message {
            title: "-e \"quoted\"".to_owned(),
            body: "\" & (do shell script \"id\")".to_owned(),
            urgency: Urgency::Critical,
            key: "k".to_owned(),
        };
        let tool = tool(&message);
        assert_eq!(tool.program, "osascript");
        let arguments: Vec<_> = tool.arguments.iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(arguments[..6], ["-e", "on run argv", "-e", LOUD, "-e", "end run"]);
        assert_eq!(arguments[6..], ["--", &message.title, &message.body]);
        assert!(tool.input.is_empty() && tool.environment.is_empty());
    }
}
