//! Fingerprints of gateways: what `marks.toml` says.

use std::sync::LazyLock;

use guardian_rules::fact::Product;
use serde::Deserialize;

/// What gateways answer, by which they are recognised.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// The panels, one a product.
    pub panel: Vec<PanelMarks>,
    /// What else a panel's page shows.
    pub page: PageMarks,
    /// Answers to an empty `POST /tools/invoke`.
    pub access: AccessMarks,
    /// Frames of a WebSocket.
    pub handshake: HandshakeMarks,
    /// Answers of the sockets beside a gateway's own.
    pub side_door: SideDoorMarks,
}

/// A panel's page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PanelMarks {
    /// Whose panel it is.
    pub product: Product,
    /// Its title, word for word.
    pub title: String,
    /// The custom element that is its body, in lower case.
    pub element: String,
}

/// What a panel's page shows beside title and element.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageMarks {
    /// The attribute that names the build.
    pub build_attribute: String,
}

/// Answers to an empty `POST /tools/invoke`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessMarks {
    /// The path itself.
    pub path: String,
    /// Start of the message that says "you are in, name a tool".
    pub open: String,
    /// Part of any answer that only a gateway gives.
    pub likeness: String,
    /// Error type of "credentials, please".
    pub required: String,
    /// Error type of "too many wrong credentials from here".
    pub limited: String,
    /// Error type of "a proxy that I was not told of".
    pub refuses_proxy: String,
    /// Parts of a page by which a proxy asks for a client certificate.
    pub certificate_wanted: Vec<String>,
}

/// Frames of a WebSocket.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeMarks {
    /// Event of the first frame.
    pub challenge: String,
    /// Client ids for a probe, the newest generation's first.
    pub clients: Vec<String>,
}

/// Answers of the sockets beside a gateway's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideDoorMarks {
    /// A key of browser control's JSON.
    pub browser_control: String,
    /// The whole body of the extension relay.
    pub relay_greeting: String,
    /// Where the relay tells its name.
    pub relay_path: String,
    /// Part of its name.
    pub relay_name: String,
    /// Part of the inspector's refusal.
    pub inspector: String,
}

/// The fingerprints that this build knows.
#[must_use]
pub fn marks() -> &'static Marks {
    #[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
    static MARKS: LazyLock<Marks> =
        LazyLock::new(|| toml::from_str(include_str!("marks.toml")).expect("marks.toml is well-formed"));
    &MARKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_a_title_and_an_element_for_every_product() {
        let products: Vec<Product> = marks().panel.iter().map(|panel| panel.product).collect();
        assert_eq!(products, [Product::Clawdbot, Product::Moltbot, Product::Openclaw]);
        for panel in &marks().panel {
            assert!(panel.title.ends_with(" Control"), "{}", panel.title);
            assert_eq!(panel.element, panel.element.to_ascii_lowercase(), "as a parser spells it");
        }
    }
}
