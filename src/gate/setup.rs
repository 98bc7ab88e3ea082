//! What a gateway has to be told so that it goes well with the gate, and how a person does that.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::config::Config;
use crate::page::printable;

/// The settings of a gateway behind this gate, for its own configuration file.
pub(crate) fn gateway_settings(config: &Config) -> Value {
    let origins = origins(config);
    json!({
        "gateway": {
            "bind": "loopback",
            "trustedProxies": ["127.0.0.1"],
            "controlUi": { "allowedOrigins": origins }
        }
    })
}

/// The origins under which browsers see the panel through the gate.
fn origins(config: &Config) -> Vec<String> {
    let gate = &config.settings.gate;
    let scheme = if gate.tls.is_some() { "https" } else { "http" };
    let port = gate.listen.first().map_or(18700, SocketAddr::port);
    let host = |name: &String| {
        let name =
            if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.clone() };
        format!("{scheme}://{name}:{port}")
    };
    let mut origins: Vec<String> = gate.hosts.iter().map(host).chain(gate.origins.iter().cloned()).collect();
    origins.dedup();
    origins
}

/// Where the gate is asked by this machine.
pub(crate) fn address(config: &Config) -> Option<String> {
    origins(config).into_iter().next()
}

/// The same as a page for people. `files`: the configurations of the gateways that run here.
pub(crate) fn page(config: &Config, files: &[PathBuf]) -> String {
    let settings = serde_json::to_string_pretty(&gateway_settings(config)).unwrap_or_default();
    let mut page = String::from("Put this into the gateway's own configuration,\n");
    // Writing into a string cannot fail.
    for file in files {
        let _ = writeln!(page, "  {}", printable(&file.display().to_string()));
    }
    if files.is_empty() {
        page.push_str(
            "  ~/.openclaw/openclaw.json, or ~/.clawdbot/clawdbot.json, of the user that it runs as\n  \
             (no gateway runs here now whose file could be named),\n",
        );
    }
    page.push_str("beside the token or password that it asks for, and restart it:\n\n");
    for line in settings.lines() {
        let _ = writeln!(page, "  {line}");
    }
    page.push_str(
        "\ntrustedProxies lets the gateway know who is at the other end of the gate. Without it a\n\
         gateway of late 2026 answers 403 through any proxy, and older ones see everybody as local.\n\
         allowedOrigins lets the panel's page connect; gateways before 2026.2 do not know it:\n\
         leave it out there, for they refuse to start with a key that they do not know.\n\n\
         Then\n  \
         guardian gate passphrase        sets what people sign in with\n  \
         guardian gate totp on           asks for a code of an authenticator app too, if you want\n  \
         guardian token new NAME         makes a token for a program\n\n\
         as whoever has installed guardian: with sudo, if that was root. Then sign in at\n",
    );
    if let Some(origin) = address(config) {
        let _ = writeln!(page, "  {origin}/");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_gateways_that_run_here_are_named_and_without_any_the_usual_ones() {
        let config = Config::of_text(std::path::Path::new("/etc/guardian/guardian.toml"), "").unwrap();
        let named = page(&config, &[PathBuf::from("/home/ana/.openclaw/openclaw.json")]);
        assert!(named.contains("\n  /home/ana/.openclaw/openclaw.json\n") && !named.contains('~'), "{named}");
        let usual = page(&config, &[]);
        assert!(usual.contains("~/.openclaw/openclaw.json") && usual.contains("could be named"), "{usual}");
    }
}
