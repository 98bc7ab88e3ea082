//! Files that fit a pattern, as the shell reckons it: `*`, `?` and sets in brackets.

use std::path::{Component, Path, PathBuf};

use crate::file::{Links, View};

/// Files that one pattern may name, and names looked at in a folder.
pub(super) const MAX_MATCHES: usize = 256;
const MAX_NAMES: usize = 4096;

/// The paths that fit a pattern, in order; a pattern without signs is its own path, whether there
/// is a file or not. A leading dot must be spelled.
#[must_use]
pub(super) fn matching(view: &View, pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_str().unwrap_or_default();
        paths = match component {
            Component::Normal(_) if text.contains(['*', '?', '[']) => paths
                .iter()
                .flat_map(|folder| {
                    let names = view.names(folder, MAX_NAMES, Links::Follow).unwrap_or_default();
                    let fit = names.into_iter().filter(|name| {
                        name.to_str().is_some_and(|name| {
                            (!name.starts_with('.') || text.starts_with('.')) && fits(text, name)
                        })
                    });
                    fit.map(|name| folder.join(name)).collect::<Vec<_>>()
                })
                .take(MAX_MATCHES)
                .collect(),
            other => paths.into_iter().map(|path| path.join(other)).collect(),
        };
    }
    paths
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
