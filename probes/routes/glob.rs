//! Files that fit a pattern, as the shell reckons it: `*`, `?` and sets in brackets.

use std::path::{Component, Path, PathBuf};

use crate::file::{Links, Unread, View};

/// Files that one pattern may name, and names looked at in a folder.
pub(super) const MAX_MATCHES: usize = 256;
const MAX_NAMES: usize = 4096;

/// What fits a pattern.
#[derive(Debug, Default)]
pub(super) struct Matched {
    /// The paths, in order.
    pub(super) paths: Vec<PathBuf>,
    /// The folders whose names were looked at, the uppermost first.
    pub(super) folders: Vec<PathBuf>,
    /// Why there may be more paths.
    pub(super) missed: Option<Unread>,
}

/// The paths that fit a pattern, in order; a pattern without signs is its own path, whether there
/// is a file or not. A leading dot must be spelled.
#[must_use]
pub(super) fn matching(view: &View, pattern: &Path) -> Vec<PathBuf> {
    matched(view, pattern).paths
}

/// The same, and what was looked at for it.
#[must_use]
pub(super) fn matched(view: &View, pattern: &Path) -> Matched {
    let mut matched = Matched { paths: vec![PathBuf::new()], ..Matched::default() };
    let mut components = pattern.components().peekable();
    while let Some(component) = components.next() {
        let text = component.as_os_str().to_str().unwrap_or_default();
        let above = std::mem::take(&mut matched.paths);
        if !matches!(component, Component::Normal(_)) || !text.contains(['*', '?', '[']) {
            matched.paths = above.into_iter().map(|path| path.join(component)).collect();
            continue;
        }
        for folder in above {
            matched.look_into(view, folder, text);
        }
        if components.peek().is_some() {
            let is_folder =
                |path: &PathBuf| !matches!(view.names(path, 1, Links::Follow), Err(Unread::Absent));
            matched.paths.retain(is_folder);
        }
        if matched.paths.len() >= MAX_MATCHES {
            matched.paths.truncate(MAX_MATCHES);
            matched.missed = Some(Unread::TooMany);
        }
    }
    matched
}

impl Matched {
    /// Takes the names in a folder that fit one component of a pattern.
    fn look_into(&mut self, view: &View, folder: PathBuf, text: &str) {
        let names = match view.names(&folder, MAX_NAMES, Links::Follow) {
            Ok(names) => names,
            Err(Unread::Absent) => return,
            Err(why) => {
                self.missed.get_or_insert(why);
                return;
            }
        };
        if names.len() >= MAX_NAMES {
            self.missed = Some(Unread::TooMany);
        }
        let fit = names.iter().filter(|name| {
            name.to_str()
                .is_some_and(|name| (!name.starts_with('.') || text.starts_with('.')) && fits(text, name))
        });
        self.paths.extend(fit.map(|name| folder.join(name)));
        self.folders.push(folder);
    }
}

/// Whether a name fits a pattern. Takes time in proportion to both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let parts = parts(pattern);
    let name: Vec<char> = name.chars().collect();
    let (mut part, mut at) = (0, 0);
    // Where to resume when what followed the last star does not fit.
    let mut resume: Option<(usize, usize)> = None;
    loop {
        match (parts.get(part), name.get(at)) {
            (Some(Part::Many), _) => {
                resume = Some((part + 1, at));
                part += 1;
            }
            (Some(one), Some(c)) if one.takes(*c) => {
                part += 1;
                at += 1;
            }
            (None, None) => return true,
            _ => match resume {
                Some((next, taken)) if taken < name.len() => {
                    resume = Some((next, taken + 1));
                    (part, at) = (next, taken + 1);
                }
                _ => return false,
            },
        }
    }
}

enum Part {
    Many,
    Any,
    One(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Many => false,
            Self::Any => true,
            Self::One(own) => *own == c,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        parts.push(match c {
            '*' => Part::Many,
            '?' => Part::Any,
            '[' => match rest.as_str().char_indices().skip(1).find(|(_, c)| *c == ']') {
                Some((end, _)) => {
                    let set = rest.as_str().get(..end).unwrap_or_default();
                    rest = rest.as_str().get(end + 1..).unwrap_or_default().chars();
                    let (negated, set) = match set.strip_prefix(['!', '^']) {
                        Some(set) => (true, set),
                        None => (false, set),
                    };
                    Part::Set { negated, ranges: ranges(set) }
                }
                None => Part::One('['),
            },
            '\\' => Part::One(rest.next().unwrap_or('\\')),
            c => Part::One(c),
        });
    }
    parts
}

fn ranges(set: &str) -> Vec<(char, char)> {
    let set: Vec<char> = set.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = set.as_slice();
    loop {
        rest = match rest {
            [from, '-', to, rest @ ..] => {
                ranges.push((*from, *to));
                rest
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                rest
            }
            [] => return ranges,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_the_shell_reckons() {
        for (pattern, name) in [
            ("*.conf", "a.conf"),
            ("*", "x"),
            ("a*b*c", "aXbXbc"),
            ("?.conf", "é.conf"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("a[", "a["),
            ("\\*", "*"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.conf", "a.conf~"), ("?", ""), ("[a-c]x", "dx"), ("a*b", "ac"), ("", "x"), ("\\*", "x")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_was_looked_at_is_told_and_what_is_no_folder_is_not_looked_into() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        std::fs::create_dir(at("one")).unwrap();
        std::fs::write(at("known_hosts"), "").unwrap();
        let view = View::own().unwrap();
        let found = matched(&view, &at("*/config"));
        assert_eq!((found.paths, found.folders), (vec![at("one/config")], vec![top.path().to_owned()]));
        assert!(found.missed.is_none());
        let found = matched(&view, &at("*/*"));
        assert_eq!((found.paths, found.folders), (vec![], vec![top.path().to_owned(), at("one")]));
        for number in 0..MAX_MATCHES {
            std::fs::write(at(&format!("one/{number}")), "").unwrap();
        }
        let found = matched(&view, &at("one/*"));
        assert!(found.paths.len() == MAX_MATCHES && matches!(found.missed, Some(Unread::TooMany)));
    }

    #[test]
    fn many_stars_do_not_multiply_the_time() {
        assert!(!fits(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!fits(&format!("{}b", "*a".repeat(30)), &"a".repeat(2000)));
    }

    #[test]
    fn files_are_found_in_folders_that_fit() {
        let top = tempfile::tempdir().unwrap();
        for file in ["one/a.conf", "one/.b.conf", "two/c.conf", "two/d.txt"] {
            std::fs::create_dir_all(top.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(top.path().join(file), "").unwrap();
        }
        let view = View::own().unwrap();
        let found = matching(&view, &top.path().join("*/*.conf"));
        assert_eq!(found, [top.path().join("one/a.conf"), top.path().join("two/c.conf")]);
        assert_eq!(matching(&view, Path::new("/none/x.conf")), [Path::new("/none/x.conf")]);
        assert!(matching(&view, Path::new("/none/*.conf")).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_and_name_are_borne(pattern in r"([*?\[\]\\!^-]|[a-c]|é){0,20}", name in r"([a-c]|é|\]){0,20}") {
            let _ = fits(&pattern, &name);
        }
    }
}
