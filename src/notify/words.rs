//! Words that leave the program: short, printable, and without anything that could be a secret.
//!
//! What processes, files and people say of themselves ends up in findings and reasons. Notifications
//! are shown on locked screens and go to servers of others, so they are held to more than the page.

/// Letters and digits in a row as long as this, mixed, are taken for a key. The gateways' own tokens
/// are 48 characters long; 32 are 128 bits in hexadecimal.
const KEY: usize = 32;

/// What stands where something was taken out.
const HIDDEN: &str = "[hidden]";

/// Names whose value is nobody's business, in lower case.
const NAMES: [&str; 10] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "api-key",
    "api_key",
    "apikey",
    "authorization",
    "bearer",
];

/// A text in at most `limit` characters, on one line.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut words = Vec::new();
    let mut value_follows = false;
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
    for word in plain.split_whitespace() {
        let lower = word.to_ascii_lowercase();
        let scheme = lower == "bearer" || lower == "basic";
        if value_follows && !scheme {
            words.push(HIDDEN.to_owned());
            value_follows = false;
            continue;
        }
        value_follows = scheme || (is_named(&lower) && lower.ends_with([':', '=']));
        words.push(without_key(&without_value(&without_query(word))));
    }
    shortened(&words.join(" "), limit)
}

/// Neither a control character nor one that changes how its neighbours are shown.
fn is_plain(c: char) -> bool {
    let reorders_or_hides = matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !c.is_control() && !reorders_or_hides
}

/// Whether one of the names is in a word.
fn is_named(lower: &str) -> bool {
    NAMES.iter().any(|name| lower.contains(name))
}

/// An address without user, query and fragment.
fn without_query(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// `token=abc` without what follows the sign.
fn without_value(word: &str) -> String {
    // Lower case in ASCII keeps every byte in its place.
    let lower = word.to_ascii_lowercase();
    let first = NAMES.iter().filter_map(|name| lower.find(name)).min();
    let sign = first.and_then(|at| {
        let sign = lower.get(at..)?.find(['=', ':'])?;
        Some(at + sign + 1)
    });
    match sign.and_then(|end| word.split_at_checked(end)) {
        Some((name, value)) if !value.is_empty() => format!("{name}{HIDDEN}"),
        Some(_) | None => word.to_owned(),
    }
}

/// A word without runs of letters and digits that are too long to be words.
fn without_key(word: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '=');
    let mut text = String::new();
    for piece in word.split_inclusive(|c| !is_part(c)) {
        let run = piece.trim_end_matches(|c| !is_part(c));
        let mixed = run.chars().any(|c| c.is_ascii_digit()) && run.chars().any(|c| c.is_ascii_alphabetic());
        if run.len() >= KEY && mixed {
            text.push_str(HIDDEN);
            text.push_str(piece.get(run.len()..).unwrap_or_default());
        } else {
            text.push_str(piece);
        }
    }
    text
}

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_subjects_stay_as_they_are() {
        for text in [
            "0.0.0.0:18789",
            "[2001:db8::1]:18789",
            "openclaw-gateway (pid 812, user ana)",
            "/home/ana/.openclaw/openclaw.json",
            "bound-beyond-allowed at 192.168.77.2:18789",
            "https://a1b2-203-0-113-5.ngrok-free.app/",
            "not everything could be seen for 10s",
        ] {
            assert_eq!(clean(text, 100), text);
        }
    }

    #[test]
    fn what_could_be_a_secret_is_taken_out() {
        for text in [
            "node gateway --token=s3cr3t",
            "node gateway --token: s3cr3t",
            "Authorization: Bearer s3cr3t",
            "https://ana:s3cr3t@host/panel",
            "http://host/?token=s3cr3t",
            "OPENCLAW_GATEWAY_PASSWORD=s3cr3t",
            "http://host/#s3cr3t",
            "{\"token\":\"s3cr3t\"}",
        ] {
            let cleaned = clean(text, 200);
            assert!(!cleaned.contains("s3cr3t"), "{cleaned}");
        }
        let key = "0123456789abcdef".repeat(3);
        assert_eq!(clean(&format!("at {key}, twice"), 200), "at [hidden], twice");
    }

    #[test]
    fn characters_that_steer_terminals_or_turn_text_around_go() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{202e}d", 100), "a [2Jb c d");
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_short_line_without_the_key(text in ".{0,80}", limit in 1usize..60) {
            let cleaned = clean(&text, limit);
            prop_assert!(cleaned.chars().count() <= limit);
            prop_assert!(cleaned.chars().all(is_plain));
            let key = "f00d".repeat(12);
            let cleaned = clean(&format!("{text} {key} {text}"), 1000);
            prop_assert!(!cleaned.contains(&key));
        }
    }
}
