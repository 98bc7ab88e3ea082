//! Where a device may send whoever asks it: to itself and nowhere else.
//!
//! A device names the addresses of its description and of its services. Guardian may be root, and
//! whoever is in the local network may say that he is a router: an address elsewhere, this host's
//! loopback above all, is not asked.

use std::fmt;
use std::net::Ipv4Addr;

use reqwest::Url;
use reqwest::header::HeaderValue;

/// An address that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere;

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address elsewhere than itself, which is not followed")
    }
}

/// The address of a device's description.
pub fn description(location: &str, device: Ipv4Addr) -> Result<Url, Elsewhere> {
    own(Url::parse(location).map_err(|_| Elsewhere)?, device)
}

/// The address of a service, as the description found at `description` writes it.
pub fn control(
    written: &str,
    base: Option<&str>,
    description: &Url,
    device: Ipv4Addr,
) -> Result<Url, Elsewhere> {
    let base = match base {
        Some(base) => description.join(base).map_err(|_| Elsewhere)?,
        None => description.clone(),
    };
    own(base.join(written).map_err(|_| Elsewhere)?, device)
}

/// The address, if it is plain HTTP on the device itself. The parser has brought every spelling of
/// an address to one (`0x7f.1`), and a name is nobody's address.
fn own(mut url: Url, device: Ipv4Addr) -> Result<Url, Elsewhere> {
    let is_device = url.host_str().and_then(|host| host.parse().ok()) == Some(device);
    let is_plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    if !is_device || !is_plain || url.port() == Some(0) || HeaderValue::from_str(url.as_str()).is_err() {
        return Err(Elsewhere);
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);

    #[test]
    fn a_device_is_asked_at_its_own_address() {
        let url = description("http://192.168.7.1:5000/rootDesc.xml", DEVICE).unwrap();
        assert_eq!(url.as_str(), "http://192.168.7.1:5000/rootDesc.xml");
        for (written, base, asked) in [
            ("/ctl/IPConn", None, "http://192.168.7.1:5000/ctl/IPConn"),
            ("ctl", None, "http://192.168.7.1:5000/ctl"),
            ("ctl", Some("http://192.168.7.1:80/upnp/"), "http://192.168.7.1/upnp/ctl"),
            ("http://192.168.7.1:49000/ctl", None, "http://192.168.7.1:49000/ctl"),
        ] {
            assert_eq!(control(written, base, &url, DEVICE).unwrap().as_str(), asked);
        }
    }

    #[test]
    fn nobody_else_is_asked_however_the_address_is_spelt() {
        for location in [
            "http://127.0.0.1:18789/",
            "http://localhost/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::ffff:192.168.7.1]/",
            "http://192.168.7.2/",
            "http://192.168.7.1@127.0.0.1/",
            "http://root:x@192.168.7.1/",
            "http://192.168.7.1.example.org/",
            "http://192.168.7.1:0/",
            "https://192.168.7.1/",
            "file:///etc/shadow",
            "/rootDesc.xml",
            "",
        ] {
            assert_eq!(description(location, DEVICE), Err(Elsewhere), "{location}");
        }
        let url = description("http://192.168.7.1/", DEVICE).unwrap();
        for (written, base) in [
            ("http://127.0.0.1/ctl", None),
            ("//127.0.0.1/ctl", None),
            ("/ctl", Some("http://169.254.169.254/")),
            ("\\\\127.0.0.1/ctl", None),
        ] {
            assert_eq!(control(written, base, &url, DEVICE), Err(Elsewhere), "{written} {base:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_device_writes_it_is_asked_itself_or_nobody_is(written: String, base: Option<String>) {
            let url = description("http://192.168.7.1/", DEVICE).unwrap();
            if let Ok(asked) = control(&written, base.as_deref(), &url, DEVICE) {
                prop_assert_eq!(asked.host_str(), Some("192.168.7.1"));
            }
            if let Ok(asked) = description(&written, DEVICE) {
                prop_assert_eq!(asked.host_str(), Some("192.168.7.1"));
            }
        }
    }
}
