use std::path::Path;

use guardian_rules::catalog::CATALOG;
use guardian_rules::handbook::{COMMAND, markdown};

#[test]
fn the_handbook_page_is_what_the_catalog_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(written == markdown(), "docs/rules.md is not what the catalog says; run: {COMMAND}");
}

#[test]
fn every_rule_has_its_place_in_the_handbook() {
    let page = markdown();
    for rule in CATALOG {
        for text in [&format!("\n## {}\n", rule.id), rule.title, rule.why, rule.remedy] {
            assert!(page.contains(text), "{} without {text:?}", rule.id);
        }
    }
    assert!(page.ends_with(".\n") && !page.ends_with("\n\n"));
}
