//! The panel's marks in a page.

use std::time::{Duration, Instant};

use guardian_rules::fact::Product;
use html5ever::driver::{ParseOpts, parse_document};
use html5ever::tendril::{StrTendril, TendrilSink};
use ring::digest::SHA256;
use scraper::{ElementRef, Html, HtmlTreeSink};

use crate::marks;

/// A page of nested and misnested elements costs its parser the square of its length, or worse.
/// The panel's own takes a few milliseconds; after this long the rest is left unread.
const PARSING: Duration = Duration::from_millis(100);

/// How much is parsed between two looks at the clock.
const PIECE: usize = 4096;

/// A build id longer than this is none.
const BUILD: usize = 200;

/// What a page shows of a panel.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct PageMarks {
    pub(crate) title: Option<Product>,
    pub(crate) structure: Option<Product>,
    pub(crate) build: Option<String>,
}

/// Looks for the marks in HTML, which may be anything.
pub(crate) fn marks(body: &[u8]) -> PageMarks {
    let html = parse(&String::from_utf8_lossy(body));
    let mut found = PageMarks::default();
    for element in html.tree.nodes().filter_map(ElementRef::wrap) {
        let name = element.value().name();
        for panel in &marks::marks().panel {
            if name == panel.element {
                found.structure.get_or_insert(panel.product);
            }
            if name == "title" && is_html(element) && words(element) == panel.title {
                found.title.get_or_insert(panel.product);
            }
        }
        if found.build.is_none() {
            found.build = element.attr(&marks::marks().page.build_attribute).and_then(build);
        }
    }
    found
}

/// SHA-256 of a page.
pub(crate) fn digest(body: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&SHA256, body).as_ref());
    bytes
}

/// As much of the document as can be parsed in time.
fn parse(document: &str) -> Html {
    let end = Instant::now() + PARSING;
    let mut parser = parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
    let mut rest = document;
    while !rest.is_empty() && Instant::now() < end {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        parser.process(StrTendril::from_slice(piece));
        rest = after;
    }
    parser.finish()
}

/// A title of the page, not of a picture in it.
fn is_html(element: ElementRef<'_>) -> bool {
    &*element.value().name.ns == "http://www.w3.org/1999/xhtml"
}

fn words(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A build id as a report may print it.
fn build(value: &str) -> Option<String> {
    let legible = value.bytes().all(|byte| byte.is_ascii_graphic());
    (legible && (1..=BUILD).contains(&value.len())).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(name: &str) -> Vec<u8> {
        let path = format!("{}/../fixtures/gateway/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    #[test]
    fn each_product_is_told_by_title_and_by_structure() {
        let old = marks(&read("panel-2026.1.24.html"));
        assert_eq!((old.title, old.structure), (Some(Product::Clawdbot), Some(Product::Clawdbot)));
        assert_eq!(old.build, None);
        let new = marks(&read("panel-2026.9.6.html"));
        assert_eq!((new.title, new.structure), (Some(Product::Openclaw), Some(Product::Openclaw)));
        assert!(new.build.unwrap().starts_with("2026.9.6-release-"));
    }

    #[test]
    fn a_title_alone_or_an_element_alone_is_seen_as_that() {
        let title = marks(b"<title>\n  Moltbot\n Control </title><h1>hello");
        assert_eq!((title.title, title.structure), (Some(Product::Moltbot), None));
        let element = marks(b"<openclaw-app></openclaw-app>");
        assert_eq!((element.title, element.structure), (None, Some(Product::Openclaw)));
    }

    #[test]
    fn what_only_mentions_a_panel_is_none() {
        for page in [
            "<title>OpenClaw Canvas</title>",
            "<title>How to secure your OpenClaw Control panel</title>",
            "<svg><title>OpenClaw Control</title></svg>",
            "<p>OpenClaw Control &lt;openclaw-app&gt;</p>",
            "<!-- <title>OpenClaw Control</title> -->",
            "<script>'<openclaw-app>'</script>",
            "{\"title\":\"OpenClaw Control\"}",
            "",
        ] {
            assert_eq!(marks(page.as_bytes()), PageMarks::default(), "{page}");
        }
    }

    #[test]
    fn a_build_id_that_no_report_should_print_is_left_out() {
        let build = |value: &str| {
            marks(format!("<html data-openclaw-control-ui-build-id='{value}'>").as_bytes()).build
        };
        assert_eq!(build("2026.9.6-release-1").as_deref(), Some("2026.9.6-release-1"));
        assert_eq!(build("\u{1b}[2J"), None);
        assert_eq!(build(&"9".repeat(500)), None);
        assert_eq!(build(""), None);
    }

    #[test]
    fn a_page_made_to_exhaust_the_parser_is_read_as_far_as_it_goes() {
        let exhausting = (0..20_000).map(|number| format!("<b a{number}><p>")).collect::<Vec<_>>().concat();
        let page = format!("<title>OpenClaw Control</title>{exhausting}");
        let began = Instant::now();
        assert_eq!(marks(page.as_bytes()).title, Some(Product::Openclaw));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = marks(&body);
        }

        #[test]
        fn any_markup_is_read(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("<title>"), Just("</title>"), Just("<openclaw-app "), Just("<svg>"), Just("<table>"),
                    Just("<template>"), Just("</p>"), Just("<b>"), Just("<select>"), Just("<!--"), Just("-->"),
                    Just("&#x"), Just("\0"), Just("<html a=\""), Just("'>"), Just("<plaintext>"), Just("é"),
                ],
                0..200,
            )
        ) {
            let _ = marks(pieces.concat().as_bytes());
        }
    }
}
