//! What frp's client is told to carry: the proxies of its configuration, in TOML or JSON, or in the
//! INI of older versions. YAML is left unknown, and so is what templates leave open.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::routes::Understood;
use crate::routes::argument::Instruction;
use crate::routes::target::Target;

/// Where it looks unless told otherwise, and where packages put it.
pub const USUAL: [&str; 4] = ["frpc.ini", "frpc.toml", "/etc/frp/frpc.toml", "/etc/frp/frpc.ini"];

/// Ports of one range; more are left unknown.
const MAX_RANGE: u16 = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    proxies: Vec<Proxy>,
    #[serde(default)]
    start: Vec<String>,
    #[serde(default)]
    includes: Vec<String>,
    /// Proxies that are added while it runs.
    store: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proxy {
    #[serde(default)]
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(rename = "localIP")]
    local_ip: Option<String>,
    local_port: Option<u16>,
    plugin: Option<Plugin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plugin {
    #[serde(rename = "type", default)]
    kind: String,
    local_addr: Option<String>,
}

/// The proxies of a client.
#[must_use]
pub fn interpret(text: &str) -> Understood {
    if text.lines().any(|line| line.trim() == "[common]") {
        return ini(text);
    }
    let read = toml::from_str::<File>(text).ok().or_else(|| serde_json::from_str(text).ok());
    let Some(file) = read else { return Understood::default() };
    let whole = file.includes.is_empty() && file.store.is_none();
    let mut found = Understood { instructions: Vec::new(), whole };
    let started = |proxy: &&Proxy| file.start.is_empty() || file.start.contains(&proxy.name);
    for proxy in file.proxies.iter().filter(started) {
        let plugin = proxy.plugin.as_ref().map(|it| (it.kind.as_str(), it.local_addr.as_deref()));
        let ports: Option<Vec<u16>> = proxy.local_port.map(|port| vec![port]);
        add(&mut found, &proxy.kind, proxy.local_ip.as_deref(), ports.as_deref(), plugin);
    }
    found
}

/// A proxy with one port or several, or with a plugin in their place.
fn add(
    found: &mut Understood,
    kind: &str,
    ip: Option<&str>,
    ports: Option<&[u16]>,
    plugin: Option<(&str, Option<&str>)>,
) {
    match (plugin, ports) {
        _ if kind.ends_with("udp") => {}
        (Some((_, Some(address))), _) => found.carry("localAddr = ", address),
        (Some(("static_file" | "unix_domain_socket", None)), _) => {}
        // A proxy for every destination, a network, or something new.
        (Some(_), _) | (None, None) => found.whole = false,
        (None, Some(ports)) => {
            for port in ports {
                let host = ip.filter(|ip| !ip.is_empty()).unwrap_or("127.0.0.1").to_owned();
                let target = Target { host, port: *port };
                let text = format!("localPort = {port}");
                found.instructions.push(Instruction { listens: Vec::new(), target, text });
            }
        }
    }
}

/// Sections with `key = value`; the name of a section is that of its proxy.
fn ini(text: &str) -> Understood {
    let mut sections: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name, Vec::new()));
        } else if let (Some((key, value)), Some((_, values))) = (line.split_once('='), sections.last_mut()) {
            values.push((key.trim(), value.trim()));
        }
    }
    let value = |values: &[(&str, &str)], key: &str| -> Option<String> {
        values.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
    };
    let common: Vec<(&str, &str)> = sections
        .iter()
        .filter(|(name, _)| *name == "common")
        .flat_map(|(_, values)| values.clone())
        .collect();
    let mut found = Understood { instructions: Vec::new(), whole: value(&common, "includes").is_none() };
    let start = value(&common, "start").filter(|start| !start.is_empty());
    let started = |name: &str| {
        start.as_ref().is_none_or(|start| start.split(',').any(|started| started.trim() == name))
    };
    for (name, values) in &sections {
        let get = |key| value(values, key);
        if *name == "common" || get("role").as_deref() == Some("visitor") || !started(name) {
            continue;
        }
        let kind = get("type").unwrap_or_else(|| "tcp".to_owned());
        let (plugin, address) = (get("plugin"), get("plugin_local_addr"));
        let plugin = plugin.as_deref().map(|plugin| (plugin, address.as_deref()));
        let ports = get("local_port").and_then(|told| ports(&told));
        add(&mut found, &kind, get("local_ip").as_deref(), ports.as_deref(), plugin);
    }
    found
}

/// `6000-6006,6007`.
fn ports(told: &str) -> Option<Vec<u16>> {
    let mut ports = Vec::new();
    for part in told.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first || last - first >= MAX_RANGE || ports.len() >= usize::from(MAX_RANGE) {
            return None;
        }
        ports.extend(first..=last);
    }
    Some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<String>, bool) {
        let found = interpret(text);
        let shown = |it: Instruction| format!("{}:{} {}", it.target.host, it.target.port, it.text);
        (found.instructions.into_iter().map(shown).collect(), found.whole)
    }

    fn is_told(text: &str, expected: &[&str], whole: bool) {
        assert_eq!(told(text), (expected.iter().map(ToString::to_string).collect(), whole), "{text}");
    }

    #[test]
    fn the_proxies_of_a_client_are_read_in_every_format() {
        let expected = [
            "127.0.0.1:18789 localPort = 18789",
            "192.168.31.100:22 localPort = 22",
            "127.0.0.1:8443 localAddr = 127.0.0.1:8443",
        ];
        is_told(include_str!("../../fixtures/frp/frpc.toml"), &expected, true);
        is_told(include_str!("../../fixtures/frp/frpc.json"), &expected, true);
        is_told(include_str!("../../fixtures/frp/frpc.ini"), &expected, true);
    }

    #[test]
    fn a_range_of_ports_is_read() {
        let text = "[common]\n[range:x]\nlocal_port = 6000-6001,6007\n";
        let expected = [
            "127.0.0.1:6000 localPort = 6000",
            "127.0.0.1:6001 localPort = 6001",
            "127.0.0.1:6007 localPort = 6007",
        ];
        is_told(text, &expected, true);
        is_told("[common]\n[range:x]\nlocal_port = 1-65535\n", &[], false);
    }

    #[test]
    fn a_proxy_that_is_not_started_carries_nothing() {
        let one = "start = [\"a\"]\n[[proxies]]\nname = \"b\"\ntype = \"tcp\"\nlocalPort = 1\n";
        is_told(one, &[], true);
        is_told(
            "[common]\nstart = a,c\n[b]\nlocal_port = 1\n[c]\nlocal_port = 2\n",
            &["127.0.0.1:2 localPort = 2"],
            true,
        );
    }

    #[test]
    fn a_client_without_proxies_carries_nothing() {
        is_told("serverAddr = \"x\"\n[[visitors]]\nname = \"y\"\ntype = \"stcp\"\n", &[], true);
    }

    #[test]
    fn what_is_not_understood_leaves_it_unknown() {
        is_told("includes = [\"./confd/*.toml\"]", &[], false);
        is_told("[[proxies]]\ntype = \"tcp\"\nplugin = { type = \"socks5\" }", &[], false);
        is_told("[[proxies]]\ntype = \"tcp\"", &[], false);
        is_told("[[proxies]]\ntype = \"tcp\"\nlocalPort = {{ .Envs.PORT }}", &[], false);
        is_told("proxies:\n  - name: x\n    localPort: 18789\n", &[], false);
        is_told("[common]\nincludes = ./confd/*.ini\n", &[], false);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "(\\[\\[proxies\\]\\]|\\[common\\]|\\[x\\]|local_?[pP]ort|plugin|start|type|[ =\n\",:.{}-]|[0-9.]{1,5}|é){0,40}") {
            let _ = interpret(&text);
        }
    }
}
