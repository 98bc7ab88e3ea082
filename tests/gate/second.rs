//! The second factor, as somebody with an authenticator app lives with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::house::{House, statuses};

const PASSPHRASE: &str = "correct horse battery";
const PAGE: &str = "GET /_guardian/sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// An app: RFC 6238, apart from the gate's own.
struct App(Vec<u8>);

impl App {
    fn code(&self, step: u64) -> String {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = ring::hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[19] & 15);
        let number = u32::from_be_bytes(tag[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}

fn step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// Turns codes on, and types `code` of them.
fn turn_on(house: &House, code: impl Fn(&App) -> String) -> (App, bool) {
    let mut command = house.command(&["gate", "totp", "on"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut turning = command.spawn().unwrap();
    let lines = BufReader::new(turning.stdout.take().unwrap()).lines();
    let mut secret = None;
    for line in lines {
        if let Some(found) = line.unwrap().trim().strip_prefix("secret: ") {
            let app = App(data_encoding::BASE32_NOPAD.decode(found.as_bytes()).unwrap());
            writeln!(turning.stdin.take().unwrap(), "{}", code(&app)).unwrap();
            secret = Some(app);
        }
    }
    let done = turning.wait().unwrap().success();
    (secret.unwrap(), done)
}

#[test]
fn with_codes_on_the_passphrase_alone_opens_nothing_and_a_code_is_good_once() {
    let house = House::new();
    let started = step();
    let session = house.sign_in(PASSPHRASE);
    assert!(!house.say(PAGE.as_bytes()).contains("one-time-code"));
    let (_, done) = turn_on(&house, |_| "000000".to_owned());
    assert!(
        !done && house.guardian(&["gate", "totp", "status"]).starts_with("Off"),
        "a wrong code locks nobody out"
    );

    let (app, done) = turn_on(&house, |app| app.code(step()));
    assert!(done && house.guardian(&["gate", "totp", "status"]).starts_with("On"));
    let confirmed = step();
    let page = house.say(PAGE.as_bytes());
    for told in ["autocomplete=\"one-time-code\"", "inputmode=\"numeric\""] {
        assert!(page.contains(told), "{page}");
    }
    let asked =
        format!("GET / HTTP/1.1\r\nHost: {}\r\nCookie: {session}\r\nConnection: close\r\n\r\n", house.door);
    assert_eq!(house.statuses(asked.as_bytes()), [401], "whoever signed in without a code is signed out");

    let passphrase = PASSPHRASE.replace(' ', "+");
    let alone = house.send_form(&format!("passphrase={passphrase}"));
    let neither = house.send_form("passphrase=wrong&code=000000");
    assert_eq!((statuses(&alone), statuses(&neither)), (vec![401], vec![401]));
    let plain = |answer: &str| {
        let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        let nonce = body.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        body.replace(&nonce, "")
    };
    assert_eq!(plain(&alone), plain(&neither), "nobody is told which of the two was wrong");

    // Neither the code that turned it on, nor one that a gate may have taken before this one started.
    let begun = Instant::now();
    while step() <= started || step() <= confirmed {
        assert!(begun.elapsed() < Duration::from_mins(2));
        sleep(Duration::from_millis(200));
    }
    let body = format!("passphrase={passphrase}&code={}", app.code(step() + 1));
    let right = house.send_form(&body);
    assert_eq!(statuses(&right), [303], "{right}");
    let again = house.send_form(&body);
    assert_eq!(statuses(&again), [401], "{again}");

    assert!(house.guardian(&["gate", "totp", "off"]).contains("not asked for any more"));
    assert_eq!(statuses(&house.send_form(&format!("passphrase={passphrase}"))), [303]);
}

#[test]
fn wrong_codes_are_slowed_down_like_wrong_passphrases() {
    let house = House::new();
    house.sign_in(PASSPHRASE);
    let (_, done) = turn_on(&house, |app| app.code(step()));
    assert!(done);
    let body = format!("passphrase={}&code=000000", PASSPHRASE.replace(' ', "+"));
    let said: Vec<u16> = (0..8).flat_map(|_| statuses(&house.send_form(&body))).collect();
    assert_eq!(said[..5], [401; 5]);
    assert!(said[5..].contains(&429), "{said:?}");
}
