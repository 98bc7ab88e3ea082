//! What people typed in a test and what came, as the documentation shows it.
//!
//! `GUARDIAN_TRANSCRIPTS=write` puts what a test tells into `docs/transcripts`. Else what is there has
//! to tell the same story: the same steps, each with the same exit code and the same leading word.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

/// A story under way.
pub(crate) struct Transcript {
    name: &'static str,
    text: String,
}

impl Transcript {
    /// `name` is that of its file, without the ending.
    pub(crate) fn begin(name: &'static str, title: &str) -> Self {
        let made = "Made by `GUARDIAN_TRANSCRIPTS=write cargo test --test lab installed`, on a host with systemd, a desktop's\n\
                    notification service and, for a gateway, the decoy of `guardian drill`.";
        Self { name, text: format!("{title}\n{made}\n") }
    }

    /// Something happens that nobody types.
    pub(crate) fn aside(&mut self, what: &str) {
        writeln!(self.text, "\n# {what}").unwrap();
    }

    /// Somebody types a command.
    pub(crate) fn typed(&mut self, command: &str, said: &str, code: i32) {
        writeln!(self.text, "\n$ {command}\n{}", said.trim_end()).unwrap();
        if code != 0 {
            writeln!(self.text, "[exit {code}]").unwrap();
        }
    }

    /// Somebody sees something.
    pub(crate) fn shown(&mut self, lines: &str) {
        for line in lines.lines() {
            writeln!(self.text, "  | {line}").unwrap();
        }
    }

    /// The end: it is the story that the documentation tells.
    #[track_caller]
    pub(crate) fn end(self) {
        let file =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("docs/transcripts/{}.txt", self.name));
        if env::var_os("GUARDIAN_TRANSCRIPTS").is_some() {
            fs::create_dir_all(file.parent().expect("it is in a folder")).unwrap();
            fs::write(file, self.text).unwrap();
            return;
        }
        let told = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(steps(&told), steps(&self.text), "{} tells another story", file.display());
    }
}

/// What stays the same each time: what happens and is typed, and how each answer begins and ends.
fn steps(text: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut after_a_command = false;
    for line in text.lines() {
        if line.starts_with(['$', '#', '[']) {
            steps.push(line);
        } else if after_a_command {
            steps.extend(line.split_whitespace().next());
        }
        after_a_command = line.starts_with('$');
    }
    steps
}

#[test]
fn a_story_is_another_one_if_a_step_or_its_outcome_is_another() {
    let of = |said: &str, code| {
        let mut story = Transcript::begin("none", "A story");
        story.aside("It begins.");
        story.typed("guardian status", said, code);
        story.text
    };
    let told = of("CLOSED  safe.\nSince 08:00", 0);
    assert_eq!(steps(&told), ["# It begins.", "$ guardian status", "CLOSED"]);
    assert_eq!(steps(&told), steps(&of("CLOSED  safe.\nSince 09:00", 0)));
    assert_ne!(steps(&told), steps(&of("OPEN  blocked.", 0)));
    assert_ne!(steps(&told), steps(&of("CLOSED  safe.", 1)));
}
