//! What of a request's header a gateway gets to see, and of its answer's the client.
//!
//! A gateway believes what some fields say of the client (`X-Forwarded-For`, Tailscale's). None of a
//! client's own reach it; the gate's say who the client really is. A client of this machine is shown
//! as what it is, one that connects by itself: late gateways refuse whoever comes through a proxy and
//! from that proxy's own address (measured on 2026.9.6: 403 `proxy_attribution_required`).

use std::net::{IpAddr, Ipv4Addr};

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::identity::is_identity;
use super::session::COOKIE_NAME;

/// The field for a token where `Authorization` is the gateway's own.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("guardian-token");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Of one connection, not of the request (RFC 9110, 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// Stands for a client whose address is not known: TEST-NET-1, which is nobody's (RFC 5737).
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// How the client reached the gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// The client.
    pub(crate) remote: IpAddr,
    /// Over TLS.
    pub(crate) tls: bool,
}

/// Makes a client's header into the one that the gateway gets. `authorization` stays only where it
/// is not the gate's own credential.
pub(crate) fn to_gateway(header: &mut HeaderMap, reached: Reached, keep_authorization: bool) {
    take_out(header, |name| HOP_BY_HOP.contains(name));
    let told = take_out(header, |name| is_identity(name.as_str().as_bytes()));
    header.remove(TOKEN);
    if !keep_authorization {
        header.remove(AUTHORIZATION);
    }
    strip_cookie(header);
    let remote = reached.remote.to_canonical();
    let remote = match (remote.is_loopback(), told) {
        // A program of this machine that passes somebody else's request on: who that is, only it
        // knows, but nobody of this machine.
        (true, true) => SOMEBODY,
        (true, false) => return,
        (false, _) => remote,
    };
    if let Ok(remote) = HeaderValue::try_from(remote.to_string()) {
        header.insert(FORWARDED_FOR, remote);
    }
    header.insert(FORWARDED_PROTO, HeaderValue::from_static(if reached.tls { "https" } else { "http" }));
    if let Some(host) = header.get(HOST).cloned() {
        header.insert(FORWARDED_HOST, host);
    }
}

/// Takes out the fields of such names; whether there were any. Most headers hold few or none: to look at what is
/// there costs less than to look for each.
fn take_out(header: &mut HeaderMap, is_such: impl Fn(&HeaderName) -> bool) -> bool {
    let there: Vec<HeaderName> = header.keys().filter(|name| is_such(name)).cloned().collect();
    for name in &there {
        header.remove(name);
    }
    !there.is_empty()
}

/// Takes the gate's own cookie out of those that the gateway sees.
fn strip_cookie(header: &mut HeaderMap) {
    let Entry::Occupied(mut entry) = header.entry(COOKIE) else { return };
    let Ok(cookies) = entry.get().to_str() else {
        entry.remove();
        return;
    };
    let is_ours = |cookie: &&str| cookie.split_once('=').is_some_and(|(name, _)| name.trim() == COOKIE_NAME);
    if !cookies.split(';').any(|cookie| is_ours(&cookie)) {
        return;
    }
    let kept: Vec<&str> = cookies.split(';').filter(|cookie| !is_ours(cookie)).map(str::trim).collect();
    match HeaderValue::try_from(kept.join("; ")) {
        Ok(kept) if !kept.is_empty() => drop(entry.insert(kept)),
        _ => drop(entry.remove()),
    }
}

/// Makes a gateway's header into the one that the client gets.
pub(crate) fn to_client(header: &mut HeaderMap) {
    take_out(header, |name| HOP_BY_HOP.contains(name));
    header.remove(TRANSFER_ENCODING);
    // A script of the panel's does not get between a browser and the gate's own pages.
    header.remove(WORKER_ALLOWED);
    header.remove(CLEAR_SITE_DATA);
    // A gateway does not set, or take away, the gate's cookie.
    if let Entry::Occupied(cookies) = header.entry(SET_COOKIE) {
        let ours = |cookie: &HeaderValue| {
            // A cookie without a name is sent back as if its value were the name, and more.
            let text = cookie.as_bytes().trim_ascii_start();
            let text = text.strip_prefix(b"=").unwrap_or(text).trim_ascii_start();
            text.starts_with(COOKIE_NAME.as_bytes())
        };
        if cookies.iter().any(ours) {
            let kept: Vec<HeaderValue> = cookies.iter().filter(|cookie| !ours(cookie)).cloned().collect();
            cookies.remove_entry_mult();
            for cookie in kept {
                header.append(SET_COOKIE, cookie);
            }
        }
    }
}

#[cfg(test)]
mod tests;
