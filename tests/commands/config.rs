//! `guardian config`: what has the watcher read its policy again.

use serde_json::json;

use crate::place::{Place, code, said, told};

#[test]
fn whoever_reloads_is_told_by_the_exit_code_whether_the_watcher_goes_by_the_policy() {
    for (reply, expected, parts) in [
        (json!("done"), 0, &["goes by the policy as it is written now"][..]),
        (
            json!({ "failed": "guardian.toml: line 3: unknown field `moed`" }),
            78,
            &["refused", "goes on by the one before", "line 3: unknown field `moed`", "try: mend it"],
        ),
        (json!({ "refused": "not-owner" }), 2, &["only the owner"]),
    ] {
        let place = Place::new();
        let asked = place.daemon(move |_| reply.clone());
        let output = place.guardian(&["config", "reload"]);
        let shown = said(&output) + &told(&output);
        assert_eq!(code(&output), expected, "{shown}");
        for part in parts {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(asked.lock().unwrap()[0]["ask"], "reload");
    }
    let place = Place::new();
    let asked = place.daemon(|_| json!("done"));
    assert_eq!(code(&place.guardian(&["config", "reload", "--accept-clock"])), 0);
    assert_eq!(asked.lock().unwrap()[0], json!({ "v": 1, "ask": "reload", "accept_clock": true }));
    let nobody = Place::new().guardian(&["config", "reload"]);
    assert_eq!(code(&nobody), 3, "{}", told(&nobody));
}
