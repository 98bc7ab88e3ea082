//! The protocol as text, and both of its parsers on garbage.

use proptest::prelude::*;

use super::*;

#[test]
fn questions_are_spelled_as_other_programs_may_spell_them() {
    for (text, expected) in [
        (r#"{"v":1,"ask":"status"}"#, Question::Status),
        (r#"{"ask":"watch","v":1,"later":[1]}"#, Question::Watch),
        (r#"{"v":1,"ask":"notices"}"#, Question::Notices),
        (r#"{"v":1,"ask":"lease"}"#, Question::Lease),
        (r#"{"v":1,"ask":"trip","reason":" a\nhunch "}"#, Question::Trip { reason: "a hunch".to_owned() }),
        (r#"{"v":1,"ask":"trip"}"#, Question::Trip { reason: String::new() }),
        (r#"{"v":1,"ask":"review"}"#, Question::Review),
        (r#"{"v":1,"ask":"recover"}"#, Question::Recover { passphrase: None, code: None }),
        (r#"{"v":1,"ask":"close"}"#, Question::Close { passphrase: None, code: None }),
        (
            r#"{"v":1,"ask":"close","passphrase":"x"}"#,
            Question::Close { passphrase: Some(Passphrase("x".to_owned())), code: None },
        ),
        (
            r#"{"v":1,"ask":"recover","passphrase":"x","code":"123456"}"#,
            Question::Recover {
                passphrase: Some(Passphrase("x".to_owned())),
                code: Some(Passphrase("123456".to_owned())),
            },
        ),
        (r#"{"v":1,"ask":"reload"}"#, Question::Reload { accept_clock: false }),
        (r#"{"v":1,"ask":"reload","accept_clock":true}"#, Question::Reload { accept_clock: true }),
    ] {
        assert_eq!(question(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn another_version_is_told_apart_from_nonsense() {
    for (text, kind) in [
        (r#"{"v":2,"ask":"status"}"#, Kind::Version),
        (r#"{"v":"1","ask":"status"}"#, Kind::Version),
        (r#"{"ask":"status"}"#, Kind::Version),
        ("[]", Kind::Version),
        (r#"{"v":1}"#, Kind::Malformed),
        (r#"{"v":1,"ask":"open-sesame"}"#, Kind::Malformed),
        (r#"{"v":1,"ask":"trip","reason":7}"#, Kind::Malformed),
        ("GET / HTTP/1.1", Kind::Malformed),
        ("", Kind::Malformed),
    ] {
        assert_eq!(question(text.as_bytes()).unwrap_err().kind, kind, "{text}");
    }
}

#[test]
fn answers_are_spelled_as_other_programs_may_read_them() {
    let text = |reply: Reply| String::from_utf8(answer_line(&reply)).unwrap();
    assert_eq!(text(Reply::Done), "{\"v\":1,\"ok\":\"done\"}\n");
    assert_eq!(text(Reply::AlreadySo), "{\"v\":1,\"ok\":\"already-so\"}\n");
    assert_eq!(
        text(Reply::Refused(Refusal::TooEarly { safe: 1, wanted: 3 })),
        "{\"v\":1,\"ok\":{\"refused\":{\"too-early\":{\"safe\":1,\"wanted\":3}}}}\n"
    );
    let value: Value = serde_json::from_slice(&Failure::new(Kind::Busy, "later").line()).unwrap();
    assert_eq!(value, serde_json::json!({ "v": 1, "error": { "kind": "busy", "said": "later" } }));
}

#[test]
fn a_revoked_lease_is_an_answer_and_not_the_lack_of_one() {
    assert_eq!(answer_line(&None::<u8>), b"{\"v\":1,\"ok\":null}\n");
    assert_eq!(frame::<Option<u8>>(br#"{"v":1,"ok":null}"#), Ok(Frame::Ok(None)));
    assert_eq!(frame::<Option<u8>>(&alive_line()), Ok(Frame::Alive));
    assert!(frame::<Option<u8>>(br#"{"v":1}"#).is_err());
    assert!(frame::<Option<u8>>(br#"{"v":2,"ok":null}"#).is_err());
}

#[test]
fn a_kind_of_a_later_version_is_still_a_failure() {
    let Ok(Frame::Error(failure)) = frame::<u8>(br#"{"v":1,"error":{"kind":"novel","said":"no"}}"#) else {
        panic!("it is a failure");
    };
    assert_eq!((failure.kind, failure.said.as_str()), (Kind::Unknown, "no"));
}

#[test]
fn an_answer_that_is_too_long_is_a_failure_instead() {
    let line = answer_line(&"x".repeat(LONGEST_ANSWER));
    assert!(matches!(frame::<String>(&line), Ok(Frame::Error(Failure { kind: Kind::TooLong, .. }))));
}

proptest! {
    #[test]
    fn any_bytes_are_a_question_or_a_failure(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = question(&bytes);
        let _ = frame::<crate::status::Status>(&bytes);
        let _ = frame::<Reply>(&bytes);
    }

    #[test]
    fn any_json_is_a_question_or_a_failure(
        key in "v|ask|reason|ok|error|kind",
        ask in "status|trip|watch|[a-z]{0,9}",
        text in "\\PC{0,60}",
        version in any::<i64>(),
    ) {
        let value = serde_json::json!({ "v": version, "ask": ask, key: text });
        let bytes = serde_json::to_vec(&value).unwrap();
        let _ = question(&bytes);
        let _ = frame::<Reply>(&bytes);
        let _ = frame::<NoticeLine>(&bytes);
    }

    #[test]
    fn every_reason_arrives_as_one_bounded_line(reason in any::<String>()) {
        let line = question_line(&Question::from(Ask::Trip { reason }));
        prop_assert!(line.len() <= LONGEST_QUESTION);
        let Ok(Question::Trip { reason }) = question(&line[..line.len() - 1]) else {
            panic!("it is a question");
        };
        prop_assert!(reason.chars().count() <= LONGEST_REASON && !reason.contains(char::is_control));
    }
}
