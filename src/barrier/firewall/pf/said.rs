//! What pfctl(8) says.

use super::ANCHOR;

/// What `pfctl` printed cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Garbled(&'static str);

/// `pfctl -s info`: whether pf is enabled.
pub(crate) fn enabled(text: &str) -> Result<bool, Garbled> {
    let status = text.lines().find_map(|line| line.trim().strip_prefix("Status: "));
    match status.and_then(|status| status.split_whitespace().next()) {
        Some("Enabled") => Ok(true),
        Some("Disabled") => Ok(false),
        _ => Err(Garbled("it does not say whether it is enabled")),
    }
}

/// `pfctl -s rules`: the rules, a line each.
pub(crate) fn rules(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The main ruleset asks our anchor, for every packet.
pub(crate) fn attached(main: &str) -> bool {
    let ours = format!("anchor \"{ANCHOR}\" all");
    rules(main).contains(&ours)
}

/// `pfctl -E`: the token of the reference. It is printed on standard error.
pub(crate) fn token(text: &str) -> Result<String, Garbled> {
    const LONGEST: usize = 20;
    let number = text.lines().find_map(|line| {
        let (name, number) = line.split_once(':')?;
        (name.trim() == "Token").then(|| number.trim().to_owned())
    });
    number.filter(|it| is_token(it) && it.len() <= LONGEST).ok_or(Garbled("it does not tell a token"))
}

/// `pfctl -s References`: whether a token is among them.
pub(crate) fn holds(text: &str, token: &str) -> bool {
    is_token(token) && text.lines().any(|line| line.split_whitespace().any(|word| word == token))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_status_is_told_before_the_rest() {
        let text = "No ALTQ support in kernel\nALTQ related functions disabled\n\
                    Status: Enabled for 0 days 00:12:34           Debug: Urgent\n\nState Table\n";
        assert!(enabled(text).unwrap());
        assert!(!enabled(&text.replace("Enabled for 0 days 00:12:34", "Disabled")).unwrap());
        assert!(enabled("pfctl: /dev/pf: Permission denied").is_err());
    }

    #[test]
    fn only_an_anchor_of_our_name_that_sees_every_packet_counts() {
        let main = "scrub-anchor \"com.apple/*\" all fragment reassemble\nanchor \"com.apple/*\" all\n";
        assert!(!attached(main));
        assert!(attached(&format!("{main}anchor \"com.guardian\" all\n")));
        assert!(!attached(&format!("{main}anchor \"com.guardian\" on en0 all\n")));
        assert!(!attached(&format!("{main}anchor \"com.guardian2\" all\n")));
    }

    #[test]
    fn a_token_is_a_number() {
        let text = "No ALTQ support in kernel\nALTQ related functions disabled\npf enabled\nToken : 17446744073709551615\n";
        assert_eq!(token(text).unwrap(), "17446744073709551615");
        assert!(token("pf enabled\n").is_err());
        assert!(token("Token : -F all\n").is_err());
        assert!(token("Token :\n").is_err());
    }

    #[test]
    fn a_reference_is_found_by_its_whole_token() {
        let text = "TOKENS:\nPID      Process Name     TOKEN                    TIMESTAMP\n\
                    812      pfctl            17446744073709551615     0 days 00:00:42\n";
        assert!(holds(text, "17446744073709551615"));
        assert!(!holds(text, "1744674407370955161"));
        assert!(!holds(text, ""));
        assert!(!holds(text, "pfctl"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_breaks_the_readers(text in "\\PC*", noise in "(Status: |Token :|anchor|[ \n0-9a-z\"])*") {
            for text in [text, noise] {
                let _ = (enabled(&text), attached(&text), token(&text), holds(&text, "1"));
            }
        }
    }
}
