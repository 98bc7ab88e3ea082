//! What of a request's header a gateway gets to see, and of its answer's the client.
//!
//! A gateway believes what some fields say of the client (`X-Forwarded-For`, Tailscale's). None of a
//! client's own reach it; the gate's say who the client really is. A client of this machine is shown
//! as what it is, one that connects by itself: late gateways refuse whoever comes through a proxy and
//! from that proxy's own address (measured on 2026.9.6: 403 `proxy_attribution_required`).

use std::net::{IpAddr, Ipv4Addr};

use http::header::{COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};

use super::identity::is_identity;
use super::session::COOKIE_NAME;

/// The field for a token where `Authorization` is the gateway's own.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("guardian-token");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Whether a field is of one connection, not of the request (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade"
            | "http2-settings"
    )
}

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
    let (mut told, mut cookies) = (false, false);
    take_out(header, |name| match name {
        "guardian-token" => true,
        "authorization" => !keep_authorization,
        "cookie" => {
            cookies = true;
            false
        }
        _ if is_identity(name.as_bytes()) => {
            told = true;
            true
        }
        _ => is_hop_by_hop(name),
    });
    if cookies {
        strip_cookie(header);
    }
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

/// Takes out the fields of such names. Most headers hold few or none: to look once at what is there costs less
/// than to look for each.
fn take_out(header: &mut HeaderMap, mut is_such: impl FnMut(&str) -> bool) {
    let there: Vec<HeaderName> = header.keys().filter(|name| is_such(name.as_str())).cloned().collect();
    for name in &there {
        header.remove(name);
    }
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
    let mut cookies = false;
    take_out(header, |name| match name {
        // A script of the panel's does not get between a browser and the gate's own pages.
        "transfer-encoding" | "service-worker-allowed" | "clear-site-data" => true,
        "set-cookie" => {
            cookies = true;
            false
        }
        _ => is_hop_by_hop(name),
    });
    if cookies {
        strip_set_cookie(header);
    }
}

/// A gateway does not set, or take away, the gate's cookie.
fn strip_set_cookie(header: &mut HeaderMap) {
    let Entry::Occupied(cookies) = header.entry(SET_COOKIE) else { return };
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

#[cfg(test)]
mod tests;
