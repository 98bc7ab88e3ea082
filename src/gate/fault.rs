//! Why a request is refused for its form alone, before anybody looks at what it asks.

/// What is wrong with a request's form, and the status that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub(crate) struct Fault {
    /// The HTTP status, 4xx or 5xx.
    pub(crate) status: u16,
    /// A sentence for the log.
    pub(crate) said: &'static str,
}

impl Fault {
    /// A request that is no request (400).
    pub(super) const fn malformed(said: &'static str) -> Self {
        Self { status: 400, said }
    }

    pub(super) const fn new(status: u16, said: &'static str) -> Self {
        Self { status, said }
    }
}
