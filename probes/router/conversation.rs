//! What one device is asked, over plain HTTP: bounded in time and size, no redirect followed, no
//! proxy, no name resolved.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Mapping, Router};
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use tokio::time::{Instant, timeout_at};

use super::description::{self, Service};
use super::endpoint;
use super::soap::{self, Action, Entry};
use crate::USER_AGENT;
use crate::ask::tls;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Bytes of a description, and of an answer; more is too much.
const MAX_DESCRIPTION: usize = 256 * 1024;
const MAX_ANSWER: usize = 16 * 1024;

/// More header fields than this make an answer too much.
const HEADERS: usize = 64;

/// Entries of a router's list that are read.
const MAX_ENTRIES: u16 = 256;

/// A device that says it is a router.
#[derive(Debug, Clone)]
pub(super) struct Device {
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// This host's address in its network, from which it is asked.
    pub(super) from: Ipv4Addr,
    /// Where it says that it describes itself.
    pub(super) location: String,
    /// The addresses that this host has in its network: others' mappings are no concern of Guardian's, and it
    /// can carry nothing to those that this host has elsewhere.
    pub(super) own: BTreeSet<IpAddr>,
    /// Whether this host goes to the internet by it, as far as that can be told.
    pub(super) is_the_way_out: bool,
    /// When all questions end.
    pub(super) until: Instant,
}

impl Device {
    /// What it carries to this host. Nothing, if it is no router that opens ports.
    pub(super) async fn carries(&self) -> Vec<Router> {
        match self.describe().await {
            Ok(lines) => {
                let mut routers = Vec::new();
                for line in lines {
                    match line {
                        Ok((url, service)) => routers.extend(self.line(&url, &service).await),
                        Err(why) => routers.push(silent(self.at(None), why)),
                    }
                }
                routers
            }
            Err(why) => vec![silent(self.at(None), why)],
        }
    }

    /// Its lines to the internet, or why each cannot be asked.
    async fn describe(&self) -> Result<Vec<Result<(Url, Service), Blindness>>, Blindness> {
        let url = endpoint::description(&self.location, self.address).map_err(|elsewhere| {
            Blindness::malformed(format!("it says that its description is at {elsewhere}"))
        })?;
        let (status, body) = self.ask(self.client()?.get(url.clone()), MAX_DESCRIPTION).await?;
        if status != 200 {
            return Err(Blindness::malformed(format!("its description is answered with status {status}")));
        }
        let description = description::read(&body)
            .map_err(|_| Blindness::malformed("its description of itself makes no sense"))?;
        let base = description.base.as_deref();
        let line = |service: Service| match endpoint::control(&service.control, base, &url, self.address) {
            Ok(url) => Ok((url, service)),
            Err(elsewhere) => {
                Err(Blindness::malformed(format!("it says that it is to be asked at {elsewhere}")))
            }
        };
        Ok(description.services.into_iter().map(line).collect())
    }

    /// What one line carries. Where the list breaks off, what was read of it counts beside the
    /// reason.
    async fn line(&self, url: &Url, service: &Service) -> Vec<Router> {
        let at = self.at(Some(url));
        let mut mappings = Vec::new();
        let ended = self.list(url, service, &mut mappings).await;
        let public = match &ended {
            Err(why) if mappings.is_empty() => return vec![silent(at, why.clone())],
            _ => self.put(url, service, Action::ExternalAddress).await.ok(),
        };
        let public = public.and_then(|(status, body)| soap::external_address(status, &body));
        mappings.sort_unstable();
        mappings.dedup();
        let told = Router { at, is_the_way_out: self.is_the_way_out, public, mappings: Ok(mappings) };
        std::iter::once(told).chain(ended.err().map(|why| silent(at, why))).collect()
    }

    async fn list(&self, url: &Url, service: &Service, mappings: &mut Vec<Mapping>) -> Result<(), Blindness> {
        let mut odd = None;
        for index in 0..MAX_ENTRIES {
            let (status, body) = self.put(url, service, Action::Entry(index)).await?;
            match soap::entry(index, status, &body) {
                Entry::Carries { external, client, internal, text } if self.own.contains(&client) => {
                    mappings.push(Mapping { external, to: SocketAddr::new(client, internal), text });
                }
                Entry::Carries { .. } | Entry::Idle => {}
                Entry::End => return odd.map_or(Ok(()), Err),
                Entry::Refused(why) => return Err(Blindness::denied(why)),
                // Others that come after it count all the same.
                Entry::Malformed => {
                    odd.get_or_insert(Blindness::malformed(format!(
                        "entry {index} of its list makes no sense"
                    )));
                }
            }
        }
        Err(Blindness::new(Cause::TooMuch, format!("its list has more than {MAX_ENTRIES} entries")))
    }

    async fn put(&self, url: &Url, service: &Service, action: Action) -> Result<(u16, Vec<u8>), Blindness> {
        let request = self
            .client()?
            .post(url.clone())
            .header("SOAPAction", action.field(&service.kind))
            .header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")
            .body(action.body(&service.kind));
        self.ask(request, MAX_ANSWER).await
    }

    /// Puts one question; the status of the answer and its body.
    async fn ask(&self, request: RequestBuilder, limit: usize) -> Result<(u16, Vec<u8>), Blindness> {
        let until = self.until.min(Instant::now() + ANSWER);
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let whole = async {
            let mut response = request.send().await.map_err(|failure| of_failure(&failure))?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|failure| of_failure(&failure))? {
                if body.len() + chunk.len() > limit {
                    return Err(Blindness::new(
                        Cause::TooMuch,
                        format!("its answer is longer than {limit} bytes"),
                    ));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status().as_u16(), body))
        };
        timeout_at(until, whole).await.map_err(|_| Blindness::timed_out("it does not answer in time"))?
    }

    /// A client for one question. It is cheap, and no connection is kept: routers have few.
    fn client(&self) -> Result<Client, Blindness> {
        Client::builder()
            .tls_backend_preconfigured(tls::config())
            .user_agent(USER_AGENT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .dns_resolver(Nobody)
            .local_address(IpAddr::V4(self.from))
            .pool_max_idle_per_host(0)
            .http1_only()
            .http1_max_headers(HEADERS)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .build()
            .map_err(|failure| of_failure(&failure))
    }

    fn at(&self, url: Option<&Url>) -> SocketAddr {
        let port = url.and_then(Url::port_or_known_default).unwrap_or(super::search::GROUP.port());
        SocketAddr::from((self.address, port))
    }
}

/// A router that does not tell.
pub(super) fn silent(at: SocketAddr, why: Blindness) -> Router {
    Router { at, is_the_way_out: true, public: None, mappings: Err(why) }
}

/// Without the address that the library would name: a device chose it.
fn of_failure(failure: &reqwest::Error) -> Blindness {
    if failure.is_timeout() {
        Blindness::timed_out("it does not answer in time")
    } else if failure.is_connect() {
        Blindness::new(Cause::Interrupted, "it takes no connection where it says that it is to be asked")
    } else if failure.is_request() || failure.is_body() || failure.is_decode() {
        Blindness::malformed("its answer is no HTTP, or breaks off")
    } else {
        Blindness::new(Cause::Interrupted, "it cannot be asked")
    }
}

/// Resolves no name: a device is asked at its address.
struct Nobody;

impl Resolve for Nobody {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Err("names are not resolved".into()) })
    }
}

#[cfg(test)]
mod tests;
