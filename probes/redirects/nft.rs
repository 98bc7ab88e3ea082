//! What `nft -j list ruleset` shows: libnftables-json(5).
//!
//! | statement | where it sends a connection |
//! |---|---|
//! | `dnat` | to an address, a port, or both; each may come from a map |
//! | `redirect` | to this host, at the address it came to |
//! | `ip daddr set`, `tcp dport set` | likewise, without remembering it |
//! | `jump`, `goto`, `vmap` | to the rules of another chain |
//! | `xt` | as iptables(8) says, which is asked for it |
//!
//! `tproxy` is left out: it takes a socket that is made for it (`IP_TRANSPARENT`), and no gateway's
//! is.

use std::collections::{BTreeMap, BTreeSet};

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Redirect;
use serde::Deserialize;
use serde_json::Value;

use super::condition::Conditions;

mod expression;
mod target;
#[cfg(test)]
mod tests;
mod text;

use expression::{Lookup, Matched};
use text::text;

/// Redirects in all; more is blind.
pub(super) const MAX_REDIRECTS: usize = 16 * 1024;

/// Rules looked at, each as often as a jump leads to it; more is blind.
const MAX_STEPS: usize = 256 * 1024;

/// The kernel follows as many jumps (`NFT_JUMP_STACK_SIZE`).
const MAX_DEPTH: usize = 16;

/// The rules, the sets and the maps.
#[derive(Debug, Default)]
pub struct Ruleset {
    chains: BTreeMap<Place, Chain>,
    elements: BTreeMap<Place, Vec<Value>>,
    /// The kernel changes elements of some set by itself, without counting that as a change.
    pub is_dynamic: bool,
}

/// Family, table, and the name within.
pub type Place = (String, String, String);

#[derive(Debug, Default)]
struct Chain {
    hook: Option<String>,
    rules: Vec<Vec<Value>>,
}

/// What the rules do to arriving connections.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Those that are understood, and those that are not.
    pub redirects: Vec<Redirect>,
    /// Sets and maps whose elements are needed and were not listed.
    pub wanted: BTreeSet<Place>,
    /// Families with rules that iptables made and that it alone can show.
    pub by_iptables: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<BTreeMap<String, Value>>,
}

impl Ruleset {
    /// Takes in what `nft` has listed, of the whole ruleset or of a set.
    pub fn add(&mut self, listing: &str) -> Result<(), Blindness> {
        let listing: Listing = serde_json::from_str(listing)
            .map_err(|why| Blindness::malformed(format!("what nft lists cannot be read: {why}")))?;
        for (kind, object) in listing.nftables.iter().flatten() {
            match kind.as_str() {
                "chain" => {
                    let chain = self.chains.entry(place(object, "name")?).or_default();
                    chain.hook = object.get("hook").and_then(Value::as_str).map(str::to_owned);
                }
                "rule" => {
                    let expressions = object.get("expr").and_then(Value::as_array);
                    let chain = self.chains.entry(place(object, "chain")?).or_default();
                    chain.rules.push(expressions.cloned().unwrap_or_default());
                }
                "set" | "map" => {
                    self.is_dynamic |= object.get("flags").is_some_and(|flags| has(flags, "dynamic"));
                    if let Some(elements) = object.get("elem").and_then(Value::as_array) {
                        self.elements.insert(place(object, "name")?, elements.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The elements of this set were asked for: if none have been told, there are none.
    pub fn is_listed(&mut self, set: Place) {
        self.elements.entry(set).or_default();
    }

    /// What it does to arriving connections.
    pub fn read(&self) -> Result<Reading, Blindness> {
        let mut walk = Walk { ruleset: self, reading: Reading::default(), steps: 0 };
        for (place, chain) in &self.chains {
            // Packets can be changed as early as they come in.
            if matches!(chain.hook.as_deref(), Some("prerouting" | "ingress")) {
                walk.chain(place, &Conditions::default(), 0)?;
            }
        }
        Ok(walk.reading)
    }
}

/// A flag, alone or in a list.
fn has(flags: &Value, flag: &str) -> bool {
    flags == flag || flags.as_array().is_some_and(|flags| flags.iter().any(|it| it == flag))
}

fn place(object: &Value, name: &str) -> Result<Place, Blindness> {
    let part = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    match (part("family"), part("table"), part(name)) {
        (Some(family), Some(table), Some(name)) => Ok((family, table, name)),
        _ => Err(Blindness::malformed("nft lists something without a name")),
    }
}

struct Walk<'a> {
    ruleset: &'a Ruleset,
    reading: Reading,
    steps: usize,
}

impl<'a> Walk<'a> {
    fn chain(&mut self, place: &Place, outer: &Conditions, depth: usize) -> Result<(), Blindness> {
        let Some(chain) = self.ruleset.chains.get(place).filter(|_| depth <= MAX_DEPTH) else {
            return Ok(());
        };
        for expressions in &chain.rules {
            self.steps += 1;
            if self.steps > MAX_STEPS || self.reading.redirects.len() > MAX_REDIRECTS {
                return Err(Blindness::new(Cause::TooMuch, "the packet filter has too many rules to follow"));
            }
            self.rule(place, expressions, outer, depth)?;
        }
        Ok(())
    }

    fn rule(
        &mut self,
        place: &Place,
        expressions: &[Value],
        outer: &Conditions,
        depth: usize,
    ) -> Result<(), Blindness> {
        let mut inner = Conditions::default();
        let mut set = target::Rewritten::default();
        for (kind, of) in expressions.iter().filter_map(only) {
            match kind {
                "match" if self.matched(place, of, &mut inner) == Matched::OtherProtocol => return Ok(()),
                "jump" | "goto" => {
                    if let Some(name) = of.get("target").and_then(Value::as_str) {
                        let next = (place.0.clone(), place.1.clone(), name.to_owned());
                        self.chain(&next, &outer.and(inner.clone()), depth + 1)?;
                    }
                }
                "vmap" => self.verdicts(place, of, &outer.and(inner.clone()), depth)?,
                "dnat" | "redirect" => {
                    let targets = target::of_nat(kind, of, &self.lookup(place));
                    self.found(place, &outer.and(inner.clone()), targets, expressions);
                }
                "mangle" => set.add(of),
                "xt" => self.by_iptables(place, of, &outer.and(inner.clone()), expressions),
                _ => {}
            }
        }
        if set.is_something() {
            self.found(place, &outer.and(inner), set.targets(&self.lookup(place)), expressions);
        }
        Ok(())
    }

    /// A jump by a table of verdicts: what leads to each narrows the rules that it leads to.
    fn verdicts(
        &mut self,
        place: &Place,
        vmap: &Value,
        outer: &Conditions,
        depth: usize,
    ) -> Result<(), Blindness> {
        let (Some(key), Some(data)) = (vmap.get("key"), vmap.get("data")) else { return Ok(()) };
        let lookup = self.lookup(place);
        for element in lookup.elements(data).unwrap_or_default() {
            let Some((value, verdict)) = expression::pair(element) else { continue };
            let mut inner = Conditions::default();
            if expression::narrow(key, value, &lookup, &mut inner) == Matched::OtherProtocol {
                continue;
            }
            let next = ["jump", "goto"].iter().find_map(|it| verdict.get(it)?.get("target")?.as_str());
            if let Some(name) = next {
                let next = (place.0.clone(), place.1.clone(), name.to_owned());
                self.chain(&next, &outer.and(inner), depth + 1)?;
            }
        }
        self.note_wanted(place, data);
        Ok(())
    }

    fn matched(&mut self, place: &Place, of: &Value, conditions: &mut Conditions) -> Matched {
        let is_positive = matches!(of.get("op").and_then(Value::as_str), Some("==" | "in") | None);
        let (Some(left), Some(right), true) = (of.get("left"), of.get("right"), is_positive) else {
            return Matched::Applies;
        };
        self.note_wanted(place, right);
        expression::narrow(left, right, &self.lookup(place), conditions)
    }

    fn found(
        &mut self,
        place: &Place,
        conditions: &Conditions,
        targets: Option<Vec<super::condition::Target>>,
        expressions: &[Value],
    ) {
        for statement in expressions {
            self.note_named_maps(place, statement);
        }
        let text = text(place, expressions);
        self.reading.redirects.extend(conditions.redirects(targets, &text));
    }

    /// nft shows no more of these than a name.
    fn by_iptables(&mut self, place: &Place, xt: &Value, conditions: &Conditions, expressions: &[Value]) {
        let part = |key: &str| xt.get(key).and_then(Value::as_str);
        let changes_the_destination = match (part("type"), part("name")) {
            (Some("match" | "watcher"), _) => false,
            (_, Some(name)) => matches!(name, "DNAT" | "REDIRECT" | "NETMAP" | "DNPT"),
            (_, None) => true,
        };
        if !changes_the_destination {
            return;
        }
        if place.1 == "nat" && matches!(place.0.as_str(), "ip" | "ip6") {
            self.reading.by_iptables.insert(place.0.clone());
        } else {
            let text = text(place, expressions);
            self.reading.redirects.extend(conditions.redirects(None, &text));
        }
    }

    fn lookup<'b>(&self, place: &'b Place) -> Lookup<'b>
    where
        'a: 'b,
    {
        Lookup { family: &place.0, table: &place.1, elements: &self.ruleset.elements }
    }

    fn note_wanted(&mut self, place: &Place, name: &Value) {
        if let Some(name) = name.as_str().and_then(|name| name.strip_prefix('@')) {
            let set = (place.0.clone(), place.1.clone(), name.to_owned());
            if !self.ruleset.elements.contains_key(&set) {
                self.reading.wanted.insert(set);
            }
        }
    }

    /// The maps from which a statement takes its target.
    fn note_named_maps(&mut self, place: &Place, statement: &Value) {
        for kind in ["dnat", "redirect"] {
            for part in ["addr", "port"] {
                let map = statement.get(kind).and_then(|it| it.get(part)).and_then(|it| it.get("map"));
                if let Some(data) = map.and_then(|it| it.get("data")) {
                    self.note_wanted(place, data);
                }
            }
        }
        let mangled = statement.get("mangle").and_then(|it| it.get("value")).and_then(|it| it.get("map"));
        if let Some(data) = mangled.and_then(|it| it.get("data")) {
            self.note_wanted(place, data);
        }
    }
}

/// The only key of an object, and what it holds.
fn only(object: &Value) -> Option<(&str, &Value)> {
    let mut entries = object.as_object()?.iter();
    let (key, value) = entries.next()?;
    entries.next().is_none().then_some((key.as_str(), value))
}
