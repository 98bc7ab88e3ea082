//! The files of `ssh_config(5)`: which lines hold for a host.
//!
//! A `Match` is taken to hold, whatever it asks: what it asks may start a program. So is a `Host` that may be read again for
//! another name of the host. What holds only perhaps can add a forward, and never takes one away.

use crate::file::Unread;

/// A line of a file, or files in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A keyword in small letters, and its arguments.
    Line(String, Vec<String>),
    /// Files that are included here.
    Included(Vec<Vec<Item>>),
    /// Files that are included here, and could not all be read.
    Unread(Gap),
}

/// Why there may be more than was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// A home that may not be looked into or is not known, a name that only the ssh itself can make out: there are such in
    /// many a file, and they speak of no tunnel.
    Usual,
    /// Anything else.
    Unusual,
}

impl Gap {
    /// By why a file was not read.
    #[must_use]
    pub const fn of(why: &Unread) -> Self {
        match why {
            Unread::Denied => Self::Usual,
            _ => Self::Unusual,
        }
    }
}

/// What holds for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The forwards, as `-R` spells them.
    pub forwards: Vec<String>,
    /// Whether all forwards are to be forgotten, if that is told for certain.
    pub clears: Option<bool>,
    /// There may be more forwards, and why.
    pub unclear: Option<Gap>,
    /// Names that the host may have besides.
    names: Vec<String>,
    /// The files are read again when the host's name is known.
    again: bool,
    /// What that name will be is not known.
    renames: bool,
}

/// Whether a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    Perhaps,
    Yes,
}

/// The lines of a file. Whoever reads it puts the files in the place of `include`.
#[must_use]
pub fn lines(text: &str) -> Vec<(String, Vec<String>)> {
    text.lines().filter_map(line).collect()
}

/// `Keyword value …`, `Keyword=value`: the keyword in small letters, and the values without their quotes.
#[must_use]
pub fn line(text: &str) -> Option<(String, Vec<String>)> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '"').unwrap_or(text.len());
    let (keyword, rest) = text.split_at_checked(end)?;
    if keyword.is_empty() || keyword.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((keyword.to_ascii_lowercase(), words(rest)))
}

/// Words between spaces; quotes hold one together, and a `#` ends the line.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

pub(super) fn is_yes(value: &str) -> bool {
    value.eq_ignore_ascii_case("yes") || value.eq_ignore_ascii_case("true")
}

pub(super) fn is_no(value: &str) -> bool {
    value.eq_ignore_ascii_case("no") || value.eq_ignore_ascii_case("false")
}

/// What holds for a host. Without a host, because it does not show, every block may hold. `renames`: it may be given
/// another name, by which the files are read again.
#[must_use]
pub fn found(items: &[Item], host: Option<&str>, renames: bool) -> Found {
    let alias: Vec<String> = host.map(str::to_owned).into_iter().collect();
    let first = Reading { alias: &alias, others: &[], any: renames || host.is_none() };
    let mut found = Found::default();
    first.walk(items, Holds::Yes, &mut found);
    if !found.again && !found.renames {
        return found;
    }
    let mut others: Vec<String> = host.map(str::to_ascii_lowercase).into_iter().collect();
    let strange = found.names.iter().any(|name| name.contains('%'));
    others.extend(found.names.iter().cloned());
    let again = Reading { alias: &alias, others: &others, any: first.any || found.renames || strange };
    let mut found = Found::default();
    again.walk(items, Holds::Yes, &mut found);
    found
}

struct Reading<'a> {
    /// The host as it was typed, if it is known.
    alias: &'a [String],
    /// What it may be called when the files are read again.
    others: &'a [String],
    /// It may be called anything.
    any: bool,
}

impl Reading<'_> {
    fn walk(&self, items: &[Item], outer: Holds, found: &mut Found) {
        let mut holds = outer;
        for item in items {
            match item {
                Item::Included(files) => files.iter().for_each(|items| self.walk(items, holds, found)),
                Item::Unread(gap) if holds != Holds::No => found.unclear = found.unclear.max(Some(*gap)),
                Item::Unread(_) => {}
                Item::Line(keyword, words) => match keyword.as_str() {
                    "host" => holds = outer.min(self.host(words)),
                    "match" => {
                        let asks = |word: &str| words.iter().any(|it| it.eq_ignore_ascii_case(word));
                        found.again |= asks("canonical") || asks("final");
                        let is_all = words.len() == 1 && asks("all");
                        holds = outer.min(if is_all { Holds::Yes } else { Holds::Perhaps });
                    }
                    _ if holds == Holds::No => {}
                    keyword => take(keyword, words, holds, found),
                },
            }
        }
    }

    fn host(&self, patterns: &[String]) -> Holds {
        if self.alias.iter().any(|name| fits_any(patterns, name)) {
            return Holds::Yes;
        }
        let may = self.any || self.others.iter().any(|name| fits_any(patterns, name));
        if may { Holds::Perhaps } else { Holds::No }
    }
}

/// A line that holds.
fn take(keyword: &str, words: &[String], holds: Holds, found: &mut Found) {
    match (keyword, words) {
        ("remoteforward", words) => found.forwards.push(words.join(":")),
        // The first word on it counts.
        ("clearallforwardings", [value, ..]) if holds == Holds::Yes || !is_yes(value) => {
            found.clears.get_or_insert(is_yes(value));
        }
        ("hostname", [name, ..]) => found.names.push(name.to_ascii_lowercase()),
        ("canonicalizehostname", [value, ..]) => found.renames |= !is_no(value),
        _ => {}
    }
}

/// Whether a name fits one of the patterns, and none of those with a `!`.
fn fits_any(patterns: &[String], name: &str) -> bool {
    let mut patterns = patterns.iter().flat_map(|it| it.split(',')).filter(|it| !it.is_empty());
    let mut fit = false;
    let denied = patterns.any(|pattern| {
        let denied = pattern.strip_prefix('!');
        fit |= denied.is_none() && fits(pattern, name);
        denied.is_some_and(|pattern| fits(pattern, name))
    });
    fit && !denied
}

/// `*` and `?`, in time that grows with both lengths alone.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut taken) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), name.get(taken)) {
            (Some('*'), _) => {
                at += 1;
                resume = Some((at, taken));
            }
            (Some('?'), Some(_)) => (at, taken) = (at + 1, taken + 1),
            (Some(sign), Some(c)) if sign == c => (at, taken) = (at + 1, taken + 1),
            (None, None) => return true,
            _ => match resume {
                Some((next, from)) if from < name.len() => {
                    resume = Some((next, from + 1));
                    (at, taken) = (next, from + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
