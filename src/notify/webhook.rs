//! Posts events to an address of the owner's choice: as JSON, or the way ntfy takes messages
//! (<https://docs.ntfy.sh/publish/>).
//!
//! Certificates are checked against the roots that the platform trusts. No proxy is used, no redirect
//! is followed, and what is answered does not matter beyond its status.

mod place;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::crypto::ring;

use super::event::Event;
use super::message::Urgency;
use place::{Form, Place, PrivateOnly};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long all of it may take.
const TOTAL: Duration = Duration::from_secs(10);
/// As much of an answer's body is read, so that a server that means well can end; in bytes.
const ANSWER: usize = 4096;
/// How long a body may take that nobody needs.
const REST: Duration = Duration::from_secs(1);

/// Why `notify.webhook` cannot be used. The address is not shown: it may have a secret in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// It is no address.
    #[error("it is no web address: write https://host/path, or ntfy+https://host/topic for ntfy")]
    NotAnAddress,
    /// Only the web is posted to.
    #[error("{0}:// is not known: write https://, or http:// for loopback and private addresses")]
    Scheme(String),
    /// Anybody on the way could read and change the message.
    #[error("http:// is for loopback and private addresses only, and {0} is neither: write https://")]
    PlainBeyond(String),
    /// ntfy takes messages on topics.
    #[error("an ntfy address ends with one topic: ntfy+https://host/topic")]
    Topic,
}

/// Why an event could not be posted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// No connection can be made from here at all.
    #[error("it cannot be asked, for the platform's certificates cannot be used")]
    Client(#[source] reqwest::Error),
    /// There was no answer.
    #[error("{host} did not take it")]
    NoAnswer {
        /// The server.
        host: String,
        /// What happened.
        #[source]
        cause: reqwest::Error,
    },
    /// It wants to be asked elsewhere.
    #[error("{host} answered {status}: redirects are not followed; write the address where it leads")]
    Redirect {
        /// The server.
        host: String,
        /// Its answer.
        status: StatusCode,
    },
    /// It did not take it.
    #[error("{host} answered {status}")]
    Refused {
        /// The server.
        host: String,
        /// Its answer.
        status: StatusCode,
    },
    /// The event cannot be written.
    #[error("the event cannot be put into JSON")]
    Json(#[from] serde_json::Error),
}

/// An address to post events to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    place: Place,
}

impl Webhook {
    /// The address that the policy names, if it names one.
    pub(crate) fn of(address: &str) -> Result<Option<Self>, WebhookError> {
        if address.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { place: Place::of(address.trim())? }))
    }

    /// Posts an event.
    pub(crate) async fn post(&self, event: &Event) -> Result<(), PostError> {
        let host = self.place.host().to_owned();
        let client = client(&self.place).await?;
        let answer = self.request(&client, event)?.send().await;
        let response =
            answer.map_err(|cause| PostError::NoAnswer { host: host.clone(), cause: cause.without_url() })?;
        let status = response.status();
        // What is in the body changes nothing, nor does a body that never ends.
        let _ = tokio::time::timeout(REST, drain(response)).await;
        match status {
            fine if fine.is_success() => Ok(()),
            status if status.is_redirection() => Err(PostError::Redirect { host, status }),
            status => Err(PostError::Refused { host, status }),
        }
    }

    fn request(&self, client: &Client, event: &Event) -> Result<RequestBuilder, serde_json::Error> {
        let request = client.post(self.place.url().clone());
        Ok(match self.place.form() {
            Form::Json => request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(serde_json::to_vec(event)?),
            Form::Ntfy => {
                let (priority, tags) = match event.urgency() {
                    Urgency::Critical => ("5", "rotating_light"),
                    Urgency::Normal => ("3", "information_source"),
                };
                request
                    .header("Title", HeaderValue::from_bytes(event.title().as_bytes()).unwrap_or(UNTITLED))
                    .header("Priority", priority)
                    .header("Tags", tags)
                    .header(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
                    .body(event.body().to_owned())
            }
        })
    }
}

/// Stands for a title that cannot be a header field.
const UNTITLED: HeaderValue = HeaderValue::from_static("Guardian");

/// A client for one request. Notices are rare, and the platform's certificates take more memory than
/// they are worth keeping.
async fn client(place: &Place) -> Result<Client, PostError> {
    let builder = Client::builder()
        .user_agent(concat!("guardian/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .pool_max_idle_per_host(0)
        .http1_only();
    if place.is_plain() {
        let plain = builder.tls_backend_preconfigured(nobody()).dns_resolver(PrivateOnly);
        return plain.build().map_err(PostError::Client);
    }
    // reqwest takes the provider of the process; one that is there already will do.
    let _ = ring::default_provider().install_default();
    // The certificates are files.
    match tokio::task::spawn_blocking(move || builder.https_only(true).build()).await {
        Ok(client) => client.map_err(PostError::Client),
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

/// TLS that trusts nobody, for a client that does without: it needs no certificates on this host.
fn nobody() -> rustls::ClientConfig {
    #[expect(clippy::expect_used, reason = "ring's suites serve TLS 1.2 and 1.3, and a test builds this")]
    let versions = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves the default versions");
    versions.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

/// Reads a body as far as anybody has to.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= ANSWER {
            return;
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
