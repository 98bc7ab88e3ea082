//! `$include`: configurations spread over several files.
//!
//! The directive may stand in any object, names one file or a list of files relative to its own,
//! and merges deeply: lists are joined, the later value wins, keys beside it win over what they
//! include. Only what bears on exposure is followed: an unreadable list of agents hides nothing.

use std::path::{Component, Path, PathBuf};

use guardian_rules::blindness::{Blindness, Cause};
use serde_json::{Map, Value};

/// Files that include each other in a chain; the gateway's own bound.
const MAX_DEPTH: usize = 10;

/// Files included in all.
const MAX_FILES: usize = 64;

/// Bytes of a name: the system has no longer paths.
const MAX_NAME: usize = 4096;

/// The parts of a configuration that are followed.
const PARTS: [&str; 3] = ["gateway", "logging", "env"];

/// The whole configuration that begins at `path`. `load` reads and parses one file.
pub fn gather(
    path: &Path,
    load: &mut dyn FnMut(&Path) -> Result<Value, Blindness>,
) -> Result<Value, Blindness> {
    let mut gathering = Gathering { load, files: 0 };
    gathering.file(path, &[], true)
}

struct Gathering<'a> {
    load: &'a mut dyn FnMut(&Path) -> Result<Value, Blindness>,
    files: usize,
}

impl Gathering<'_> {
    fn file(&mut self, path: &Path, chain: &[PathBuf], top: bool) -> Result<Value, Blindness> {
        let path = normal(path);
        if chain.contains(&path) {
            return Err(Blindness::malformed(format!("{} includes itself", path.display())));
        }
        if chain.len() > MAX_DEPTH || self.files > MAX_FILES {
            return Err(Blindness::new(
                Cause::TooMuch,
                format!("the configuration includes too many files, {} among them", path.display()),
            ));
        }
        self.files += 1;
        let value = (self.load)(&path)?;
        let mut chain = chain.to_vec();
        chain.push(path);
        self.value(value, &chain, top)
    }

    /// Resolves the directives in a value of the last file of the chain. `top` is the level at
    /// which the parts stand.
    fn value(&mut self, value: Value, chain: &[PathBuf], top: bool) -> Result<Value, Blindness> {
        match value {
            Value::Array(values) => values
                .into_iter()
                .map(|value| self.value(value, chain, false))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Value::Object(mut values) => {
                let include = values.remove("$include");
                let mut own = Map::new();
                for (key, value) in values {
                    if !top || PARTS.contains(&key.as_str()) {
                        own.insert(key, self.value(value, chain, false)?);
                    }
                }
                match include {
                    None => Ok(Value::Object(own)),
                    Some(include) => self.included(&include, own, chain, top),
                }
            }
            plain => Ok(plain),
        }
    }

    fn included(
        &mut self,
        include: &Value,
        own: Map<String, Value>,
        chain: &[PathBuf],
        top: bool,
    ) -> Result<Value, Blindness> {
        let includer = chain.last().map_or(Path::new("/"), PathBuf::as_path);
        let malformed = |what: &str| Blindness::malformed(format!("{}: $include {what}", includer.display()));
        let beside = |name: &str| {
            // It is told where it cannot be read.
            if name.len() > MAX_NAME {
                return Err(malformed("has a name that no file has"));
            }
            Ok(includer.parent().unwrap_or(Path::new("/")).join(name))
        };
        let found = match include {
            Value::String(name) => self.file(&beside(name)?, chain, top)?,
            Value::Array(names) => {
                let mut all = Value::Object(Map::new());
                for name in names {
                    let name = name.as_str().ok_or_else(|| malformed("lists what is no file name"))?;
                    all = merged(all, self.file(&beside(name)?, chain, top)?);
                }
                all
            }
            _ => return Err(malformed("names no file")),
        };
        if own.is_empty() {
            return Ok(found);
        }
        if found.is_object() {
            Ok(merged(found, Value::Object(own)))
        } else {
            Err(malformed("stands beside other keys and names a file without any"))
        }
    }
}

/// Both values: lists joined, objects merged, otherwise the later.
fn merged(earlier: Value, later: Value) -> Value {
    match (earlier, later) {
        (Value::Array(mut earlier), Value::Array(mut later)) => {
            earlier.append(&mut later);
            Value::Array(earlier)
        }
        (Value::Object(mut earlier), Value::Object(later)) => {
            for (key, value) in later {
                let value = match earlier.remove(&key) {
                    Some(before) => merged(before, value),
                    None => value,
                };
                earlier.insert(key, value);
            }
            Value::Object(earlier)
        }
        (_, later) => later,
    }
}

/// The path without `.` and `..`, as the gateway reckons it: by its text.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            _ => normal.push(component),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    fn gathered(files: &[(&str, Value)]) -> Result<Value, Blindness> {
        let files: HashMap<_, _> = files.iter().cloned().collect();
        gather(Path::new("/c/openclaw.json"), &mut |path| {
            let name = path.to_str().unwrap();
            files.get(name).cloned().ok_or_else(|| Blindness::denied(name.to_owned()))
        })
    }

    #[test]
    fn a_configuration_without_includes_is_its_relevant_parts() {
        let whole = json!({"gateway": {"port": 1}, "agents": {"$include": "./none"}, "logging": {}});
        assert_eq!(
            gathered(&[("/c/openclaw.json", whole)]),
            Ok(json!({"gateway": {"port": 1}, "logging": {}}))
        );
    }

    #[test]
    fn keys_beside_an_include_win_and_lists_are_joined() {
        let files = [
            ("/c/openclaw.json", json!({"gateway": {"$include": ["./a.json", "b/b.json"], "port": 3}})),
            ("/c/a.json", json!({"port": 1, "bind": "lan", "trustedProxies": ["10.0.0.1"]})),
            ("/c/b/b.json", json!({"$include": "../c.json", "trustedProxies": ["10.0.0.2"]})),
            ("/c/c.json", json!({"bind": "loopback", "auth": {"mode": "token"}})),
        ];
        let expected = json!({"gateway": {
            "port": 3, "bind": "loopback", "auth": {"mode": "token"}, "trustedProxies": ["10.0.0.1", "10.0.0.2"],
        }});
        assert_eq!(gathered(&files), Ok(expected));
    }

    #[test]
    fn an_include_at_the_top_brings_only_the_relevant_parts() {
        let files = [
            ("/c/openclaw.json", json!({"$include": "base.json", "agents": 1})),
            ("/c/base.json", json!({"gateway": {"bind": "lan"}, "channels": {"$include": "gone"}})),
        ];
        assert_eq!(gathered(&files), Ok(json!({"gateway": {"bind": "lan"}})));
    }

    #[test]
    fn an_include_that_cannot_be_read_makes_the_whole_unreadable() {
        let files = [("/c/openclaw.json", json!({"gateway": {"auth": {"$include": "/etc/auth.json"}}}))];
        assert_eq!(gathered(&files), Err(Blindness::denied("/etc/auth.json")));
    }

    #[test]
    fn circles_and_floods_are_refused() {
        let files = [
            ("/c/openclaw.json", json!({"gateway": {"$include": "a.json"}})),
            ("/c/a.json", json!({"auth": {"$include": "./x/../a.json"}})),
        ];
        assert_eq!(gathered(&files).unwrap_err().cause, Cause::Malformed);
        let files = [
            ("/c/openclaw.json", json!({"gateway": {"$include": vec!["a.json"; 100]}})),
            ("/c/a.json", json!({})),
        ];
        assert_eq!(gathered(&files).unwrap_err().cause, Cause::TooMuch);
        let deep: Vec<(String, Value)> =
            (0..20).map(|at| (format!("/c/{at}"), json!({"$include": format!("{}", at + 1)}))).collect();
        let mut files = vec![("/c/openclaw.json", json!({"gateway": {"$include": "0"}}))];
        files.extend(deep.iter().map(|(name, value)| (name.as_str(), value.clone())));
        assert_eq!(gathered(&files).unwrap_err().cause, Cause::TooMuch);
    }

    #[test]
    fn a_name_of_any_length_is_told_in_short() {
        let name = "n".repeat(500_000);
        for include in [json!(name), json!([name])] {
            let refused = gathered(&[("/c/openclaw.json", json!({"gateway": {"$include": include}}))]);
            let refused = refused.unwrap_err();
            assert!(
                refused.cause == Cause::Malformed && refused.detail.len() < 256,
                "{}",
                refused.detail.len()
            );
        }
    }

    /// A file has its own bound, and so has the chain; the stack is there for both.
    #[test]
    fn files_that_are_deep_and_include_each_other_do_not_take_the_stack() {
        let deep =
            |innermost: Value| (0..60).fold(innermost, |inner, _| json!({"dangerously": {"x": inner}}));
        let file = |at: usize| deep(json!({"$include": format!("{}", at + 1)}));
        let names: Vec<String> = (0..9).map(|at| format!("/c/{at}")).collect();
        let mut files: Vec<(&str, Value)> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), file(at))).collect();
        files.push(("/c/9", json!({"dangerously": true})));
        files.push(("/c/openclaw.json", json!({"gateway": {"$include": "0"}})));
        let whole = gathered(&files).unwrap();
        assert_eq!(super::super::read(&whole, None).unwrap().settings.weakened_by.len(), 1);
    }

    #[test]
    fn what_names_no_file_is_malformed() {
        for include in [json!(1), json!([1]), json!({}), json!(null)] {
            let files = [("/c/openclaw.json", json!({"gateway": {"$include": include}}))];
            assert_eq!(gathered(&files).unwrap_err().cause, Cause::Malformed);
        }
        let files =
            [("/c/openclaw.json", json!({"gateway": {"$include": "a", "port": 1}})), ("/c/a", json!([1]))];
        assert_eq!(gathered(&files).unwrap_err().cause, Cause::Malformed);
    }
}
