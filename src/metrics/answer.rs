//! What is answered to whom: `GET /metrics`, to whoever asks this machine by a name of its own.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::exposition;

const PATH: &str = "/metrics";

/// Answers a request. What was sent with it is not read.
pub(super) fn to<B>(request: &Request<B>, text: impl FnOnce() -> String) -> Response<Full<Bytes>> {
    // A page of another site whose name leads here must not read it.
    if !is_this_machine(request) {
        return plain(StatusCode::MISDIRECTED_REQUEST, "ask for 127.0.0.1 or localhost\n");
    }
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "there is nothing but /metrics\n");
    }
    if request.method() != Method::GET {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET, and nothing else\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    let mut answer = plain(StatusCode::OK, text());
    let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// It is asked for by a name that nobody else can lead here.
fn is_this_machine<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(name.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str, hosts: &[&str]) -> Response<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        to(&request.body(()).unwrap(), || "guardian_up 1\n".to_owned())
    }

    #[test]
    fn it_is_read_under_the_names_of_loopback_and_under_no_other() {
        let status = |hosts: &[&str]| asked(Method::GET, "/metrics", hosts).status();
        for own in ["127.0.0.1:18710", "localhost:1", "LOCALHOST", "[::1]:18710", "127.8.8.8"] {
            assert_eq!(status(&[own]), 200, "{own}");
        }
        for foreign in ["evil.test:18710", "192.168.1.7", "localhost.evil.test", "0.0.0.0:18710", "", "[::1"]
        {
            assert_eq!(status(&[foreign]), 421, "{foreign}");
        }
        assert_eq!(status(&[]), 421);
        assert_eq!(status(&["localhost", "localhost"]), 421);
    }

    #[test]
    fn there_is_one_page_and_it_is_only_read() {
        for other in ["/", "/metrics/", "/status", "/_guardian/metrics", "//metrics"] {
            assert_eq!(asked(Method::GET, other, &["localhost"]).status(), 404, "{other}");
        }
        for method in [Method::POST, Method::HEAD, Method::PUT, Method::OPTIONS] {
            let answer = asked(method, "/metrics?x=y", &["localhost"]);
            assert_eq!((answer.status().as_u16(), &answer.headers()[ALLOW]), (405, &"GET".parse().unwrap()));
        }
        let answer = asked(Method::GET, "/metrics?x=y", &["localhost"]);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    }
}
