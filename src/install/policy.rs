//! A first policy that fits the machine it is for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use guardian_rules::policy::USUAL_PORT;

/// The text of `guardian.toml`. `gateways` are those found: what they are called, and their ports.
pub(crate) fn text(gateways: &[(String, u16)]) -> String {
    let mut text = String::from(
        "# Guardian's policy, written by `guardian install`. An upgrade does not touch it.\n\
         # All settings: `guardian config show`; what they mean: docs/operations.md. After a change:\n\
         # `guardian config reload`, and for [gate] restart the gate.\n\n\
         mode = \"enforce\"        # \"observe\" judges and tells, and changes nothing\n\
         enforce = \"isolate\"     # cut the gateway off; \"stop\" stops it\n\n\
         # Users who may recover and close, besides root, and whom the packet filter lets through to the\n\
         # gateway on loopback. Not the one that the agent runs as.\n\
         owners = []\n\n[gateway]\n",
    );
    for (name, port) in gateways {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# Found: {} at port {port}.", printable(name));
    }
    let found: BTreeSet<u16> = gateways.iter().map(|(_, port)| *port).collect();
    let led_to = leads_to(gateways);
    let ports: Vec<String> =
        found.iter().chain(found.is_empty().then_some(&led_to)).map(u16::to_string).collect();
    let _ = write!(
        text,
        "ports = [{}]\n\n[gate]\nlisten = [\"127.0.0.1:18700\"]\n\
         # The gateway that the gate leads to: it is shown your credentials.\n\
         gateway = \"127.0.0.1:{led_to}\"\n",
        ports.join(", ")
    );
    text
}

/// The port of the gateway that the gate leads to. Where several were found the owner has to look.
pub(crate) fn leads_to(gateways: &[(String, u16)]) -> u16 {
    let usual = gateways.iter().find(|(_, port)| *port == USUAL_PORT);
    usual.or_else(|| gateways.iter().min_by_key(|(_, port)| *port)).map_or(USUAL_PORT, |(_, port)| *port)
}

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
            // The usual port is free: whoever binds it is nobody to lead people to.
            (vec![("OpenClaw".to_owned(), 20000)], vec![20000]),
            (vec![("OpenClaw".to_owned(), 18789)], vec![18789]),
            (
                vec![("Moltbot\nports = []".to_owned(), 20000), ("OpenClaw".to_owned(), 18789)],
                vec![18789, 20000],
            ),
        ] {
            let text = text(&found);
            let config = Config::of_text(Path::new("guardian.toml"), &text).unwrap();
            assert_eq!(config.settings.gateway.ports, ports, "{text}");
            let led_to = if ports.contains(&18789) { 18789 } else { 20000 };
            assert_eq!(
                config.gate_upstream(),
                std::net::SocketAddr::from(([127, 0, 0, 1], led_to)),
                "{text}"
            );
        }
    }
}
