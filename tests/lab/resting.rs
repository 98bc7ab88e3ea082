//! A gateway that does not run is told by its configuration.

use std::net::Ipv4Addr;

use crate::daemon::Daemon;
use crate::decoy::Decoy;
use crate::host::User;
use crate::place::Place;
use crate::ready::Lab;

#[test]
fn the_status_notes_what_a_stopped_gateway_would_expose_until_that_is_mended() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let furnished = |ip: Ipv4Addr| Decoy { user: User::Ana, at: (ip, 18789).into() }.furnish(&place.host);
    furnished(Ipv4Addr::UNSPECIFIED);
    let daemon = Daemon::start(&place.host, User::Root, "");
    let noted = |status: &serde_json::Value| {
        let note = &status["at_rest"][0];
        note["subject"] == "/home/ana/.openclaw/openclaw.json"
            && note["evidence"].to_string().contains("gateway.bind")
    };
    let status = daemon.until("a note", noted);
    assert_eq!((&status["breaker"], &status["verdict"]), (&"closed".into(), &"safe".into()), "{status:#}");
    let (code, said) = daemon.guardian(User::Root, &["status"]);
    assert!(code == 0 && said.contains("Before you start a gateway"), "{code}: {said}");
    furnished(Ipv4Addr::LOCALHOST);
    daemon.until("no note", |status| status["at_rest"] == serde_json::json!([]));
}
