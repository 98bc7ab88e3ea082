//! The gateway's systemd unit: what the present one runs, and the one that runs it as a user of its own.
//!
//! The present unit may be its user's own file, and what it says would be run by root's manager: only
//! the command and plain variables are taken over, and nothing that would run as root.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{HOME, USER};

/// Where the new unit lies.
pub(crate) const FOLDER: &str = "/etc/systemd/system";

/// What a unit runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runs {
    /// `ExecStart=`, as it is spelled.
    pub(crate) command: String,
    /// `Environment=` lines, as they are spelled.
    pub(crate) environment: Vec<String>,
}

/// Why a unit cannot be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Odd {
    #[error("it has no ExecStart, or several")]
    Commands,
    #[error("its ExecStart has a prefix that gives it root's privileges (`+` or `!`)")]
    Privileged,
    #[error("it reads variables from a file (EnvironmentFile): write them into the unit as Environment")]
    VariableFile,
}

/// Reads what a unit of a user with this home runs (systemd.syntax(7), systemd.service(5)).
pub(crate) fn read(text: &str, home: &Path) -> Result<Runs, Odd> {
    let mut runs = Runs { command: String::new(), environment: Vec::new() };
    let mut commands = 0;
    for line in logical_lines(text) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().replace("%h", &home.to_string_lossy());
        match key.trim() {
            "ExecStart" => {
                commands += 1;
                runs.command = value;
            }
            "Environment" => runs.environment.push(value),
            "EnvironmentFile" => return Err(Odd::VariableFile),
            _ => {}
        }
    }
    if commands != 1 || runs.command.is_empty() {
        return Err(Odd::Commands);
    }
    let prefix = runs.command.chars().take_while(|sign| "@-:+!|".contains(*sign));
    if prefix.into_iter().any(|sign| "+!|".contains(sign)) {
        return Err(Odd::Privileged);
    }
    Ok(runs)
}

/// Lines that end in a backslash go on in the next one; comments between them are passed over.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.lines() {
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

/// The words of a command, without their quotes; good enough to find paths in.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for sign in command.trim_start_matches(['@', '-', ':']).chars() {
        match (quote, sign) {
            (None, '"' | '\'') => quote = Some(sign),
            (Some(open), _) if open == sign => quote = None,
            (None, _) if sign.is_whitespace() => words.push(String::new()),
            (_, _) => {
                if let Some(word) = words.last_mut() {
                    word.push(sign);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Folders below the owner's home that the program itself lies in: it needs them, and nothing else
/// there. None where that would be the home itself, or a hidden folder of secrets.
pub(crate) fn programs_in(home: &Path, command: &str) -> Result<Vec<PathBuf>, PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for word in words(command) {
        let word = Path::new(&word);
        let Ok(inside) = word.strip_prefix(home) else { continue };
        let parts: Vec<&std::ffi::OsStr> = inside.iter().collect();
        let end = parts
            .iter()
            .position(|part| matches!(part.to_str(), Some("bin" | "lib" | "node_modules" | "dist")));
        let folder = match end {
            Some(end) if end > 0 => home.join(parts.iter().take(end).collect::<PathBuf>()),
            _ => return Err(word.to_owned()),
        };
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    Ok(folders)
}

/// The unit that runs it behind the bulkhead.
pub(crate) fn text(runs: &Runs, programs: &[PathBuf], variables: &[(String, String)], lock: &Path) -> String {
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
         WorkingDirectory={HOME}\n\
         ExecStart={}\n",
        lock.display(),
        runs.command,
    );
    for line in &runs.environment {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "Environment={line}");
    }
    for (name, value) in variables {
        let _ = writeln!(text, "Environment=\"{name}={value}\"");
    }
    text.push_str("Restart=always\nRestartSec=5\nUMask=0077\n");
    let _ = write!(
        text,
        "NoNewPrivileges=yes\nCapabilityBoundingSet=\n\
         ProtectSystem=strict\nReadWritePaths={HOME}\nProtectHome=tmpfs\nPrivateTmp=yes\n\
         ProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\n\
         RestrictRealtime=yes\nLockPersonality=yes\nSystemCallArchitectures=native\n\
         InaccessiblePaths=-/run/docker.sock -/run/podman -/var/lib/guardian -/etc/guardian\n"
    );
    for folder in programs {
        let _ = writeln!(text, "BindReadOnlyPaths=\"{}\"", folder.display());
    }
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "[Unit]\nDescription=OpenClaw Gateway\n\n[Service]\n\
        # ExecStart=/bin/evil\n\
        ExecStart=\"/home/ana/.nvm/versions/node/v22.1.0/bin/node\" \\\n  \
        /home/ana/.npm-global/lib/node_modules/openclaw/dist/entry.js gateway --port 18789\n\
        Environment=HOME=%h\nEnvironment=\"OPENCLAW_GATEWAY_PORT=18789\"\nRestart=always\n";

    fn ana() -> &'static Path {
        Path::new("/home/ana")
    }

    #[test]
    fn the_command_and_the_variables_of_the_present_unit_are_taken_over() {
        let runs = read(USERS, ana()).unwrap();
        assert!(runs.command.starts_with("\"/home/ana/.nvm/versions/node/v22.1.0/bin/node\""));
        assert!(runs.command.ends_with("gateway --port 18789") && !runs.command.contains('\\'));
        assert_eq!(runs.environment, ["HOME=/home/ana", "\"OPENCLAW_GATEWAY_PORT=18789\""]);
    }

    #[test]
    fn what_would_run_as_root_or_cannot_be_told_is_refused() {
        for prefix in ["+", "!", "!!", "-+", "|"] {
            assert_eq!(
                read(&format!("ExecStart={prefix}/bin/node x"), ana()),
                Err(Odd::Privileged),
                "{prefix}"
            );
        }
        assert!(read("ExecStart=@/bin/node openclaw-gateway", ana()).is_ok());
        assert_eq!(read("ExecStart=/a\nExecStart=/b", ana()), Err(Odd::Commands));
        assert_eq!(read("[Service]\n", ana()), Err(Odd::Commands));
        assert_eq!(read("ExecStart=/a\nEnvironmentFile=/etc/shadow", ana()), Err(Odd::VariableFile));
    }

    #[test]
    fn of_the_home_only_the_program_is_shown() {
        let runs = read(USERS, ana()).unwrap();
        assert_eq!(
            programs_in(ana(), &runs.command).unwrap(),
            [PathBuf::from("/home/ana/.nvm/versions/node/v22.1.0"), PathBuf::from("/home/ana/.npm-global")]
        );
        assert_eq!(
            programs_in(ana(), "/usr/bin/node /opt/openclaw/openclaw.mjs").unwrap(),
            [] as [PathBuf; 0]
        );
        for whole in ["/home/ana/bin/openclaw", "/home/ana/openclaw", "/home/ana"] {
            assert_eq!(programs_in(ana(), whole), Err(whole.into()));
        }
    }

    #[test]
    fn the_new_unit_has_its_own_user_no_home_and_honours_the_lock() {
        let runs = read(USERS, ana()).unwrap();
        let programs = programs_in(ana(), &runs.command).unwrap();
        let variables = [("OPENCLAW_STATE_DIR".to_owned(), format!("{HOME}/.openclaw"))];
        let text = text(&runs, &programs, &variables, Path::new("/var/lib/guardian/breaker.lock"));
        for line in [
            "User=_moltbot",
            "ProtectHome=tmpfs",
            "NoNewPrivileges=yes",
            "ConditionPathExists=!/var/lib/guardian/breaker.lock",
            "BindReadOnlyPaths=\"/home/ana/.npm-global\"",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
        }
        // Of two lines for one variable the later one counts.
        let at = |needle: &str| text.find(needle).unwrap();
        assert!(at("Environment=HOME=/home/ana") < at("OPENCLAW_STATE_DIR"));
        assert_eq!(read(&text, ana()).unwrap().command, runs.command, "it can be read again");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "(?s).{0,200}", command in ".{0,80}") {
            let _ = read(&text, ana());
            let _ = programs_in(ana(), &command);
        }
    }
}
