//! Frames of a gateway's WebSocket, as far as a stranger needs them.

use serde::Deserialize;
use serde_json::json;

use crate::marks::marks;

/// A protocol that does not exist.
const NONE: u32 = 999;

/// The id of every request; each connection has one.
const ID: &str = "guardian-1";

/// What a gateway says to a request for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Let in.
    Welcome,
    /// Not in this protocol, but in that.
    Generation(u32),
    /// Not without a paired device.
    Unpaired,
    /// Not without the right credentials.
    Unauthorized,
    /// The request is not in a form that it knows.
    Malformed,
    /// Something else.
    Other,
}

/// Whether this is a gateway's first frame.
pub(crate) fn is_challenge(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Event {
        r#type: String,
        event: String,
    }
    serde_json::from_str::<Event>(text)
        .is_ok_and(|frame| frame.r#type == "event" && frame.event == marks().handshake.challenge)
}

/// What a response to a request for a connection says; none if this is no response to it.
pub(crate) fn response(text: &str) -> Option<Word> {
    #[derive(Deserialize)]
    struct Response {
        r#type: String,
        id: String,
        ok: bool,
        #[serde(default)]
        error: Failure,
    }
    #[derive(Deserialize, Default)]
    struct Failure {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        details: serde_json::Value,
    }
    let response: Response = serde_json::from_str(text).ok()?;
    if response.r#type != "res" || response.id != ID {
        return None;
    }
    if response.ok {
        return Some(Word::Welcome);
    }
    let Failure { code, message, details } = response.error;
    let expected = details.get("expectedProtocol").and_then(serde_json::Value::as_u64);
    Some(if let Some(generation) = expected.and_then(|number| u32::try_from(number).ok()) {
        Word::Generation(generation)
    } else if code == "NOT_PAIRED" {
        Word::Unpaired
    } else if message.starts_with("unauthorized") {
        Word::Unauthorized
    } else if message.starts_with("invalid connect params") {
        Word::Malformed
    } else {
        Word::Other
    })
}

/// Asks for a connection in a protocol that does not exist: the refusal names the one that does.
pub(crate) fn asking_generation(client: &str) -> String {
    json!({
        "type": "req", "id": ID, "method": "connect",
        "params": {
            "minProtocol": NONE, "maxProtocol": NONE,
            "client": client_block(client, "probe"),
        },
    })
    .to_string()
}

/// Asks generation 3 for a connection with a token that nobody has, which a gateway without
/// authentication does not look at. Without a token it tells every stranger to pair a device.
pub(crate) fn asking_in_as_of_3(token: &str) -> String {
    json!({
        "type": "req", "id": ID, "method": "connect",
        "params": {
            "minProtocol": 3, "maxProtocol": 3,
            "client": client_block("cli", "cli"),
            "auth": { "token": token },
        },
    })
    .to_string()
}

/// Asks generation 4 for a connection as its own back ends do, without credentials.
pub(crate) fn asking_in_as_of_4() -> String {
    json!({
        "type": "req", "id": ID, "method": "connect",
        "params": {
            "minProtocol": 4, "maxProtocol": 4,
            "client": client_block("gateway-client", "backend"),
            "role": "operator", "scopes": [],
        },
    })
    .to_string()
}

fn client_block(id: &str, mode: &str) -> serde_json::Value {
    json!({ "id": id, "version": crate::USER_AGENT, "platform": std::env::consts::OS, "mode": mode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixture(name: &str) -> String {
        let path = format!("{}/../fixtures/gateway/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_first_frame_of_every_generation_is_known() {
        assert!(is_challenge(&fixture("challenge-2026.1.json")));
        assert!(is_challenge(&fixture("challenge-2026.9.json")));
        assert!(!is_challenge(r#"{"type":"connected"}"#));
        assert!(!is_challenge(r#"{"type":"event","event":"tick"}"#));
        assert!(!is_challenge("connect.challenge"));
    }

    #[test]
    fn the_refusal_of_a_protocol_names_the_generation() {
        assert_eq!(response(&fixture("mismatch-2026.1.json")), Some(Word::Generation(3)));
        assert_eq!(response(&fixture("mismatch-2026.9.json")), Some(Word::Generation(4)));
    }

    #[test]
    fn welcomes_and_refusals_are_told_apart() {
        assert_eq!(response(&fixture("welcome.json")), Some(Word::Welcome));
        assert_eq!(response(&fixture("not-paired.json")), Some(Word::Unpaired));
        assert_eq!(response(&fixture("token-mismatch.json")), Some(Word::Unauthorized));
        assert_eq!(response(&fixture("invalid-params.json")), Some(Word::Malformed));
    }

    #[test]
    fn what_is_no_response_to_the_request_says_nothing() {
        for text in
            ["", "null", "[]", r#"{"type":"event","event":"tick"}"#, r#"{"type":"res","id":"x","ok":true}"#]
        {
            assert_eq!(response(text), None, "{text}");
        }
        let odd =
            r#"{"type":"res","id":"guardian-1","ok":false,"error":{"details":{"expectedProtocol":-1}}}"#;
        assert_eq!(response(odd), Some(Word::Other));
    }

    #[test]
    fn no_request_carries_a_device_or_names_a_scope() {
        for request in [asking_generation("openclaw-probe"), asking_in_as_of_3("x"), asking_in_as_of_4()] {
            assert!(!request.contains("device") && !request.contains("operator."), "{request}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = (is_challenge(&text), response(&text));
        }

        #[test]
        fn any_response_is_read(
            ok in any::<bool>(), code in any::<String>(), message in any::<String>(), expected in any::<i64>(),
        ) {
            let text = json!({
                "type": "res", "id": ID, "ok": ok,
                "error": { "code": code, "message": message, "details": { "expectedProtocol": expected } },
            });
            prop_assert!(response(&text.to_string()).is_some());
        }
    }
}
