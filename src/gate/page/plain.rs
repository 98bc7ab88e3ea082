//! A page as the bytes of HTTP/1.1: an answer that needs no library.

use std::cell::RefCell;

use bytes::{BufMut as _, BytesMut};
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::{DATA, HARDENING, OF_EVERY_PAGE, Page};

impl Page {
    /// Appends it to `out`, and tells the length of its body as sent, in bytes. The answer to a HEAD has
    /// none; `closes` says that the connection ends with it.
    pub(crate) fn write(&self, head: bool, closes: bool, out: &mut BytesMut) -> u64 {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        out.reserve(512 + self.body.len());
        out.put_slice(b"HTTP/1.1 ");
        out.put_slice(status.as_str().as_bytes());
        out.put_slice(b" ");
        out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.put_slice(b"\r\n");
        field(out, CONTENT_TYPE.as_str(), self.kind.as_bytes());
        let hardening = if self.kind == DATA { &[][..] } else { &HARDENING[..] };
        for (name, value) in OF_EVERY_PAGE.iter().chain(hardening) {
            field(out, name.as_str(), value.as_bytes());
        }
        for (name, value) in &self.headers {
            field(out, name.as_str(), value.as_bytes());
        }
        field(out, CONTENT_LENGTH.as_str(), self.body.len().to_string().as_bytes());
        if closes {
            field(out, CONNECTION.as_str(), b"close");
        }
        with_date(|date| field(out, DATE.as_str(), date.as_bytes()));
        out.put_slice(b"\r\n");
        if head {
            return 0;
        }
        out.put_slice(&self.body);
        self.body.len() as u64
    }
}

fn field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// The date (RFC 9110, 6.6.1), formatted once a second.
fn with_date(take: impl FnOnce(&str)) {
    thread_local! {
        static DATE: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    DATE.with_borrow_mut(|(second, date)| {
        let now = Timestamp::now();
        if now.as_second() != *second {
            // A year beyond 9999 has no date there; no clock gets so far.
            *date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap_or_default();
            *second = now.as_second();
        }
        take(date);
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::gate::own::AskedFor;
    use crate::gate::page::Wants;
    use crate::gate::refusal::Refusal;

    fn pages() -> Vec<Page> {
        let refusals =
            [Refusal::Blocked, Refusal::Missing, Refusal::Host, Refusal::Budget(Duration::from_secs(3))];
        let kinds = [Wants::Html, Wants::Json];
        let refused = refusals.into_iter().flat_map(|refusal| {
            kinds.map(|wants| Page::refusal(refusal, wants, false, || AskedFor::Passphrase))
        });
        refused.chain([400, 405, 408, 426, 431, 505].map(Page::status)).collect()
    }

    fn written(page: &Page, head: bool, closes: bool) -> (String, u64) {
        let mut out = BytesMut::new();
        let sent = page.write(head, closes, &mut out);
        (String::from_utf8(out.to_vec()).unwrap(), sent)
    }

    /// The library writes the rest of the gate's answers: the same page must be the same answer.
    #[tokio::test]
    async fn a_page_says_the_same_with_and_without_the_library() {
        for page in pages() {
            let (text, sent) = written(&page, false, false);
            let mut room = [httparse::EMPTY_HEADER; 32];
            let mut parsed = httparse::Response::new(&mut room);
            let length = parsed.parse(text.as_bytes()).unwrap().unwrap();
            let (code, fields) = (parsed.code, parsed.headers.to_vec());
            let response = page.into_response();
            assert_eq!(code, Some(response.status().as_u16()));
            let is = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.value);
            for (name, value) in response.headers() {
                assert_eq!(is(name.as_str()), Some(value.as_bytes()), "{name}");
            }
            assert_eq!(fields.len(), response.headers().len() + 2, "a length and a date: {text}");
            let body = response.into_body();
            let crate::gate::body::Answer::Own(body) = body else { panic!("it is the gate's own") };
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(&text.as_bytes()[length..], &body);
            assert_eq!(is("content-length").unwrap(), body.len().to_string().as_bytes());
            assert_eq!(sent, body.len() as u64);
        }
    }

    #[test]
    fn the_answer_to_a_head_has_no_body_and_says_how_long_it_would_be() {
        for page in pages() {
            let ((whole, _), (head, sent)) = (written(&page, false, false), written(&page, true, false));
            assert!(head.ends_with("\r\n\r\n") && sent == 0);
            assert_eq!(head, whole[..head.len()]);
        }
    }

    #[test]
    fn a_connection_that_ends_with_the_answer_is_said_to_end() {
        for page in pages() {
            assert!(written(&page, false, true).0.contains("\r\nconnection: close\r\n"));
            assert!(!written(&page, false, false).0.contains("connection"));
        }
    }

    #[test]
    fn the_date_is_one_of_http() {
        let (text, _) = written(&Page::status(400), false, false);
        let date = text.lines().find_map(|line| line.strip_prefix("date: ")).unwrap();
        assert!(date.ends_with(" GMT") && date.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{date}");
        assert!(rfc2822::DateTimeParser::new().parse_timestamp(date).is_ok());
    }
}
