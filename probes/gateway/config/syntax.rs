//! JSON5, bounded.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Nesting that a configuration has at most. The parser recurses: a file of brackets alone would
/// take the stack.
pub const MAX_DEPTH: usize = 64;

/// Values that a configuration has at most.
pub const MAX_VALUES: usize = 100_000;

/// Where a text ceases to be a configuration. What stands there is not told: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    Encoding,
    /// Not JSON5, or beyond the bounds on nesting and number of values.
    #[error("it is not JSON5, or too deep or too large, at line {line}, column {column}")]
    Syntax {
        /// From one.
        line: usize,
        /// From one.
        column: usize,
    },
    /// Not JSON5, at its end.
    #[error("it is not JSON5: it ends too early")]
    Cut,
}

/// Reads a JSON5 text.
pub fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Encoding)?;
    match json5::from_str::<Tree>(text) {
        Ok(Tree(value)) => Ok(value),
        Err(error) => Err(error.position().map_or(Malformed::Cut, |position| Malformed::Syntax {
            line: position.line + 1,
            column: position.column + 1,
        })),
    }
}

/// A whole text.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MAX_VALUES);
        Branch { depth: 0, left: &left }.deserialize(deserializer).map(Self)
    }
}

/// A value at some depth, while so many more are allowed.
#[derive(Clone, Copy)]
struct Branch<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl Branch<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Branch<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(D::Error::custom("too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Branch<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    /// JSON has no infinity and nothing that is not a number; neither has a setting.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let branch = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(branch)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let branch = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            values.insert(key, map.next_value_seed(branch)?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_json5_adds_to_json_is_read() {
        let text = br#"
            // a comment
            { gateway: { 'bind': "loopback", port: +18_789 , }, /* more */ }
        "#;
        assert!(parse(text).is_err(), "a number has no underscores");
        let text =
            b"// c\n{ gateway: { 'bind': \"loop\\\nback\", port: 0x4965, }, list: [1, .5, -2,], /* x */ }\n";
        assert_eq!(
            parse(text),
            Ok(json!({"gateway": {"bind": "loopback", "port": 18789}, "list": [1, 0.5, -2]}))
        );
        assert_eq!(parse("\u{feff}{}".as_bytes()), Ok(json!({})), "a byte order mark is white space");
        assert_eq!(parse(b"{a: 1, a: 2, b: NaN, c: null}"), Ok(json!({"a": 2, "b": null, "c": null})));
    }

    #[test]
    fn errors_tell_the_place_and_never_the_content() {
        let error = parse(b"{\n  token: \"hush-hush\" oops }").unwrap_err();
        assert_eq!(error, Malformed::Syntax { line: 2, column: 22 });

        assert_eq!(parse(b""), Err(Malformed::Cut));
        assert_eq!(parse(b"\xff"), Err(Malformed::Encoding));
        assert!(matches!(parse(b"{} {}"), Err(Malformed::Syntax { .. })));
    }

    #[test]
    fn a_file_of_brackets_does_not_take_the_stack() {
        for bracket in ["[", "{a:", "[{a:[", "/**/["] {
            assert!(parse(bracket.repeat(100_000).as_bytes()).is_err(), "{bracket}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    }

    #[test]
    fn too_many_values_are_refused() {
        let values = |count: usize| format!("[{}]", "0,".repeat(count));
        assert!(parse(values(MAX_VALUES - 1).as_bytes()).is_ok());
        assert!(parse(values(MAX_VALUES).as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_text_of_json5_signs_is_read_or_refused(
            text in r#"([\[\]{}:,'"/*\\+.0-9eExX_$#-]|true|null|NaN|Infinity|\\u00|//|/\*|\u2028|é|\n| ){0,120}"#
        ) {
            let _ = parse(text.as_bytes());
        }
    }
}
