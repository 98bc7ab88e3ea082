//! What holds for the workspace as a whole: who may depend on whom, and on what terms.

// What cargo prints has this shape, or the test fails, which is right.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use guardian_rules::catalog::CATALOG;
use serde_json::Value;

/// Where the program runs.
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin"];

/// Our crates, each with those of ours that it may use.
const DIRECTION: [(&str, &[&str]); 3] = [
    ("guardian-rules", &[]),
    ("guardian-probes", &["guardian-rules"]),
    ("guardian", &["guardian-rules", "guardian-probes"]),
];

/// Crates that do input or output, or know the time.
const IMPURE: [&str; 9] =
    ["tokio", "mio", "socket2", "nix", "libc", "rustix", "reqwest", "jiff", "guardian-probes"];

/// What cargo knows of the tree on one platform.
struct Tree(Value);

impl Tree {
    fn on(platform: &str) -> Self {
        let output = Command::new(env::var_os("CARGO").expect("cargo runs the tests"))
            .args(["metadata", "--format-version=1", "--locked", "--filter-platform", platform])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(serde_json::from_slice(&output.stdout).expect("cargo prints JSON"))
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.0["packages"].as_array().into_iter().flatten()
    }

    /// Our own packages.
    fn members(&self) -> impl Iterator<Item = &Value> {
        self.packages().filter(|package| package["source"].is_null())
    }

    fn member(&self, name: &str) -> &Value {
        self.members().find(|package| package["name"] == name).expect("it is one of ours")
    }

    /// Everything that `roots` use, the roots too, along dependencies of these kinds.
    fn closure<'a>(&'a self, roots: impl Iterator<Item = &'a Value>, kinds: &[&str]) -> Vec<&'a Value> {
        let nodes: BTreeMap<&str, &Value> = self.0["resolve"]["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|node| (text(&node["id"]), node))
            .collect();
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = roots.map(|package| text(&package["id"])).collect();
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                let uses = nodes[id]["deps"].as_array().into_iter().flatten();
                next.extend(uses.filter(|dependency| is_of(dependency, kinds)).map(|it| text(&it["pkg"])));
            }
        }
        self.packages().filter(|package| seen.contains(text(&package["id"]))).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `normal`, `build` or `dev`.
fn is_of(dependency: &Value, kinds: &[&str]) -> bool {
    let mut given = dependency["dep_kinds"].as_array().into_iter().flatten();
    given.any(|kind| kinds.contains(&kind["kind"].as_str().unwrap_or("normal")))
}

/// Whether a licence expression can be satisfied from a list, and the entries it takes.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed)
}

fn any_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut best = all_of(words, allowed);
    while let Some(("OR", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        let other = all_of(words, allowed);
        best = best.or(other);
    }
    best
}

fn all_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut all = one(words, allowed);
    while let Some(("AND", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        let other = one(words, allowed);
        all = all.zip(other).map(|(mut all, other)| {
            all.extend(other);
            all
        });
    }
    all
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let (word, rest) = words.split_first()?;
    *words = rest;
    if *word == "(" {
        let inner = any_of(words, allowed);
        *words = words.split_first()?.1;
        return inner;
    }
    let mut licence = (*word).to_owned();
    if let [with @ "WITH", exception, rest @ ..] = words {
        licence = format!("{licence} {with} {exception}");
        *words = rest;
    }
    allowed.contains(&licence).then(|| BTreeSet::from([licence]))
}

#[test]
fn dependencies_point_one_way() {
    let tree = Tree::on(PLATFORMS[0]);
    let names: BTreeSet<&str> = tree.members().map(|package| text(&package["name"])).collect();
    let known: BTreeSet<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "every crate of ours has its place");
    for (name, may) in DIRECTION {
        for dependency in tree.member(name)["dependencies"].as_array().into_iter().flatten() {
            let used = text(&dependency["name"]);
            assert!(!names.contains(used) || may.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn the_rules_do_no_input_or_output_and_have_no_clock() {
    for platform in PLATFORMS {
        let tree = Tree::on(platform);
        let rules = std::iter::once(tree.member("guardian-rules"));
        for package in tree.closure(rules, &["normal"]) {
            let name = text(&package["name"]);
            assert!(!IMPURE.contains(&name), "the rules use {name} on {platform}");
        }
    }
}

#[test]
fn every_licence_is_allowed_and_every_allowed_licence_is_needed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let deny: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let allowed: BTreeSet<String> = deny["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap().to_owned())
        .collect();
    let mut needed = BTreeSet::new();
    for platform in PLATFORMS {
        let tree = Tree::on(platform);
        for package in tree.closure(tree.members(), &["normal", "build", "dev"]) {
            let licence = text(&package["license"]);
            let Some(taken) = satisfied(licence, &allowed) else {
                panic!(
                    "{} {} is {licence}, which deny.toml does not allow",
                    package["name"], package["version"]
                );
            };
            needed.extend(taken);
        }
    }
    assert_eq!(allowed, needed, "deny.toml allows what nothing needs");
}

#[test]
fn a_licence_expression_is_read_as_it_is_meant() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for fine in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "MIT AND ISC",
        "(GPL-3.0 OR MIT) AND ISC",
        "GPL-3.0 OR (MIT AND ISC)",
    ] {
        assert!(satisfied(fine, &allowed).is_some(), "{fine}");
    }
    for not in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT WITH LLVM-exception", "(MIT OR ISC) AND GPL-3.0"] {
        assert!(satisfied(not, &allowed).is_none(), "{not}");
    }
}

#[test]
fn ring_alone_brings_code_that_is_not_rust() {
    for platform in PLATFORMS {
        let tree = Tree::on(platform);
        let native: BTreeSet<&str> = tree
            .closure(tree.members(), &["normal"])
            .into_iter()
            .filter(|package| !package["links"].is_null())
            .map(|package| text(&package["name"]))
            .collect();
        assert_eq!(native, BTreeSet::from(["ring"]), "on {platform}");
    }
}

#[test]
fn no_dependency_takes_any_version() {
    let tree = Tree::on(PLATFORMS[0]);
    for package in tree.members() {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let ours = !dependency["path"].is_null();
            let wanted = text(&dependency["req"]);
            assert!(
                ours || !wanted.contains('*'),
                "{} takes {wanted} of {}",
                package["name"],
                dependency["name"]
            );
        }
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let tree = Tree::on(PLATFORMS[0]);
    for package in tree.members() {
        let manifest = text(&package["manifest_path"]);
        let mut in_dependencies = false;
        let mut explained = false;
        for line in fs::read_to_string(manifest).unwrap().lines().map(str::trim) {
            if line.starts_with('[') {
                in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
                explained = false;
            } else if line.is_empty() {
                explained = false;
            } else if line.starts_with('#') {
                explained = true;
            } else if in_dependencies && line.contains(" = ") {
                // Ours, or explained where the workspace names its version.
                let elsewhere = line.contains("path = ") || line.contains("workspace = true");
                assert!(explained || elsewhere, "{manifest}: no line says why: {line}");
            }
        }
    }
}

#[test]
fn the_formula_is_of_this_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/homebrew/guardian.rb");
    let formula = fs::read_to_string(path).expect("the formula");
    assert!(formula.contains(concat!("\n  version \"", env!("CARGO_PKG_VERSION"), "\"\n")));
}

/// Every function of Rust files below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut there = BTreeSet::new();
    for folder in ["tests", "src", "rules", "probes"] {
        functions(&root.join(folder), &mut there);
    }
    let page = fs::read_to_string(root.join("docs/threat-model.md")).expect("the page");
    let is_name = |word: &&str| word.matches('_').count() >= 3 && !word.contains(' ');
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() >= 20, "the page names {} tests", named.len());
    for name in named {
        assert!(there.contains(name), "there is no test {name}");
    }
}

#[test]
fn pages_lead_to_pages_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs =
        fs::read_dir(root.join("docs")).expect("docs").filter_map(Result::ok).map(|entry| entry.path());
    let top = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).chain(top);
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let to = page.parent().expect("a folder").join(target);
            assert!(to.exists(), "{} leads to {link}, which is not there", page.display());
        }
    }
}

/// The screen of a page that begins so.
fn screen<'a>(page: &'a str, beginning: &str) -> Option<&'a str> {
    let from = page.find(&format!("```text\n{beginning}"))?;
    page.get(from..)?.get(8..)?.split("\n```").next()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_screen_of_an_open_circuit_is_the_same_on_both_pages_and_says_what_the_rule_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = |name: &str| fs::read_to_string(root.join(name)).expect("a page");
    let (readme, operations) = (page("README.md"), page("docs/operations.md"));
    let open = "$ sudo guardian status\nOPEN ";
    let shown = screen(&readme, open).expect("the screen");
    assert_eq!(Some(shown), screen(&operations, open));
    let rule = CATALOG.iter().find(|rule| rule.id == "panel-republished").expect("the rule");
    assert!(words(shown).contains(&words(rule.remedy)), "{shown}");
}

#[test]
fn what_the_first_screen_advises_is_what_the_rules_advise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("the page");
    let shown = words(screen(&readme, "$ guardian check\n").expect("the screen"));
    for id in ["bound-beyond-allowed", "reachable-beyond-allowed", "config-incomplete"] {
        let rule = CATALOG.iter().find(|rule| rule.id == id).expect("the rule");
        let title = shown.find(&words(rule.title)).expect("its title");
        assert!(shown.split_at(title).1.contains(&words(rule.remedy)), "{id}: {}", rule.remedy);
    }
}
