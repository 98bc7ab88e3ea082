//! Arguments as a report may carry them: few, short, and without secrets.

/// Arguments kept of one process.
const MAX_ARGUMENTS: usize = 48;

/// Characters kept of one argument.
const MAX_LENGTH: usize = 160;

/// What stands in place of a secret.
const HIDDEN: &str = "[hidden]";

/// The arguments, cut to a length that a person can read; values of options that are named after a
/// secret are left out.
#[must_use]
pub fn shortened(argv: &[String]) -> Vec<String> {
    let mut hide_next = false;
    argv.iter()
        .take(MAX_ARGUMENTS)
        .map(|argument| {
            if std::mem::take(&mut hide_next) {
                return HIDDEN.to_owned();
            }
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (argument.as_str(), None),
            };
            if names_a_secret(option) {
                match value {
                    Some(_) => return format!("{}={HIDDEN}", cut(option)),
                    None => hide_next = option.starts_with('-'),
                }
            }
            cut(&without_userinfo(argument))
        })
        .collect()
}

fn names_a_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["token", "password", "passwd", "passphrase", "secret", "apikey", "api-key", "api_key", "credential"]
        .iter()
        .any(|word| option.contains(word))
}

/// A URL without the user and password in it.
fn without_userinfo(argument: &str) -> String {
    let Some((scheme, rest)) = argument.split_once("://") else { return argument.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((userinfo, _)) => {
            let rest = rest.strip_prefix(userinfo).unwrap_or(rest);
            format!("{scheme}://{HIDDEN}{rest}")
        }
        None => argument.to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(argv: &[&str]) -> Vec<String> {
        shortened(&argv.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn secrets_in_arguments_are_left_out() {
        assert_eq!(
            of(&["cloudflared", "tunnel", "run", "--token", "eyJh", "--url", "http://localhost:18789"]),
            ["cloudflared", "tunnel", "run", "--token", HIDDEN, "--url", "http://localhost:18789"]
        );
        assert_eq!(of(&["x", "--authtoken=abc"]), ["x", "--authtoken=[hidden]"]);
        assert_eq!(of(&["x", "PASSWORD=abc"]), ["x", "PASSWORD=[hidden]"]);
        assert_eq!(of(&["x", "http://ana:pw@host/p"]), ["x", "http://[hidden]@host/p"]);
    }

    #[test]
    fn long_arguments_are_cut_between_characters() {
        let long = "é".repeat(1000);
        let kept = of(&["x", &long]);
        assert_eq!(kept[1].chars().count(), MAX_LENGTH + 1);
        assert_eq!(of(&["x"; 1000]).len(), MAX_ARGUMENTS);
    }

    proptest::proptest! {
        #[test]
        fn any_arguments_can_be_shortened(argv in proptest::collection::vec(".{0,200}|--token|a://b@c", 0..60)) {
            let argv: Vec<String> = argv;
            proptest::prop_assert!(shortened(&argv).len() <= MAX_ARGUMENTS);
        }
    }
}
