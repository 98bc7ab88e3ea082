//! What Tor publishes as an onion service: `HiddenServicePort` in a torrc (tor(1)). Other files
//! that it includes are not followed; services that a controller adds stand in no file.

use crate::routes::Understood;

/// Where packages put it.
pub const USUAL: [&str; 4] =
    ["/etc/tor/torrc", "/opt/homebrew/etc/tor/torrc", "/usr/local/etc/tor/torrc", "/opt/local/etc/tor/torrc"];

/// The onion services of a torrc.
#[must_use]
pub fn interpret(text: &str) -> Understood {
    let mut found = Understood { instructions: Vec::new(), whole: true };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else { continue };
        if keyword.eq_ignore_ascii_case("%include") {
            found.whole = false;
        }
        // A `+` before an option adds to what other files say of it.
        if !keyword.trim_start_matches('+').eq_ignore_ascii_case("HiddenServicePort") {
            continue;
        }
        // Without a target it is the same port of this host.
        let (public, told) = (words.next(), words.next());
        let target = told.or(public).unwrap_or_default().trim_matches('"');
        if target.starts_with("unix:") {
            continue;
        }
        found.carry("HiddenServicePort ", target);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<String>, bool) {
        let found = interpret(text);
        (found.instructions.into_iter().map(|it| it.text).collect(), found.whole)
    }

    #[test]
    fn onion_services_are_read() {
        let text = "SocksPort 9050\n HiddenServiceDir /var/lib/tor/panel/\n\
                    HiddenServicePort 80 127.0.0.1:18789 # the panel\nhiddenserviceport 22\n\
                    HiddenServicePort 81 unix:/run/x\n";
        let expected = ["HiddenServicePort 127.0.0.1:18789", "HiddenServicePort :22"];
        assert_eq!(told(text), (expected.map(str::to_owned).to_vec(), true));
    }

    #[test]
    fn a_torrc_of_a_mere_client_has_none() {
        assert_eq!(told("SocksPort 9050\n#HiddenServicePort 80 127.0.0.1:18789"), (vec![], true));
    }

    #[test]
    fn what_is_not_understood_leaves_it_unknown() {
        assert_eq!(told("%include /etc/torrc.d/*"), (vec![], false));
        assert_eq!(told("HiddenServicePort 80 somewhere"), (vec![], false));
        assert_eq!(told("HiddenServicePort"), (vec![], false));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "(HiddenServicePort|%include|[ \n#:.\"/]|[0-9.]{1,5}|unix:|é){0,40}") {
            let _ = interpret(&text);
        }
    }
}
