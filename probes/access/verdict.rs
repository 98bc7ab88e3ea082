//! What an answer to an empty `POST /tools/invoke` says.

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Access;
use reqwest::header::CONTENT_ENCODING;
use serde_json::{Map, Value};

use crate::ask::Answer;
use crate::marks::marks;

/// Who gets in, by a gateway's own answer or by what somebody else says instead.
///
/// | answer | meaning |
/// |---|---|
/// | 400, message starts `tools.invoke requires` | open: past the check, and asked for a tool |
/// | 401, type `unauthorized` | required |
/// | 429, type `rate_limited` | required: too many wrong ones from here |
/// | 403, type `proxy_attribution_required` | refuses a proxy that it was not told of |
/// | other 401, 403, 407, and 3xx | fronted: somebody before it asks first |
/// | 408, other 429, 5xx but 501 | unknown: passing trouble, and anything may be behind it |
/// | anything else in the words or the form of a gateway | unknown: a version not known here |
/// | the rest | no gateway |
pub(crate) fn of(answer: &Answer) -> Access {
    let words = Words::of(answer);
    let marks = &marks().access;
    let kind = words.error("type");
    match answer.status {
        400 if words.error("message").is_some_and(|message| message.starts_with(&marks.open)) => Access::Open,
        401 if kind == Some(&marks.required) => Access::Required,
        429 if kind == Some(&marks.limited) => Access::Required,
        403 if kind == Some(&marks.refuses_proxy) => Access::RefusesProxy,
        300..=399 | 401 | 403 | 407 => Access::Fronted,
        400 if marks.certificate_wanted.iter().any(|page| words.text.contains(page)) => Access::Fronted,
        429 => unknown("limits how often it may be asked"),
        408 => unknown("gave up on the question before it had read it"),
        // It does not know the method at all (RFC 9110, section 15.6.2).
        501 => Access::NoGateway,
        status @ 500..=599 => unknown(&format!("answers with the error {status}")),
        _ if words.text.contains(&marks.likeness) => {
            unknown("speaks of tools as a gateway does, in words that this program does not know")
        }
        200..=299 | 400 | 422 => in_the_form_of_a_gateway(answer, &words),
        402..=499 => Access::NoGateway,
        status => unknown(&format!("answers with the status {status}, which means nothing")),
    }
}

/// Who gets in, by a refusal to speak WebSocket: a gateway speaks it with everybody but a proxy
/// that it was not told of, so whoever refuses in other words is none.
pub(crate) fn of_refusal(answer: &Answer) -> Access {
    match (of(answer), answer.status) {
        (Access::Unknown(_), 200..=299 | 400..=407 | 409..=428 | 430..=499) => Access::NoGateway,
        (Access::Open, _) => Access::NoGateway,
        (access, _) => access,
    }
}

/// Answers that an unknown version might give to a request that got in.
fn in_the_form_of_a_gateway(answer: &Answer, words: &Words) -> Access {
    if answer.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return unknown("answers in a coding that was not asked for");
    }
    if !answer.whole && words.text.trim_start().starts_with('{') {
        return unknown("answers with more than can be read");
    }
    let has = |key| words.object.contains_key(key);
    let tells_ok = words.object.get("ok").is_some_and(Value::is_boolean) && (has("result") || has("error"));
    let refuses_the_form =
        answer.status >= 400 && words.error("type").is_some() && words.error("message").is_some();
    if tells_ok || refuses_the_form {
        return unknown("answers in the form of a gateway, in words that this program does not know");
    }
    Access::NoGateway
}

fn unknown(detail: &str) -> Access {
    Access::Unknown(Blindness::malformed(detail))
}

/// A body as text, and as the JSON object that it may be.
struct Words {
    text: String,
    object: Map<String, Value>,
}

impl Words {
    fn of(answer: &Answer) -> Self {
        Self {
            text: String::from_utf8_lossy(&answer.body).into_owned(),
            object: serde_json::from_slice(&answer.body).unwrap_or_default(),
        }
    }

    /// A text within `error`, as every generation writes it.
    fn error(&self, key: &str) -> Option<&str> {
        self.object.get("error")?.get(key)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guardian_rules::fact::Transport;
    use proptest::prelude::*;
    use reqwest::header::HeaderMap;

    fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            transport: Transport::Plain,
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            whole: true,
        }
    }

    fn fixture(status: u16, name: &str) -> Access {
        let path = format!("{}/../fixtures/gateway/{name}", env!("CARGO_MANIFEST_DIR"));
        of(&answer(status, std::fs::read(path).unwrap()))
    }

    fn is_unknown(access: &Access) -> bool {
        matches!(access, Access::Unknown(_))
    }

    #[test]
    fn each_generation_that_lets_anyone_in_is_open() {
        assert_eq!(fixture(400, "invoke-open-2026.1.json"), Access::Open);
        assert_eq!(fixture(400, "invoke-open-2026.9.json"), Access::Open);
    }

    #[test]
    fn a_gateway_that_asks_for_credentials_or_has_had_too_many_wrong_ones_requires_them() {
        assert_eq!(fixture(401, "invoke-required.json"), Access::Required);
        assert_eq!(fixture(429, "invoke-limited.json"), Access::Required);
    }

    #[test]
    fn a_gateway_may_refuse_a_proxy() {
        assert_eq!(fixture(403, "invoke-refuses-proxy.json"), Access::RefusesProxy);
    }

    #[test]
    fn somebody_elses_lock_is_not_the_gateways() {
        assert_eq!(of(&answer(401, "<h1>401 Authorization Required</h1>")), Access::Fronted);
        assert_eq!(of(&answer(401, r#"{"error":{"type":"other"}}"#)), Access::Fronted);
        assert_eq!(of(&answer(403, "")), Access::Fronted);
        assert_eq!(of(&answer(407, "")), Access::Fronted);
        assert_eq!(of(&answer(302, "")), Access::Fronted);
        assert_eq!(
            of(&answer(400, "<center>No required SSL certificate was sent</center>")),
            Access::Fronted
        );
    }

    #[test]
    fn the_words_count_only_with_their_status() {
        assert!(is_unknown(&fixture(200, "invoke-open-2026.1.json")));
        assert!(is_unknown(&fixture(404, "invoke-open-2026.9.json")));
        assert_eq!(fixture(404, "invoke-required.json"), Access::NoGateway);
        assert_eq!(fixture(403, "invoke-required.json"), Access::Fronted);
    }

    #[test]
    fn trouble_is_no_answer() {
        for status in [408, 429, 500, 502, 503, 504, 599, 600, 999] {
            assert!(is_unknown(&of(&answer(status, "busy"))), "{status}");
        }
    }

    #[test]
    fn whoever_does_not_know_the_path_or_the_method_is_no_gateway() {
        for (status, body) in [
            (404, "Cannot POST /tools/invoke"),
            (404, r#"{"error":{"type":"not_found_error","message":"no such route"}}"#),
            (405, "Method Not Allowed"),
            (501, "Unsupported method ('POST')"),
            (200, "<!doctype html><title>Shop</title>"),
            (200, r#"{"error":"Unexpected endpoint or method. (POST /tools/invoke)"}"#),
            (200, r#"{"ok":true}"#),
            (204, ""),
            (400, "WebSockets request was expected"),
            (400, r#"{"error":"no handler found for uri [/tools/invoke]"}"#),
            (426, "Upgrade Required"),
        ] {
            assert_eq!(of(&answer(status, body)), Access::NoGateway, "{status} {body}");
        }
    }

    #[test]
    fn a_gateway_in_new_words_is_never_taken_for_none() {
        for (status, body) in [
            (400, r#"{"ok":false,"error":{"type":"invalid_request","message":"name is missing"}}"#),
            (422, r#"{"error":{"type":"invalid_request","message":"name: Required"}}"#),
            (200, r#"{"ok":false,"error":"no tool"}"#),
            (200, r#"{"ok":true,"result":[]}"#),
            (400, "tools.invoke: body expected"),
            (404, "tools.invoke has moved"),
        ] {
            assert!(is_unknown(&of(&answer(status, body))), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_to_speak_websocket_is_a_gateways_only_where_it_says_so() {
        assert_eq!(of_refusal(&answer(404, "Not Found")), Access::NoGateway);
        assert_eq!(of_refusal(&answer(200, r#"{"ok":true,"result":1}"#)), Access::NoGateway);
        assert_eq!(of_refusal(&answer(401, "")), Access::Fronted);
        let proxy = r#"{"error":{"type":"proxy_attribution_required"}}"#;
        assert_eq!(of_refusal(&answer(403, proxy)), Access::RefusesProxy);
        assert!(is_unknown(&of_refusal(&answer(502, ""))));
        assert!(is_unknown(&of_refusal(&answer(429, ""))));
    }

    #[test]
    fn a_body_that_cannot_be_read_is_not_taken_for_harmless() {
        let mut cut = answer(200, r#"{"filler":"xxxxxxxx"#);
        cut.whole = false;
        assert!(is_unknown(&of(&cut)));
        let mut packed = answer(400, [0x1f, 0x8b, 0x08]);
        packed.headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(is_unknown(&of(&packed)));
        let mut long = answer(200, "<html>".repeat(100));
        long.whole = false;
        assert_eq!(of(&long), Access::NoGateway, "a page, however long");
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(status in 100u16..1000, body in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = of(&answer(status, body));
        }

        #[test]
        fn only_a_400_with_the_very_words_is_open(status in 100u16..1000, message in "[a-z. ]{0,24}") {
            let body = serde_json::json!({"error": {"message": message, "type": "x"}}).to_string();
            prop_assert!(of(&answer(status, body)) != Access::Open || status == 400 && message.starts_with("tools.invoke requires"));
        }
    }
}
