//! A first policy that fits the machine it is for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The text of `guardian.toml`. `gateways` are those found: what they are called, and their ports.
pub(crate) fn text(gateways: &[(String, u16)]) -> String {
    let mut text = String::from(
        "# Guardian's policy, written by `guardian install`. An upgrade does not touch it.\n\
         # All settings: `guardian config show`; what they mean: docs/operations.md. After a change:\n\
         # `guardian config check`, then `systemctl reload guardian`, and for [gate] restart the gate.\n\n\
         mode = \"enforce\"        # \"observe\" judges and tells, and changes nothing\n\
         enforce = \"isolate\"     # cut the gateway off; \"stop\" stops it\n\n\
         # Users who may recover and close, besides root, and whom the packet filter lets through to the\n\
         # gateway on loopback. Not the one that the agent runs as.\n\
         owners = []\n\n[gateway]\n",
    );
    let ports: BTreeSet<u16> = gateways.iter().map(|(_, port)| *port).chain([DEFAULT_PORT]).collect();
    for (name, port) in gateways {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# Found: {} at port {port}.", printable(name));
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let _ = write!(text, "ports = [{}]\n\n[gate]\nlisten = [\"127.0.0.1:18700\"]\n", ports.join(", "));
    text
}

/// Where gateways listen that were not told otherwise.
const DEFAULT_PORT: u16 = 18789;

/// A comment ends with its line.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_written_is_a_policy_that_names_the_gateways_found() {
        for (found, ports) in [
            (vec![], vec![18789]),
            (vec![("OpenClaw".to_owned(), 18789)], vec![18789]),
            (
                vec![("Moltbot\nports = []".to_owned(), 20000), ("OpenClaw".to_owned(), 18789)],
                vec![18789, 20000],
            ),
        ] {
            let text = text(&found);
            let config = Config::of_text(Path::new("guardian.toml"), &text).unwrap();
            assert_eq!(config.settings.gateway.ports, ports, "{text}");
        }
    }
}
