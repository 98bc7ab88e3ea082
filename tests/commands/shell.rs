//! What a shell and `man` read.

use std::fs;
use std::process::{Command, Stdio};

use crate::place::{Place, code, said, told};

#[test]
fn shells_complete_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = place.guardian(&["completions", shell]);
        assert_eq!(code(&output), 0, "{}", told(&output));
        let script = said(&output);
        for word in ["install", "recover", "--dry-run", "--swiftbar"] {
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
        // A shell that is here reads it without a word.
        let Ok(mut child) =
            Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()
        else {
            continue;
        };
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let read = child.wait_with_output().unwrap();
        assert!(
            read.status.success() && read.stderr.is_empty(),
            "{shell}: {}",
            String::from_utf8_lossy(&read.stderr)
        );
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let place = Place::new();
    let folder = place.path().join("man");
    fs::create_dir(&folder).unwrap();
    let output = place.guardian(&["manual", folder.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    for (page, word) in
        [("guardian.1", "Exit codes"), ("guardian-install.1", "dry\\-run"), ("guardian-gate.1", "gate")]
    {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(word), "{page}: {text}");
    }
    for none in ["guardian-witness-child.1", "guardian-help.1"] {
        assert!(!folder.join(none).exists(), "{none}");
    }
    assert!(said(&place.guardian(&["manual"])).contains(".TH guardian 1"));
}

#[test]
fn a_menu_bar_gets_a_line_and_a_menu() {
    let place = Place::new();
    let output = place.guardian(&["status", "--swiftbar"]);
    assert_eq!(code(&output), 0, "a menu bar takes anything else for a fault");
    assert!(said(&output).starts_with("NO DAEMON | sfimage=xmark.shield"), "{}", said(&output));
}
