//! A device's description of itself: `UPnP` Device Architecture 1.1, section 2.3.

use super::xml::{Malformed, elements};

/// Services kept of one device; a router has one for each of its lines.
const MAX_SERVICES: usize = 4;

/// What a device says of itself, as far as it matters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What its addresses are relative to, if not to the description's own.
    pub base: Option<String>,
    /// Its lines to the internet.
    pub services: Vec<Service>,
}

/// A line to the internet: `WANIPConnection` or `WANPPPConnection`, of any version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its type, as it has to be named in questions.
    pub kind: String,
    /// Where it takes questions, as written.
    pub control: String,
}

/// Reads a description.
pub fn read(document: &[u8]) -> Result<Description, Malformed> {
    let mut description = Description::default();
    let (mut kind, mut control) = (None, None);
    elements(document, |name, text| match name {
        "URLBase" if !text.is_empty() => description.base = Some(text.to_owned()),
        "serviceType" => kind = is_a_line(text).then(|| text.to_owned()),
        "controlURL" => control = Some(text.to_owned()),
        "service" => {
            if let (Some(kind), Some(control)) = (kind.take(), control.take()) {
                let service = Service { kind, control };
                if description.services.len() < MAX_SERVICES && !description.services.contains(&service) {
                    description.services.push(service);
                }
            }
        }
        _ => {}
    })?;
    Ok(description)
}

/// The type of a line, and nothing else in it: it goes into a header and a document of ours.
fn is_a_line(kind: &str) -> bool {
    ["urn:schemas-upnp-org:service:WANIPConnection:", "urn:schemas-upnp-org:service:WANPPPConnection:"]
        .iter()
        .filter_map(|line| kind.strip_prefix(line))
        .any(|version| (1..=2).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_description_of_miniupnpd_has_one_line() {
        let description = read(include_bytes!("../../fixtures/router/miniupnpd-description.xml")).unwrap();
        let service = Service {
            kind: "urn:schemas-upnp-org:service:WANIPConnection:1".to_owned(),
            control: "/ctl/IPConn".to_owned(),
        };
        assert_eq!(description, Description { base: None, services: vec![service] });
    }

    #[test]
    fn a_device_without_a_line_is_no_router_that_opens_ports() {
        let document = b"<root><URLBase>http://x/</URLBase><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/a</controlURL></service></root>";
        let description = read(document).unwrap();
        assert!(description.services.is_empty() && description.base.as_deref() == Some("http://x/"));
    }

    #[test]
    fn a_type_that_holds_more_than_a_type_is_none() {
        for kind in
            ["WANIPConnection:", "WANIPConnection:1\"", "WANIPConnection:1\r\nX: y", "WANIPConnection:123"]
        {
            assert!(!is_a_line(&format!("urn:schemas-upnp-org:service:{kind}")), "{kind}");
        }
    }

    #[test]
    fn lines_are_bounded_and_counted_once() {
        let line = |number: usize| {
            format!(
                "<service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>/{number}</controlURL></service>"
            )
        };
        let many: String = (0..100).map(line).collect();
        assert_eq!(read(format!("<r>{many}</r>").as_bytes()).unwrap().services.len(), MAX_SERVICES);
        let same = line(1).repeat(9);
        assert_eq!(read(format!("<r>{same}</r>").as_bytes()).unwrap().services.len(), 1);
    }

    proptest! {
        #[test]
        fn anything_never_panics(document: Vec<u8>) {
            let _ = read(&document);
        }
    }
}
