//! Whether `V2Ray` or Xray bring connections here from elsewhere: `reverse` in a configuration (v2fly.org, xtls.github.io).
//! Where they lead to is decided by rules that are not read here.

use crate::routes::Understood;

/// Where packages put it.
pub const USUAL: [&str; 5] = [
    "/usr/local/etc/v2ray/config.json",
    "/etc/v2ray/config.json",
    "/usr/local/etc/xray/config.json",
    "/etc/xray/config.json",
    "config.json",
];

/// A configuration that does not so much as speak of it brings nothing. A backslash can spell any letter of it otherwise.
#[must_use]
pub fn interpret(text: &str) -> Understood {
    let speaks_of_it = || text.contains('\\') || text.to_ascii_lowercase().contains("reverse");
    let whole = !text.trim().is_empty() && !speaks_of_it();
    Understood { instructions: Vec::new(), whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_configuration_without_a_reverse_brings_nothing() {
        assert!(interpret(r#"{"inbounds":[{"port":1080,"protocol":"socks"}],"outbounds":[]}"#).whole);
        assert!(!interpret(r#"{"reverse":{"bridges":[{"tag":"b","domain":"x.example"}]}}"#).whole);
        assert!(!interpret(r#"{"r\u0065verse":{"bridges":[{"tag":"b","domain":"x.example"}]}}"#).whole);
        assert!(!interpret("\"\\x72everse\": {}").whole);
        assert!(!interpret("").whole);
    }
}
