//! The command line as a person and as a program meet it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;

fn guardian(arguments: &[&str]) -> Output {
    guardian_with(None, arguments)
}

fn guardian_with(config: Option<&str>, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("guardian").unwrap();
    command
        .args(arguments)
        .env_remove("GUARDIAN_CONFIG")
        .env_remove("GUARDIAN_STATE_DIR")
        .env_remove("GUARDIAN_RUNTIME_DIR")
        .env("HOME", folder.path())
        .env_remove("XDG_CONFIG_HOME");
    if let Some(text) = config {
        command.env("GUARDIAN_CONFIG", written(&folder, text));
    }
    command.output().unwrap()
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("guardian.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    for wrong in [&["chekc"][..], &["check", "--jsno"], &["explain"], &[], &["explain", "no-such-rule"]] {
        let output = guardian(wrong);
        assert_eq!(code(&output), 64, "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
    for asked in [&["--help"][..], &["--version"], &["check", "--help"]] {
        assert_eq!(code(&guardian(asked)), 0, "{asked:?}");
    }
}

#[test]
fn help_can_be_asked_for_by_word_as_by_flag() {
    for (word, flag) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "status"], &["status", "--help"]),
        (&["help", "gate", "setup"], &["gate", "setup", "--help"]),
    ] {
        let (by_word, by_flag) = (guardian(word), guardian(flag));
        assert_eq!((code(&by_word), said(&by_word)), (0, said(&by_flag)), "{word:?} {}", told(&by_word));
    }
    assert_eq!(code(&guardian(&["help", "chekc"])), 64);
}

#[test]
fn a_wrong_configuration_is_78_and_names_key_line_and_file_before_anything_is_looked_at() {
    let output = guardian_with(Some("mode = \"enforce\"\npateince = \"10s\"\n"), &["check", "--json"]);
    assert_eq!(code(&output), 78);
    assert!(output.stdout.is_empty());
    let told = told(&output);
    for part in ["guardian.toml", "pateince", "line 2"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_configuration_that_others_may_write_is_78_and_says_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let output = guardian(&["--config", path.to_str().unwrap(), "config", "check"]);
    assert_eq!(code(&output), 78);
    assert!(told(&output).contains("chmod go-w"), "{}", told(&output));
}

#[test]
fn a_configuration_that_was_named_and_is_not_there_is_78() {
    let output = guardian(&["--config", "/nonexistent/guardian.toml", "check"]);
    assert_eq!(code(&output), 78);
    assert!(told(&output).contains("because"), "{}", told(&output));
}

#[test]
fn config_show_prints_what_config_check_accepts() {
    let shown = guardian_with(Some("[gateway]\nports = [18789, 19001]\n"), &["config", "show"]);
    assert_eq!(code(&shown), 0);
    assert!(said(&shown).contains("19001"));
    assert_eq!(code(&guardian_with(Some(&said(&shown)), &["config", "check"])), 0);
    let json = guardian(&["config", "show", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["mode"], "enforce");
}

#[test]
fn every_rule_that_is_listed_can_be_explained() {
    let listed = guardian(&["rules", "--json"]);
    let rules: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(rules.len() >= 12);
    for rule in rules {
        let id = rule["rule"].as_str().unwrap();
        let explained = guardian(&["explain", id]);
        assert_eq!(code(&explained), 0, "{id}");
        assert!(said(&explained).contains("What to do"), "{id}");
    }
}

#[test]
fn a_reader_that_hung_up_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("guardian"))
        .arg("rules")
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((code(&output), told(&output).as_str()), (0, ""));
}

#[test]
fn check_answers_with_the_contract_of_schema_1_and_an_exit_code_that_fits() {
    let output = guardian(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["exit"], code(&output));
    let verdicts = match code(&output) {
        0 | 1 => "safe",
        2 => "exposed",
        3 => "blind",
        other => panic!("exit {other}"),
    };
    assert_eq!(report["verdict"], verdicts);
    let probes: Vec<&str> =
        report["probes"].as_array().unwrap().iter().map(|probe| probe["probe"].as_str().unwrap()).collect();
    for probe in
        ["listeners", "interfaces", "owner", "gateway", "reach", "panel", "access", "handshake", "peers"]
    {
        assert!(probes.contains(&probe), "{probe}");
    }
    for finding in report["findings"].as_array().unwrap() {
        for key in ["rule", "severity", "answer", "subject", "evidence", "remedy"] {
            assert!(!finding[key].is_null(), "{key} in {finding}");
        }
    }
}

#[test]
fn check_prints_one_line_of_state_first() {
    let output = guardian(&["check"]);
    let first = said(&output).lines().next().unwrap().to_owned();
    let word = first.split_whitespace().next().unwrap();
    let expected = match code(&output) {
        0 | 1 => "SAFE",
        2 => "EXPOSED",
        _ => "UNKNOWN",
    };
    assert_eq!(word, expected, "{first}");
}

/// A journal of one entry, in a folder of its own.
fn journal(entry: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    fs::write(&path, format!("{entry}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

fn history(folder: &std::path::Path, arguments: &[&str]) -> Output {
    guardian(&[&["history", "--state-dir", folder.to_str().unwrap()], arguments].concat())
}

const STARTED: &str = r#"{"n":1,"at":"2026-11-25T08:00:00Z","what":"started","circuit":"closed","about":null,"prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#;

#[test]
fn history_is_a_table_for_people_and_the_very_lines_for_programs() {
    let folder = journal(STARTED);
    let output = history(folder.path(), &[]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(said(&output).contains("2026-11-25 08:00:00  closed     started"), "{}", said(&output));
    assert_eq!(said(&history(folder.path(), &["--json"])), format!("{STARTED}\n"));
    assert_eq!(said(&history(folder.path(), &["--json", "--limit", "0"])), "");
}

#[test]
fn history_says_0_of_a_chain_that_holds_2_of_a_broken_one_and_3_of_none() {
    let folder = journal(STARTED);
    let output = history(folder.path(), &["--verify", "--json"]);
    assert_eq!(
        (code(&output), said(&output).trim()),
        (0, r#"{"schema":1,"holds":true,"entries":1,"torn":0,"breaks":[]}"#)
    );
    let folder = journal(&STARTED.replace("\"prev\":\"0", "\"prev\":\"1"));
    let output = history(folder.path(), &["--verify"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("The chain is broken"), "{}", said(&output));
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--verify"][..], &[]] {
        let output = history(folder.path(), arguments);
        assert_eq!(code(&output), 3);
        assert!(output.stdout.is_empty() && told(&output).contains("there is no journal in"));
    }
}

#[test]
fn a_journal_that_others_could_have_written_is_not_shown() {
    let folder = journal(STARTED);
    let path = folder.path().join("journal.jsonl");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let output = history(folder.path(), &[]);
    assert_eq!(code(&output), 3);
    assert!(told(&output).contains("chmod go-w"), "{}", told(&output));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(code(&history(folder.path(), &["--verify"])), 78);
}

#[test]
fn the_settings_that_go_with_the_gate_are_printed_for_people_and_for_programs() {
    let config = "[gate]\nhosts = [\"localhost\", \"panel.example\"]\n";
    let output = guardian_with(Some(config), &["gate", "setup", "--json"]);
    assert_eq!(code(&output), 0);
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(settings["gateway"]["trustedProxies"], serde_json::json!(["127.0.0.1"]));
    let origins = &settings["gateway"]["controlUi"]["allowedOrigins"];
    assert!(origins.to_string().contains("http://panel.example:18700"), "{origins}");
    let page = guardian_with(Some(config), &["gate", "setup"]);
    let text = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(text.contains("trustedProxies") && text.contains("guardian gate passphrase"), "{text}");
}
