//! Our table as `nft -s list table` shows it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TABLE;

/// A table as the kernel has it. Two that do the same look the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown(String);

/// What `nft` printed is not our table, or not all of it.
#[derive(Debug, thiserror::Error)]
#[error("it is no listing of the table inet guardian")]
pub(crate) struct Garbled;

/// Reads a listing: one table from its first line to its last.
pub(crate) fn read(text: &str) -> Result<Shown, Garbled> {
    let text = text.trim_end();
    let whole = text.lines().next() == Some(&format!("table inet {TABLE} {{")) && text.ends_with("\n}");
    if whole { Ok(Shown(text.to_owned())) } else { Err(Garbled) }
}

impl Shown {
    /// It has as many rules in the same chains, and the same sets, as were sent, and is at work:
    /// nobody has had a hand in it between sending and reading. `nft` words many a rule otherwise
    /// than it was told, so the rules themselves are not compared.
    pub(crate) fn is_of(&self, sent: &Value) -> bool {
        let mut wanted = BTreeMap::new();
        let commands = sent.get("nftables").and_then(Value::as_array).into_iter().flatten();
        for added in commands.filter_map(|command| command.get("add")?.as_object()) {
            for (kind, object) in added {
                let name = |key| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                match kind.as_str() {
                    "set" => drop(wanted.insert(format!("set {}", name("name")), 0)),
                    "chain" => drop(wanted.insert(format!("chain {}", name("name")), 0)),
                    "rule" => *wanted.entry(format!("chain {}", name("chain"))).or_insert(0) += 1,
                    _ => {}
                }
            }
        }
        self.count() == wanted
    }

    /// How many rules there are in each chain; the sets, and whatever else the table has, by name.
    fn count(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut inside: Option<String> = None;
        for line in self.0.lines().skip(1) {
            let Some(line) = line.strip_prefix('\t') else { continue };
            match line.strip_prefix('\t') {
                // One tab: a chain or a set begins or ends; or the table has flags.
                None if line == "}" => inside = None,
                None if !line.is_empty() => {
                    let name = line.strip_suffix(" {").unwrap_or(line).to_owned();
                    counts.insert(name.clone(), 0);
                    inside = Some(name);
                }
                None => {}
                // Two tabs: in a chain that is its hook, or a rule. More: a rule goes on.
                Some(line) => {
                    let chain = inside.as_ref().filter(|name| name.starts_with("chain "));
                    let rule = !line.starts_with("type ") && !line.starts_with(['\t', ' ']);
                    if let Some(count) = chain.filter(|_| rule).and_then(|name| counts.get_mut(name)) {
                        *count += 1;
                    }
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LISTING: &str = "table inet guardian {
\tset ports {
\t\ttype inet_service
\t\telements = { 18789, 18791,
\t\t\t     18800 }
\t}

\tchain input {
\t\ttype filter hook input priority filter - 10; policy accept;
\t\ttcp dport @ports jump door
\t}

\tchain door {
\t\tiifname \"lo\" ip daddr @loopback4 accept
\t\tgoto refuse
\t}
}
";

    fn sent() -> Value {
        let rule = |chain| json!({"add": {"rule": {"chain": chain, "expr": []}}});
        json!({"nftables": [
            {"add": {"table": {"name": "guardian"}}},
            {"delete": {"table": {"name": "guardian"}}},
            {"add": {"set": {"name": "ports"}}},
            {"add": {"chain": {"name": "input"}}},
            {"add": {"chain": {"name": "door"}}},
            rule("input"), rule("door"), rule("door"),
        ]})
    }

    #[test]
    fn what_was_sent_is_told_from_what_somebody_has_changed_meanwhile() {
        assert!(read(LISTING).unwrap().is_of(&sent()));
        for (from, to) in [
            ("\t\tgoto refuse\n", ""),
            ("\t\tgoto refuse\n", "\t\taccept\n\t\tgoto refuse\n"),
            ("chain door", "chain doors"),
            ("guardian {\n", "guardian {\n\tflags dormant\n\n"),
            ("\tset ports {", "\tset other {\n\t\ttype inet_service\n\t}\n\n\tset ports {"),
        ] {
            let other = LISTING.replace(from, to);
            assert_ne!(other, LISTING);
            assert!(!read(&other).unwrap().is_of(&sent()), "{other}");
        }
    }

    #[test]
    fn an_element_more_makes_another_table() {
        let other = read(&LISTING.replace("18789, ", "18789, 18790, ")).unwrap();
        assert_ne!(other, read(LISTING).unwrap());
    }

    #[test]
    fn a_listing_that_was_cut_or_is_of_another_table_is_none() {
        for text in
            ["", "\n", &LISTING[..LISTING.len() - 3], &LISTING.replace("inet guardian", "ip guardian")]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_breaks_the_reader(lines in "(\t{0,3}[a-z{}= ]{0,9}\n){0,9}") {
            if let Ok(shown) = read(&format!("table inet guardian {{\n{lines}}}\n")) {
                shown.is_of(&sent());
            }
        }
    }
}
