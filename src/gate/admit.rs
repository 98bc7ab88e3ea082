//! Who gets a permit, and in which order that is asked. Only a permit forwards.
//!
//! Lease, source, host, origin, budget, credential: the cheap and general before the dear and
//! particular, and nothing that a client says of itself before what the kernel says of it.

use std::net::IpAddr;
use std::sync::Arc;

use super::host::Names;
use super::refusal::Refusal;
use super::secret::Fingerprint;
use super::session;
use super::source::{Allowlist, is_loopback};
use super::token::PREFIX;
use crate::breaker::effect::Reach;
use crate::lease::Lease;
use crate::sys::clock::Moment;

/// What a request says, and what the kernel says of whoever sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The client's address.
    pub(crate) remote: IpAddr,
    /// It comes from this host, and says that it passes somebody else's request on.
    pub(crate) proxied: bool,
    /// The gate's address that it reached.
    pub(crate) local: IpAddr,
    /// `Host`.
    pub(crate) host: &'a str,
    /// `Origin`, if there is one.
    pub(crate) origin: Option<&'a str>,
    /// It changes something, or asks for a WebSocket: pages of other sites must not.
    pub(crate) unsafe_: bool,
    /// It asks for a service worker's script. One of the panel's would stand between a browser and the
    /// gate's own pages, and could ask for the passphrase in their place.
    pub(crate) worker: bool,
    /// What it has to show.
    pub(crate) shown: Shown<'a>,
}

/// What a request shows for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A token, which no browser sends by itself.
    Token(&'a str),
    /// Cookies with a session among them, which a browser sends by itself.
    Session(&'a str),
}

impl<'a> Shown<'a> {
    /// What these fields show. A token in a field of its own comes first: `Authorization` is the gateway's
    /// then.
    pub(crate) fn of(
        token: Option<&'a str>,
        authorization: Option<&'a str>,
        cookie: Option<&'a str>,
    ) -> Self {
        if let Some(token) = token {
            return Self::Token(token);
        }
        match authorization.and_then(own_token) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => return Self::Token(token),
            _ => {}
        }
        match cookie {
            Some(cookies) if session::in_cookies(cookies).next().is_some() => Self::Session(cookies),
            _ => Self::Nothing,
        }
    }
}

/// The scheme and the token in a value of `Authorization` that is the gate's own credential, and not for the gateway.
pub(super) fn own_token(value: &str) -> Option<(&str, &str)> {
    let (scheme, token) = value.split_at_checked(memchr::memchr(b' ', value.as_bytes())?)?;
    token.get(1..).filter(|token| token.starts_with(PREFIX)).map(|token| (scheme, token))
}

/// Somebody whom a credential names. While one is held, what it was admitted for is under way.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    /// Of the credential, which may be revoked meanwhile.
    pub(crate) credential: Arc<Fingerprint>,
}

impl Caller {
    pub(crate) fn new(name: &Arc<str>, credential: Fingerprint) -> Self {
        Self { name: Arc::clone(name), credential: Arc::new(credential) }
    }
}

/// What admission asks of the rest of the gate.
pub(crate) trait Books {
    /// Takes a request out of the budget of its source, or of whoever shows a right credential.
    fn budget(&mut self, remote: IpAddr, shown: Shown<'_>, now: Moment) -> Result<(), Refusal>;
    /// Whose credential it is.
    fn credential(&mut self, remote: IpAddr, shown: Shown<'_>, now: Moment) -> Result<Caller, Refusal>;
}

/// Leave to forward one request. There is no other way to make one than [`admit`].
#[derive(Debug)]
pub(crate) struct Permit {
    caller: Caller,
}

impl Permit {
    /// For whom.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// Whether a lease lets a client at this address through now.
pub(crate) fn vouched(lease: Option<Lease>, remote: IpAddr, now: Moment) -> Option<Lease> {
    let lease = lease.filter(|lease| lease.is_live(now))?;
    match lease.reach {
        Reach::Allowed => Some(lease),
        Reach::Loopback => is_loopback(remote).then_some(lease),
    }
}

/// Admits a request that is to be forwarded.
pub(crate) fn admit(
    ask: &Ask<'_>,
    lease: Option<Lease>,
    sources: &Allowlist,
    names: &Names,
    books: &mut impl Books,
    now: Moment,
) -> Result<Permit, Refusal> {
    // A proxy on this host is no client of this host: half-open is not for whoever is behind it.
    vouched(lease, ask.remote, now)
        .filter(|lease| !ask.proxied || lease.reach == Reach::Allowed)
        .ok_or(Refusal::Blocked)?;
    let caller =
        greet(ask, sources, names, books, now).and_then(|()| books.credential(ask.remote, ask.shown, now))?;
    Ok(Permit { caller })
}

/// What is asked of every request, those for the gate's own pages included.
pub(crate) fn greet(
    ask: &Ask<'_>,
    sources: &Allowlist,
    names: &Names,
    books: &mut impl Books,
    now: Moment,
) -> Result<(), Refusal> {
    if !sources.admits(ask.remote) {
        return Err(Refusal::Source);
    }
    if !names.host(ask.host, ask.local, ask.remote) {
        return Err(Refusal::Host);
    }
    if ask.worker {
        return Err(Refusal::Worker);
    }
    match ask.origin {
        Some(origin) if !names.origin(origin, ask.host) => return Err(Refusal::Origin),
        // A browser sends a session's cookie by itself, and says where such a request comes from.
        None if ask.unsafe_ && matches!(ask.shown, Shown::Session(_)) => return Err(Refusal::Origin),
        _ => {}
    }
    books.budget(ask.remote, ask.shown, now)
}

#[cfg(test)]
mod tests;
