//! Who gets a permit, and that nothing is asked out of order.

use std::time::Duration;

use proptest::prelude::*;

use super::super::secret::Fingerprint;
use super::*;

const NOW: Moment = Moment::after_boot(Duration::from_secs(100));

/// Books that write down what they were asked.
#[derive(Debug, Default)]
struct Notes {
    asked: Vec<&'static str>,
    broke: bool,
    known: bool,
}

impl Books for Notes {
    fn budget(&mut self, _: IpAddr, _: Shown<'_>, _: Moment) -> Result<(), Refusal> {
        self.asked.push("budget");
        if self.broke { Err(Refusal::Budget(Duration::from_secs(1))) } else { Ok(()) }
    }

    fn credential(&mut self, _: IpAddr, shown: Shown<'_>, _: Moment) -> Result<Caller, Refusal> {
        self.asked.push("credential");
        match shown {
            Shown::Nothing => Err(Refusal::Missing),
            _ if self.known => Ok(Caller::new(&"somebody".into(), Fingerprint::of("secret"))),
            _ => Err(Refusal::Wrong),
        }
    }
}

fn names() -> Names {
    Names::new(&["gate.test".to_owned()], &[])
}

fn lease(reach: Reach) -> Lease {
    Lease::new(reach, 7, NOW + Duration::from_millis(600))
}

/// A case: what is wrong with a request.
#[expect(clippy::struct_excessive_bools, reason = "each is wrong or not, by itself")]
#[derive(Debug, Clone, Copy, Default)]
struct Wrong {
    lease: bool,
    source: bool,
    host: bool,
    origin: bool,
    budget: bool,
    credential: bool,
}

fn outcome(wrong: Wrong) -> (Result<Permit, Refusal>, Vec<&'static str>) {
    let mut notes = Notes { broke: wrong.budget, known: !wrong.credential, ..Notes::default() };
    let ask = Ask {
        remote: if wrong.source { "203.0.113.9" } else { "127.0.0.1" }.parse().unwrap(),
        proxied: false,
        local: "127.0.0.1".parse().unwrap(),
        host: if wrong.host { "evil.test" } else { "gate.test" },
        origin: Some(if wrong.origin {
            "http://evil.test:1"
        } else if wrong.host {
            "http://evil.test"
        } else {
            "http://gate.test"
        }),
        unsafe_: true,
        worker: false,
        shown: Shown::Session("x"),
    };
    let lease = (!wrong.lease).then(|| lease(Reach::Allowed));
    let permit = admit(&ask, lease, &Allowlist::default(), &names(), &mut notes, NOW);
    (permit, notes.asked)
}

#[test]
fn a_request_with_everything_gets_a_permit_until_the_lease_ends() {
    let (permit, asked) = outcome(Wrong::default());
    let permit = permit.unwrap();
    assert_eq!(&*permit.caller().name, "somebody");
    assert_eq!(asked, ["budget", "credential"]);
}

#[test]
fn half_open_is_for_loopback_alone() {
    for (remote, reach, through) in [
        ("127.0.0.1", Reach::Loopback, true),
        ("::1", Reach::Loopback, true),
        ("::ffff:127.0.0.1", Reach::Loopback, true),
        ("100.64.0.9", Reach::Loopback, false),
        ("100.64.0.9", Reach::Allowed, true),
    ] {
        let lease = vouched(Some(lease(reach)), remote.parse().unwrap(), NOW);
        assert_eq!(lease.is_some(), through, "{remote} {reach:?}");
    }
}

#[test]
fn half_open_is_not_for_whoever_is_behind_a_proxy_on_this_host() {
    let through = |proxied, reach| {
        let ask = Ask {
            remote: "127.0.0.1".parse().unwrap(),
            proxied,
            local: "127.0.0.1".parse().unwrap(),
            host: "gate.test",
            origin: None,
            unsafe_: false,
            worker: false,
            shown: Shown::Token("x"),
        };
        let mut notes = Notes { known: true, ..Notes::default() };
        admit(&ask, Some(lease(reach)), &Allowlist::default(), &names(), &mut notes, NOW).is_ok()
    };
    assert!(through(false, Reach::Loopback) && through(true, Reach::Allowed));
    assert!(!through(true, Reach::Loopback));
}

#[test]
fn a_lease_that_has_ended_is_none() {
    let here = "127.0.0.1".parse().unwrap();
    assert!(vouched(Some(lease(Reach::Allowed)), here, NOW + Duration::from_millis(599)).is_some());
    assert!(vouched(Some(lease(Reach::Allowed)), here, NOW + Duration::from_millis(600)).is_none());
    assert!(vouched(None, here, NOW).is_none());
}

#[test]
fn whoever_shows_a_session_says_where_an_unsafe_request_comes_from() {
    let ask = |origin, unsafe_, shown| {
        let ask = Ask {
            remote: "127.0.0.1".parse().unwrap(),
            proxied: false,
            local: "127.0.0.1".parse().unwrap(),
            host: "gate.test",
            origin,
            unsafe_,
            worker: false,
            shown,
        };
        greet(&ask, &Allowlist::default(), &names(), &mut Notes::default(), NOW)
    };
    let (session, token) = (Shown::Session("x"), Shown::Token("x"));
    assert_eq!(ask(None, false, session), Ok(()));
    assert_eq!(ask(None, true, session), Err(Refusal::Origin));
    assert_eq!(ask(None, true, token), Ok(()));
    assert_eq!(ask(Some("http://evil.test"), true, token), Err(Refusal::Origin));
    assert_eq!(ask(Some("http://evil.test"), false, session), Err(Refusal::Origin));
    assert_eq!(ask(Some("null"), true, session), Err(Refusal::Origin));
}

proptest! {
    /// The first thing that is wrong is what is said, and nothing after it is asked.
    #[test]
    fn the_first_thing_that_is_wrong_decides(
        lease: bool, source: bool, host: bool, origin: bool, budget: bool, credential: bool,
    ) {
        let wrong = Wrong { lease, source, host, origin, budget, credential };
        let (permit, asked) = outcome(wrong);
        let expected = match wrong {
            Wrong { lease: true, .. } => Some(("blocked", 0)),
            Wrong { source: true, .. } => Some(("source", 0)),
            Wrong { host: true, .. } => Some(("host", 0)),
            Wrong { origin: true, .. } => Some(("origin", 0)),
            Wrong { budget: true, .. } => Some(("budget", 1)),
            Wrong { credential: true, .. } => Some(("wrong-credential", 2)),
            _ => None,
        };
        prop_assert_eq!(permit.as_ref().err().map(|refusal| refusal.word()), expected.map(|(word, _)| word));
        prop_assert_eq!(asked.len(), expected.map_or(2, |(_, count)| count));
    }
}

#[test]
fn the_panel_gets_no_service_worker() {
    let ask = Ask {
        remote: "127.0.0.1".parse().unwrap(),
        proxied: false,
        local: "127.0.0.1".parse().unwrap(),
        host: "gate.test",
        origin: None,
        unsafe_: false,
        worker: true,
        shown: Shown::Token("x"),
    };
    let greeted = |ask: &Ask<'_>| greet(ask, &Allowlist::default(), &names(), &mut Notes::default(), NOW);
    assert_eq!(greeted(&ask), Err(Refusal::Worker));
    assert_eq!(greeted(&Ask { worker: false, ..ask }), Ok(()));
}
