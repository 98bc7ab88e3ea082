//! The catalog as a page of the handbook, `docs/rules.md`.

use std::fmt::Write;

use crate::catalog::{CATALOG, Rule};

/// The command that writes the page anew.
pub const COMMAND: &str = "guardian rules --markdown > docs/rules.md";

const INTRODUCTION: &str = "\
A rule answers no, yes or unknown. No is silent. Yes of a critical rule makes the verdict *exposed*, unknown of a critical
rule makes it *blind*, the worst counts, and only what is left is *safe*. Warnings and infos never move the verdict. The
severity below is the gravest that a rule may give: where less is at stake its finding weighs less, and says so.

`guardian explain RULE` prints any of these.
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = format!(
        "# Rules\n\n<!-- Made from the catalog in rules/catalog.rs: {COMMAND} -->\n\n{INTRODUCTION}\n\
         | rule | severity | what it says |\n|---|---|---|\n"
    );
    // Writing into a string cannot fail.
    for Rule { id, severity, title, .. } in CATALOG {
        let _ = writeln!(page, "| [{id}](#{id}) | {} | {} |", severity.as_str(), title.replace('|', "\\|"));
    }
    for Rule { id, severity, title, why, remedy, .. } in CATALOG {
        let _ = write!(
            page,
            "\n## {id}\n\n{title} Severity: {}.\n\n**Why it matters.** {why}\n\n**What to do.** {remedy}\n",
            severity.as_str()
        );
    }
    page
}
