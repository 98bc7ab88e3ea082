//! The request that stands in for a refused one.
//!
//! The HTTP library answers requests only; what is wrong with bytes that are none reaches the service
//! as a request of the gate's own.

use std::sync::Arc;

use super::fault::Fault;

/// The request that takes a refused one's place. A client cannot make one up: its target holds a
/// secret of this process.
#[derive(Debug, Clone)]
pub(crate) struct StandIn(Arc<str>);

impl StandIn {
    /// One with a secret.
    pub(crate) fn new(secret: &str) -> Self {
        Self(format!("/{secret}/").into())
    }

    /// Its head, with what is wrong with the refused one.
    pub(super) fn head(&self, fault: Fault) -> String {
        let Fault { status, said } = fault;
        format!(
            "GET {}{status} HTTP/1.1\r\nhost: refused\r\nconnection: close\r\nfault: {said}\r\n\r\n",
            self.0
        )
    }

    /// The status that a request stands for, if it is a stand-in.
    pub(crate) fn status(&self, path: &str) -> Option<u16> {
        path.strip_prefix(&*self.0)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_know_the_secret_makes_no_stand_in() {
        let standin = StandIn::new("secret");
        let head = standin.head(Fault { status: 431, said: "too long" });
        assert!(head.starts_with("GET /secret/431 HTTP/1.1\r\n") && head.ends_with("\r\n\r\n"));
        assert_eq!(standin.status("/secret/431"), Some(431));
        for path in ["/secre/431", "/secret/", "/secret/x", "secret/431", "/other/200", "/"] {
            assert_eq!(standin.status(path), None, "{path}");
        }
    }
}
