//! Questions to a router's line and its answers: `WANIPConnection:1`, sections 2.4.15
//! (`GetGenericPortMappingEntry`) and 2.4.18 (`GetExternalIPAddress`), in SOAP 1.1.

use std::net::IpAddr;

use super::xml::elements;

/// Characters kept of a mapping's description.
const MAX_TEXT: usize = 80;

/// `SpecifiedArrayIndexInvalid`: the list ends before this index.
const NO_SUCH_INDEX: u16 = 713;
/// `NoSuchEntryInArray`: some routers say it instead.
const NO_SUCH_ENTRY: u16 = 714;
/// `Invalid Args`: others say this, behind the last entry.
const INVALID_ARGUMENTS: u16 = 402;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The router's address on the internet.
    ExternalAddress,
    /// The mapping at this place of its list.
    Entry(u16),
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::ExternalAddress => "GetExternalIPAddress",
            Self::Entry(_) => "GetGenericPortMappingEntry",
        }
    }

    /// The `SOAPAction` field for a service of this type.
    #[must_use]
    pub fn field(self, service: &str) -> String {
        format!("\"{service}#{}\"", self.name())
    }

    /// The document that asks it.
    #[must_use]
    pub fn body(self, service: &str) -> String {
        let name = self.name();
        let argument = match self {
            Self::ExternalAddress => String::new(),
            Self::Entry(index) => format!("<NewPortMappingIndex>{index}</NewPortMappingIndex>"),
        };
        format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{name} \
             xmlns:u=\"{service}\">{argument}</u:{name}></s:Body></s:Envelope>\r\n"
        )
    }
}

/// An entry of a router's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A port that it carries by TCP.
    Carries {
        /// The port on the internet's side.
        external: u16,
        /// The host of the local network that it goes to.
        client: IpAddr,
        /// The port there.
        internal: u16,
        /// What it is called, cut to a line.
        text: String,
    },
    /// One that carries no TCP, or is switched off.
    Idle,
    /// There is no such entry: the list has ended.
    End,
    /// The router does not say; why.
    Refused(String),
    /// The answer makes no sense.
    Malformed,
}

/// Reads the answer to [`Action::Entry`] with this index.
#[must_use]
pub fn entry(index: u16, status: u16, body: &[u8]) -> Entry {
    let mut told = Told::default();
    let read = elements(body, |name, text| told.hear(name, text));
    if let Some(code) = told.error {
        return match code {
            NO_SUCH_INDEX | NO_SUCH_ENTRY => Entry::End,
            INVALID_ARGUMENTS if index > 0 => Entry::End,
            code => Entry::Refused(format!("it refuses with error {code}")),
        };
    }
    if status != 200 {
        return Entry::Refused(format!("it answers with status {status}"));
    }
    if read.is_err() {
        return Entry::Malformed;
    }
    if told.is_off || told.is_udp {
        return Entry::Idle;
    }
    match (told.external, told.client, told.internal) {
        (Some(external), Some(client), Some(internal)) => {
            Entry::Carries { external, client, internal, text: told.text }
        }
        _ => Entry::Malformed,
    }
}

/// Reads the answer to [`Action::ExternalAddress`]. A router without a line says nothing or `0.0.0.0`.
#[must_use]
pub fn external_address(status: u16, body: &[u8]) -> Option<IpAddr> {
    let mut address: Option<IpAddr> = None;
    elements(body, |name, text| {
        if name == "NewExternalIPAddress" {
            address = text.parse().ok();
        }
    })
    .ok()?;
    address.filter(|address| status == 200 && !address.is_unspecified())
}

/// What an answer tells.
#[derive(Default)]
struct Told {
    error: Option<u16>,
    external: Option<u16>,
    client: Option<IpAddr>,
    internal: Option<u16>,
    is_udp: bool,
    is_off: bool,
    text: String,
}

impl Told {
    fn hear(&mut self, name: &str, text: &str) {
        match name {
            "errorCode" => self.error = Some(text.parse().unwrap_or(0)),
            "NewExternalPort" => self.external = text.parse().ok(),
            "NewInternalClient" => self.client = text.parse().ok(),
            "NewInternalPort" => self.internal = text.parse().ok(),
            // Whatever else it says may be TCP too.
            "NewProtocol" => self.is_udp = text.eq_ignore_ascii_case("UDP"),
            "NewEnabled" => self.is_off = ["0", "false", "no"].contains(&text.to_ascii_lowercase().as_str()),
            "NewPortMappingDescription" => self.text = quoted(text),
            _ => {}
        }
    }
}

/// A text of somebody else's, on one line and told apart from a sentence of Guardian's.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| {
        // Characters that hide, or that change how their neighbours are shown.
        let hides = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        !c.is_control() && !hides && c != '"'
    };
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("\"{}…\"", line.get(..end).unwrap_or_default()),
        None => format!("\"{line}\""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
    const MAPPING: &str = include_str!("../../fixtures/router/miniupnpd-entry.xml");

    #[test]
    fn a_question_names_its_service_and_its_index() {
        assert_eq!(
            Action::Entry(7).field(SERVICE),
            "\"urn:schemas-upnp-org:service:WANIPConnection:1#GetGenericPortMappingEntry\""
        );
        let body = Action::Entry(7).body(SERVICE);
        assert!(body.contains("<NewPortMappingIndex>7</NewPortMappingIndex>"), "{body}");
        assert_eq!(elements(body.as_bytes(), |_, _| {}), Ok(()));
        assert_eq!(elements(Action::ExternalAddress.body(SERVICE).as_bytes(), |_, _| {}), Ok(()));
    }

    #[test]
    fn a_mapping_of_miniupnpd_is_read() {
        let carries = Entry::Carries {
            external: 18789,
            client: "192.168.77.2".parse().unwrap(),
            internal: 18789,
            text: "\"libminiupnpc\"".to_owned(),
        };
        assert_eq!(entry(0, 200, MAPPING.as_bytes()), carries);
    }

    #[test]
    fn the_end_of_the_list_is_the_end() {
        let end = include_bytes!("../../fixtures/router/miniupnpd-end.xml");
        assert_eq!(entry(1, 500, end), Entry::End);
        let other = |code: u16| format!("<e><errorCode>{code}</errorCode></e>");
        assert_eq!(entry(0, 500, other(714).as_bytes()), Entry::End);
        assert_eq!(entry(1, 500, other(402).as_bytes()), Entry::End);
    }

    #[test]
    fn a_router_that_refuses_or_talks_nonsense_has_not_said_that_there_is_nothing() {
        let error = |code: u16| format!("<e><errorCode>{code}</errorCode></e>");
        for code in [401, 402, 501, 606] {
            let said = Entry::Refused(format!("it refuses with error {code}"));
            assert_eq!(entry(0, 500, error(code).as_bytes()), said);
        }
        assert_eq!(entry(0, 404, b"no"), Entry::Refused("it answers with status 404".to_owned()));
        for body in [
            "",
            "<a/>",
            "<html>",
            &MAPPING.replace(">18789<", ">99999<"),
            &MAPPING.replace("192.168.77.2", ""),
        ] {
            assert_eq!(entry(0, 200, body.as_bytes()), Entry::Malformed, "{body}");
        }
    }

    #[test]
    fn udp_and_what_is_switched_off_carry_nothing() {
        assert_eq!(entry(0, 200, MAPPING.replace("TCP", "udp").as_bytes()), Entry::Idle);
        assert_eq!(entry(0, 200, MAPPING.replace("<NewEnabled>1", "<NewEnabled>0").as_bytes()), Entry::Idle);
    }

    #[test]
    fn what_a_mapping_is_called_cannot_pass_for_a_sentence_of_guardians() {
        assert_eq!(quoted("a\u{1b}[2J\nb\u{202e}c \"d"), "\"a [2J b c d\"");
        assert_eq!(quoted(&"x".repeat(5000)).chars().count(), MAX_TEXT + 3);
    }

    #[test]
    fn the_address_on_the_internet_is_read_if_there_is_one() {
        let body = |address: &str| format!("<r><NewExternalIPAddress>{address}</NewExternalIPAddress></r>");
        assert_eq!(external_address(200, body("5.5.5.1").as_bytes()), "5.5.5.1".parse().ok());
        for none in ["", "0.0.0.0", "example.org"] {
            assert_eq!(external_address(200, body(none).as_bytes()), None);
        }
    }

    proptest! {
        #[test]
        fn anything_never_panics(index: u16, status: u16, body: Vec<u8>) {
            let _ = entry(index, status, &body);
            let _ = external_address(status, &body);
        }

        #[test]
        fn any_description_stays_on_one_short_line(text: String) {
            let shown = quoted(&text);
            prop_assert!(!shown.chars().any(char::is_control) && shown.chars().count() <= MAX_TEXT + 3);
        }
    }
}
