//! The gateway's systemd unit: what the present one runs, and the one that runs it as a user of its own.
//!
//! The present unit may be a file of its user's, and what it says would be run by root's manager. So
//! nothing of its spelling is taken over: it is read into words, by a grammar narrower than systemd's,
//! and the words are spelled anew. What would not be read the same by both is refused.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::USER;

/// Where the new unit lies.
pub(crate) const FOLDER: &str = "/etc/systemd/system";

/// What a unit runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runs {
    /// The program by its path, and its arguments.
    pub(crate) command: Vec<String>,
    /// Variables, in their order.
    pub(crate) variables: Vec<(String, String)>,
}

/// Why a unit cannot be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Odd {
    #[error("it has no ExecStart, or several")]
    Commands,
    #[error(
        "its ExecStart does not begin with the path of a program (a prefix such as `+` or `@` is not taken over)"
    )]
    Program,
    #[error("it reads variables from a file (EnvironmentFile): write them into the unit as Environment")]
    VariableFile,
    #[error("one of its Environment lines is not NAME=VALUE")]
    Variable,
    #[error(
        "it has a sign that is not taken over: a backslash, an open quote, a control character, a `%` but in `%h`"
    )]
    Spelling,
}

/// Reads what a unit of a user with this home runs (systemd.syntax(7), systemd.service(5)).
pub(crate) fn read(text: &str, home: &str) -> Result<Runs, Odd> {
    if text.chars().any(|sign| sign.is_control() && sign != '\n' && sign != '\t') {
        return Err(Odd::Spelling);
    }
    let mut runs = Runs { command: Vec::new(), variables: Vec::new() };
    let mut commands = 0;
    for line in logical_lines(text) {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key.trim() {
            "ExecStart" => {
                commands += 1;
                runs.command = words(value, home)?;
            }
            "Environment" => {
                for word in words(value, home)? {
                    let (name, value) = word.split_once('=').ok_or(Odd::Variable)?;
                    if !is_name(name) {
                        return Err(Odd::Variable);
                    }
                    runs.variables.push((name.to_owned(), value.to_owned()));
                }
            }
            "EnvironmentFile" | "PassEnvironment" => return Err(Odd::VariableFile),
            _ => {}
        }
    }
    match runs.command.first() {
        None => Err(Odd::Commands),
        Some(_) if commands != 1 => Err(Odd::Commands),
        Some(program) if !program.starts_with('/') => Err(Odd::Program),
        // A second command, for a service that may have several.
        Some(_) if runs.command.iter().any(|word| word == ";") => Err(Odd::Commands),
        Some(_) => Ok(runs),
    }
}

/// Lines that end in a backslash go on in the next one; comments between them are passed over.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.split('\n') {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            begun.push_str(part);
            begun.push(' ');
        } else {
            begun.push_str(line);
            lines.push(std::mem::take(&mut begun));
        }
    }
    lines.push(begun);
    lines
}

/// The words of a value. Quotes are taken off, `%h` and `%%` are resolved; nothing else that systemd
/// would resolve may be there.
fn words(value: &str, home: &str) -> Result<Vec<String>, Odd> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut signs = value.chars();
    while let Some(sign) = signs.next() {
        match (quote, sign) {
            (_, '\\') => return Err(Odd::Spelling),
            (None, ' ' | '\t') => words.extend(word.take()),
            // Elsewhere than around a whole word they may stand for themselves.
            (None, '"' | '\'') if word.is_none() => {
                quote = Some(sign);
                word = Some(String::new());
            }
            (None, '"' | '\'') => return Err(Odd::Spelling),
            (Some(open), _) if open == sign => {
                quote = None;
                if signs.clone().next().is_some_and(|next| next != ' ' && next != '\t') {
                    return Err(Odd::Spelling);
                }
            }
            (_, '%') => match signs.next() {
                Some('h') => word.get_or_insert_default().push_str(home),
                Some('%') => word.get_or_insert_default().push('%'),
                _ => return Err(Odd::Spelling),
            },
            (_, sign) => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(Odd::Spelling) } else { Ok(words) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|sign: char| sign.is_ascii_digit())
}

/// The first word of a command that lies in the home: the gateway is to be kept out of it.
pub(crate) fn in_home(home: &Path, command: &[String]) -> Option<PathBuf> {
    command.iter().map(Path::new).find(|word| word.starts_with(home)).map(Path::to_owned)
}

/// The unit that runs it behind the bulkhead. `home`: the gateway's own; `lock`: where it is while
/// the circuit is open.
pub(crate) fn text(runs: &Runs, variables: &[(String, String)], home: &Path, lock: &Path) -> String {
    let home = home.display();
    let command: Vec<String> = runs.command.iter().map(|word| quoted(word, true)).collect();
    let mut text = format!(
        "# Written by `guardian bulkhead apply`; `guardian bulkhead undo` takes it away.\n\
         [Unit]\n\
         Description=Moltbot gateway, as a user of its own\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         ConditionPathExists=!{}\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\n\
         User={USER}\n\
         Group={USER}\n\
         WorkingDirectory={home}\n\
         ExecStart={}\n",
        lock.display(),
        command.join(" "),
    );
    let kept = runs.variables.iter().filter(|(name, _)| !variables.iter().any(|(new, _)| new == name));
    for (name, value) in kept.chain(variables) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "Environment={}", quoted(&format!("{name}={value}"), false));
    }
    let _ = write!(
        text,
        "Restart=always\nRestartSec=5\nUMask=0077\nNoNewPrivileges=yes\nCapabilityBoundingSet=\n\
         ProtectSystem=strict\nProtectHome=tmpfs\nBindPaths={home}\nReadWritePaths={home}\nPrivateTmp=yes\n\
         ProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\n\
         RestrictRealtime=yes\nLockPersonality=yes\nSystemCallArchitectures=native\n\
         InaccessiblePaths=-/run/docker.sock -/run/podman -/var/lib/guardian -/etc/guardian\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    text
}

/// A word between quotes (systemd.syntax(7)); in commands `$` would be a variable (systemd.service(5)).
fn quoted(word: &str, in_command: bool) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{}\"", if in_command { word.replace('$', "$$") } else { word })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "[Unit]\nDescription=OpenClaw Gateway\n\n[Service]\n\
        # ExecStart=/bin/evil\n\
        ExecStart=\"/usr/bin/node\" \\\n  \
        /opt/openclaw/dist/entry.js gateway --port 18789 --tag 'a $b 100%%'\n\
        Environment=HOME=%h\nEnvironment=\"OPENCLAW_GATEWAY_PORT=18789\" \"PATH=/a b:/c\"\nRestart=always\n";

    fn of(command: &str) -> Result<Runs, Odd> {
        read(&format!("[Service]\nExecStart={command}\n"), "/home/ana")
    }

    #[test]
    fn the_command_and_the_variables_of_the_present_unit_are_taken_over_word_by_word() {
        let runs = read(USERS, "/home/ana").unwrap();
        assert_eq!(
            runs.command,
            [
                "/usr/bin/node",
                "/opt/openclaw/dist/entry.js",
                "gateway",
                "--port",
                "18789",
                "--tag",
                "a $b 100%"
            ]
        );
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            runs.variables,
            [
                variable("HOME", "/home/ana"),
                variable("OPENCLAW_GATEWAY_PORT", "18789"),
                variable("PATH", "/a b:/c")
            ]
        );
    }

    #[test]
    fn what_would_run_as_root_is_refused_however_it_is_spelled() {
        for prefixed in ["+/evil", "!/evil", "!!/evil", "-/evil", "@/evil x", ":/evil", "|/evil"] {
            assert_eq!(of(prefixed), Err(Odd::Program), "{prefixed}");
            // systemd takes quotes off before it looks for a prefix.
            assert_eq!(of(&format!("\"{prefixed}\"")), Err(Odd::Program), "{prefixed}");
        }
        for escaped in
            [r"\x2b/evil", r#""\x2b/evil""#, r"/bin/sh\ -c", "/bin/sh -c 'a", "/bin/a\"b\"c", "/bin/%N"]
        {
            assert_eq!(of(escaped), Err(Odd::Spelling), "{escaped}");
        }
        // systemd ends a line at a carriage return, and at a null byte.
        for line in ["A=b\rExecStartPre=+/evil", "A=b\0ExecStartPre=+/evil", "A=b\u{1b}[2K", "A=b\u{85}c"] {
            let text = format!("[Service]\nExecStart=/bin/node\nEnvironment={line}\n");
            assert_eq!(read(&text, "/home/ana"), Err(Odd::Spelling), "{line:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        assert_eq!(of("/a\nExecStart=/b"), Err(Odd::Commands));
        assert_eq!(of("/a ; +/evil"), Err(Odd::Commands));
        assert_eq!(read("[Service]\n", "/home/ana"), Err(Odd::Commands));
        assert_eq!(of("/a\nEnvironmentFile=/etc/shadow"), Err(Odd::VariableFile));
        for odd in ["novalue", "1A=b", "A-B=c", "=x"] {
            assert_eq!(of(&format!("/a\nEnvironment={odd}")), Err(Odd::Variable), "{odd}");
        }
    }

    #[test]
    fn a_program_in_the_home_is_found() {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let home = Path::new("/home/ana");
        assert_eq!(
            in_home(home, &command(&["/usr/bin/node", "/home/ana/x.js"])),
            Some("/home/ana/x.js".into())
        );
        assert_eq!(in_home(home, &command(&["/usr/bin/node", "/home/anabel/x.js"])), None);
    }

    #[test]
    fn the_new_unit_has_its_own_user_no_home_and_honours_the_lock() {
        let runs = read(USERS, "/home/ana").unwrap();
        let variables = [("HOME".to_owned(), "/home/_moltbot".to_owned())];
        let lock = Path::new("/var/lib/guardian/breaker.lock");
        let text = text(&runs, &variables, Path::new("/home/_moltbot"), lock);
        for line in [
            "User=_moltbot",
            "ProtectHome=tmpfs",
            "BindPaths=/home/_moltbot",
            "NoNewPrivileges=yes",
            "ConditionPathExists=!/var/lib/guardian/breaker.lock",
            "Environment=\"HOME=/home/_moltbot\"",
            "ExecStart=\"/usr/bin/node\" \"/opt/openclaw/dist/entry.js\" \"gateway\" \"--port\" \"18789\" \"--tag\" \"a $$b 100%%\"",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
        }
        assert_eq!(text.matches("HOME=").count(), 1, "the owner's is not kept:\n{text}");
    }

    proptest::proptest! {
        /// Whatever a hostile unit says, what is written has one command, and no line of its making.
        #[test]
        fn no_text_adds_a_line(text in "(ExecStart=|Environment=|[ -~\\n\\r\\t\\x00\\x85\"'\\\\%$+]){0,60}") {
            if let Ok(runs) = read(&format!("ExecStart=/bin/x\n{text}"), "/home/ana") {
                let written = super::text(&runs, &[], Path::new("/home/_moltbot"), Path::new("/l"));
                let plain = Runs { command: vec!["/bin/x".to_owned()], variables: Vec::new() };
                let without = super::text(&plain, &[], Path::new("/home/_moltbot"), Path::new("/l"));
                proptest::prop_assert_eq!(written.lines().count(), without.lines().count() + runs.variables.len());
                proptest::prop_assert!(written.lines().filter(|line| line.starts_with("Exec")).count() == 1);
                proptest::prop_assert!(written.contains("ExecStart=\"/"));
            }
        }
    }
}
