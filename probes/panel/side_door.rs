//! Sockets of a gateway that answer beside its own.

use guardian_rules::fact::SideDoor;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::ask::targets::Target;
use crate::ask::{Answer, Heard, Question, ask_by};
use crate::marks::marks;

/// How much of the relay's name is read.
const NAME: usize = 4096;

/// The side door that an answer to `GET /` shows. The extension relay says too little there, and
/// is asked for its name.
pub(super) async fn behind(target: &Target, answer: &Answer) -> Option<SideDoor> {
    if let Some(door) = by_answer(answer) {
        return Some(door);
    }
    if !greets_like_a_relay(answer) {
        return None;
    }
    let question = Question { method: Method::GET, path: &marks().side_door.relay_path, limit: NAME };
    match ask_by(target, answer.transport, &question).await {
        Heard::Http(name) if names_a_relay(&name) => Some(SideDoor::ExtensionRelay),
        _ => None,
    }
}

pub(crate) fn by_answer(answer: &Answer) -> Option<SideDoor> {
    let marks = &marks().side_door;
    match answer.status {
        200 => serde_json::from_slice::<Map<String, Value>>(&answer.body)
            .ok()
            .filter(|object| object.contains_key(&marks.browser_control))
            .map(|_| SideDoor::BrowserControl),
        400 => {
            String::from_utf8_lossy(&answer.body).contains(&marks.inspector).then_some(SideDoor::Inspector)
        }
        _ => None,
    }
}

fn greets_like_a_relay(answer: &Answer) -> bool {
    answer.status == 200 && answer.whole && answer.body == marks().side_door.relay_greeting.as_bytes()
}

fn names_a_relay(answer: &Answer) -> bool {
    answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(&marks().side_door.relay_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guardian_rules::fact::Transport;
    use reqwest::header::HeaderMap;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            transport: Transport::Plain,
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            whole: true,
        }
    }

    #[test]
    fn browser_control_is_told_by_a_key_of_its_status() {
        let status = r#"{"enabled":true,"controlUrl":"http://127.0.0.1:18791","running":false}"#;
        assert_eq!(by_answer(&answer(200, status)), Some(SideDoor::BrowserControl));
        assert_eq!(by_answer(&answer(200, r#"{"enabled":true}"#)), None);
        assert_eq!(by_answer(&answer(200, "controlUrl")), None);
        assert_eq!(by_answer(&answer(404, status)), None);
    }

    #[test]
    fn the_inspector_is_told_by_its_refusal() {
        assert_eq!(by_answer(&answer(400, "WebSockets request was expected\r\n")), Some(SideDoor::Inspector));
        assert_eq!(by_answer(&answer(400, "Bad Request")), None);
    }

    #[test]
    fn the_relay_is_told_by_its_greeting_and_its_name_together() {
        assert!(greets_like_a_relay(&answer(200, "OK")));
        assert!(!greets_like_a_relay(&answer(200, "OK\n")), "many a health check says so");
        assert!(names_a_relay(&answer(
            200,
            r#"{"Browser":"OpenClaw/extension-relay","Protocol-Version":"1.3"}"#
        )));
        assert!(!names_a_relay(&answer(200, r#"{"Browser":"Chrome/140.0.0.0"}"#)));
    }
}
