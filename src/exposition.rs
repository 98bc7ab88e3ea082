//! Prometheus' text format, version 0.0.4: the one way in which watcher and gate write their numbers.

use std::fmt::{Display, Write as _};

/// What it is called over HTTP.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// A number that goes up and down; its samples follow. One without samples is known and has no value.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Metric<'_> {
        self.metric(name, "gauge", help)
    }

    /// A number that only grows.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Metric<'_> {
        self.metric(name, "counter", help)
    }

    fn metric(&mut self, name: &'static str, kind: &str, help: &str) -> Metric<'_> {
        // Writing into a string cannot fail.
        let _ = write!(self.0, "# HELP {name} ");
        escaped(&mut self.0, help, false);
        let _ = writeln!(self.0, "\n# TYPE {name} {kind}");
        Metric { text: &mut self.0, name }
    }

    /// All of them.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// A metric, waiting for its samples.
#[derive(Debug)]
pub(crate) struct Metric<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Metric<'_> {
    /// Its only sample.
    pub(crate) fn is(&mut self, value: impl Display) {
        self.with(&[], value);
    }

    /// The same; none where there is none.
    pub(crate) fn may_be(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.is(value);
        }
    }

    /// A sample of its own for these labels.
    pub(crate) fn with(&mut self, labels: &[(&'static str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (index, (label, is)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            escaped(self.text, is, true);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A sample for each of the words that may apply: 1 for the one that does, 0 for the others.
    pub(crate) fn word(
        &mut self,
        of: &[(&'static str, &str)],
        label: &'static str,
        words: &[&str],
        is: Option<&str>,
    ) {
        for word in words {
            let labels = [of, &[(label, word)]].concat();
            self.with(&labels, u8::from(is == Some(word)));
        }
    }
}

/// Text that cannot end its line, nor its quotes.
fn escaped(into: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '"' if quotes => into.push_str("\\\""),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
