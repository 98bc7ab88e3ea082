//! Homebrew's formula, without brew: its install is run with this program in place of cargo's, then its test.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::ready::{Lab, scripts};

#[test]
fn the_formula_installs_program_manual_and_completions_and_its_test_passes_without_a_gateway() {
    let Some(_lab) = Lab::open() else { return };
    let formula = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/homebrew/guardian.rb");
    let prefix = tempfile::tempdir().unwrap();
    let output = Command::new("ruby")
        .args(["-w".as_ref(), scripts().join("formula.rb").as_os_str(), formula.as_os_str()])
        .args([Path::new(env!("CARGO_BIN_EXE_guardian")), prefix.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["assertions"].as_u64() >= Some(4), "its test looked at something: {told:#}");
    assert_eq!(told["said"]["depends_on"][0]["rust"], "build");
    assert!(told["caveats"].as_str().unwrap().contains("/bin/guardian install\n"), "{told:#}");
    let files: Vec<&str> = told["files"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for file in [
        "bin/guardian",
        "share/man/man1/guardian.1",
        "share/man/man1/guardian-install.1",
        "etc/bash_completion.d/guardian",
        "share/zsh/site-functions/_guardian",
        "share/fish/vendor_completions.d/guardian.fish",
    ] {
        assert!(files.contains(&file), "{file}: {files:?}");
        assert_ne!(fs::metadata(prefix.path().join(file)).unwrap().len(), 0, "{file}");
    }
}
