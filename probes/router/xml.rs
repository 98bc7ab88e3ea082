//! XML as far as a router's answers need it: the names and texts of elements, one after the other.
//!
//! No tree is built, no entity is expanded but the five that XML has itself, and nothing outside of
//! the document is read; so a document costs as much as it is long.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements within each other; more is malformed.
const MAX_DEPTH: usize = 32;

/// Elements in all; more is malformed. A large description has about a thousand.
const MAX_ELEMENTS: usize = 16 * 1024;

/// Bytes kept of an element's text.
const MAX_TEXT: usize = 1024;

/// Why a document is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Hands over every element when it ends: its name without a prefix, and its own text, trimmed.
pub fn elements(document: &[u8], mut each: impl FnMut(&str, &str)) -> Result<(), Malformed> {
    let document = String::from_utf8_lossy(document);
    let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
    reader.config_mut().allow_dangling_amp = true;
    let mut texts: Vec<String> = Vec::new();
    let mut elements = 0;
    loop {
        match reader.read_event().map_err(|_| Malformed)? {
            Event::Start(_) if texts.len() >= MAX_DEPTH => return Err(Malformed),
            Event::Start(_) => {
                elements += 1;
                texts.push(String::new());
            }
            Event::Empty(element) => {
                elements += 1;
                each(local(element.name().as_ref()), "");
            }
            Event::End(element) => {
                let text = texts.pop().ok_or(Malformed)?;
                each(local(element.name().as_ref()), text.trim());
            }
            Event::Text(text) => append(&mut texts, &text),
            Event::CData(text) => append(&mut texts, &text),
            Event::GeneralRef(reference) => {
                let known = match &*reference {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                append(&mut texts, known.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]));
            }
            Event::Eof if texts.is_empty() && elements > 0 => return Ok(()),
            Event::Eof => return Err(Malformed),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        if elements > MAX_ELEMENTS {
            return Err(Malformed);
        }
    }
}

fn append(texts: &mut [String], more: &str) {
    if let Some(text) = texts.last_mut() {
        let room = MAX_TEXT.saturating_sub(text.len());
        text.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(document: &str) -> Result<Vec<(String, String)>, Malformed> {
        let mut found = Vec::new();
        elements(document.as_bytes(), |name, text| found.push((name.to_owned(), text.to_owned())))?;
        Ok(found)
    }

    fn pairs(found: &[(&str, &str)]) -> Vec<(String, String)> {
        found.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn elements_come_as_they_end_without_prefixes_and_with_their_text() {
        let document = "\u{feff}<?xml version=\"1.0\"?>\n<s:a xmlns:s=\"x\"> one <b/><c>t&amp;&#x77;o &lt;<![CDATA[<&>]]></c></s:a>\n";
        assert_eq!(read(document).unwrap(), pairs(&[("b", ""), ("c", "t&wo <<&>"), ("a", "one")]));
    }

    #[test]
    fn entities_are_not_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]><a>&c;&f;</a>";
        assert_eq!(read(bomb).unwrap(), pairs(&[("a", "\u{fffd}\u{fffd}")]));
    }

    #[test]
    fn depth_numbers_and_texts_are_bounded() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(read(&deep(MAX_DEPTH + 1)), Err(Malformed));
        assert_eq!(read(&"<a>".repeat(1_000_000)), Err(Malformed));
        assert_eq!(read(&format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS))), Err(Malformed));
        let long = format!("<a>{}</a>", "ü".repeat(MAX_TEXT));
        assert_eq!(read(&long).unwrap()[0].1.len(), MAX_TEXT);
    }

    #[test]
    fn half_a_document_and_none_are_malformed() {
        for text in ["", "hello", "<a>", "<a><b></a>", "</a>", "<a"] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_never_panics(document: Vec<u8>) {
            let _ = elements(&document, |_, _| {});
        }

        #[test]
        fn anything_that_looks_like_xml_never_panics(document in "[<>/&;#xa:!\\[\\]CDAT\"'? -]{0,200}") {
            let _ = elements(document.as_bytes(), |_, _| {});
        }
    }
}
