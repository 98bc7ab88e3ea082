//! Where a webhook leads, and which form it takes.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::WebhookError;

/// An address to post to. Shown without what could be a secret: user, path and query.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    url: Url,
    form: Form,
}

/// How an event is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As JSON.
    Json,
    /// As ntfy takes it: text, with title, priority and tags as header fields.
    Ntfy,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("host", &self.host()).field("form", &self.form).finish_non_exhaustive()
    }
}

impl Place {
    /// Reads an address. One of ntfy says so by its scheme (`ntfy+https`), or by its host (`ntfy.sh`,
    /// or a name that begins with `ntfy.`) and a path of one topic.
    pub(crate) fn of(address: &str) -> Result<Self, WebhookError> {
        let (named, address) = match address.split_at_checked(5) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ntfy+") => (true, rest),
            Some(_) | None => (false, address),
        };
        let url = Url::parse(address).map_err(|_| WebhookError::NotAnAddress)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebhookError::Scheme(url.scheme().to_owned()));
        }
        let host = url.host_str().ok_or(WebhookError::NotAnAddress)?;
        let has_topic = has_one_topic(&url);
        if named && !has_topic {
            return Err(WebhookError::Topic);
        }
        if url.scheme() == "http" && literal(host).is_some_and(|ip| !is_private(ip)) {
            return Err(WebhookError::PlainBeyond(host.to_owned()));
        }
        let ntfy = named || (has_topic && (host == "ntfy.sh" || host.starts_with("ntfy.")));
        Ok(Self { form: if ntfy { Form::Ntfy } else { Form::Json }, url })
    }

    /// The whole address. It may have a secret in it.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The server, for a sentence.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// How an event is put there.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }
}

fn has_one_topic(url: &Url) -> bool {
    let path = url.path().trim_matches('/');
    !path.is_empty() && !path.contains('/')
}

/// An address that stands in a URL instead of a name.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// On this host, or in a network of one's own (RFC 1918, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Resolves names as the system does, and keeps nothing but loopback and private addresses.
pub(crate) struct PrivateOnly;

impl Resolve for PrivateOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let private: Vec<_> = found.filter(|at| is_private(at.ip())).collect();
            if private.is_empty() {
                return Err(WebhookError::PlainBeyond(name.as_str().to_owned()).into());
            }
            Ok(Box::new(private.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(address: &str) -> Form {
        Place::of(address).unwrap_or_else(|refused| panic!("{address}: {refused}")).form
    }

    #[test]
    fn ntfy_is_known_by_its_scheme_or_by_its_host_with_one_topic() {
        for ntfy in [
            "https://ntfy.sh/alarm",
            "https://ntfy.example.org/alarm/",
            "ntfy+https://push.example.org/alarm",
            "NTFY+http://127.0.0.1:8080/alarm",
        ] {
            assert_eq!(form(ntfy), Form::Ntfy, "{ntfy}");
        }
        for json in ["https://ntfy.sh/", "https://ntfy.sh/a/b", "https://example.org/ntfy", "http://[::1]/x"]
        {
            assert_eq!(form(json), Form::Json, "{json}");
        }
        assert!(matches!(Place::of("ntfy+https://push.example.org/"), Err(WebhookError::Topic)));
        assert!(matches!(Place::of("ntfy+https://push.example.org/a/b"), Err(WebhookError::Topic)));
    }

    #[test]
    fn plain_text_stays_at_home() {
        for fine in ["http://127.0.0.1/x", "http://[::1]:80/x", "http://192.168.1.5/x", "http://[fd00::1]/x"]
        {
            assert!(Place::of(fine).unwrap().is_plain(), "{fine}");
        }
        for not in [
            "http://8.8.8.8/x",
            "http://[2001:db8::1]/x",
            "http://134744072/x",
            "http://169.254.169.254/x",
            "http://[::ffff:8.8.8.8]/x",
            "http://0.0.0.0/x",
        ] {
            let refused = Place::of(not).unwrap_err();
            assert!(matches!(refused, WebhookError::PlainBeyond(_)), "{not}");
            assert!(refused.to_string().contains("write https://"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for not in ["ftp://host/x", "file:///etc/passwd", "ntfy://host/topic", "unix:/run/x"] {
            assert!(matches!(Place::of(not), Err(WebhookError::Scheme(_))), "{not}");
        }
        for not in ["alarm", "https://", "//host/x", "http://[::1/x"] {
            assert!(matches!(Place::of(not), Err(WebhookError::NotAnAddress)), "{not}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let place = Place::of("https://ana:s3cr3t@hooks.example.org/s3cr3t?token=s3cr3t").unwrap();
        assert!(!format!("{place:?}").contains("s3cr3t"));
        assert_eq!(place.host(), "hooks.example.org");
    }

    #[tokio::test]
    async fn a_name_is_resolved_to_private_addresses_only() {
        let resolve = |name: &str| PrivateOnly.resolve(name.parse().unwrap());
        assert!(resolve("localhost").await.unwrap().all(|at| at.ip().is_loopback()));
        // Resolvers take an address for its own name.
        let Err(refused) = resolve("8.8.8.8").await else { panic!("it is not private") };
        assert!(refused.to_string().contains("write https://"), "{refused}");
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error(text in ".{0,200}") {
            let _ = Place::of(&text);
            let _ = Place::of(&format!("ntfy+https://{text}"));
        }
    }
}
