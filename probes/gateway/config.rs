//! A gateway's configuration: the settings that matter for exposure, and nothing secret.

use std::net::IpAddr;
use std::path::PathBuf;

use guardian_rules::fact::{GatewayConfig, Tailscale};
use serde_json::{Map, Value};

use crate::gateway::environment::{Environment, names_secret};

pub mod include;
pub mod syntax;

/// What was read of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The settings that matter for exposure.
    pub settings: GatewayConfig,
    /// `logging.file`, where it is an absolute path.
    pub log: Option<PathBuf>,
}

/// A setting that is not what the gateway expects, by its path. Its value is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A value of another kind than the setting has.
    #[error("{0} has a value of the wrong kind")]
    Kind(String),
    /// A value that names an environment variable that cannot be seen or is not set.
    #[error("{0} takes its value from an environment variable that cannot be seen")]
    Variable(String),
}

/// Reads the settings from a whole configuration. Unknown keys are passed over.
///
/// `${NAME}` in a setting stands for a variable: of the configuration's own `env`, or of the
/// environment that the gateway was started with.
pub fn read(tree: &Value, environment: Option<&Environment>) -> Result<Reading, Unusable> {
    let empty = Map::new();
    let top = Section { path: String::new(), values: object(tree, "the configuration", &empty)? };
    let env = top.section("env", &empty)?;
    let vars = env.section("vars", &empty)?;
    let lookup = |name: &str| -> Option<String> {
        environment
            .and_then(|environment| environment.get(name))
            .or_else(|| vars.values.get(name).or_else(|| env.values.get(name))?.as_str())
            .map(str::to_owned)
    };
    let gateway = top.section("gateway", &empty)?;
    let auth = gateway.section("auth", &empty)?;
    let control_ui = gateway.section("controlUi", &empty)?;
    let tailscale = gateway.section("tailscale", &empty)?;
    let own_secret = ["token", "password"]
        .into_iter()
        .try_fold(false, |found, name| Ok::<_, Unusable>(found | auth.is_secret(name)?))?;
    let secret_by_variable = environment.is_some_and(Environment::has_secret)
        || vars.values.iter().chain(env.values).any(|(name, value)| {
            names_secret(name) && value.as_str().is_some_and(|secret| !secret.trim().is_empty())
        });
    Ok(Reading {
        settings: GatewayConfig {
            bind: gateway.text("bind", &lookup)?,
            custom_bind_host: gateway.address("customBindHost", &lookup)?,
            port: gateway.port("port")?,
            auth_mode: auth.text("mode", &lookup)?,
            has_secret: own_secret || secret_by_variable,
            tailscale: match tailscale.text("mode", &lookup)?.as_deref() {
                None | Some("off") => Tailscale::Off,
                Some("serve") => Tailscale::Serve,
                Some("funnel") => Tailscale::Funnel,
                Some(_) => return Err(Unusable::Kind(tailscale.key("mode"))),
            },
            any_origin: control_ui.list("allowedOrigins", &lookup)?.iter().any(|origin| origin == "*"),
            weakened_by: weakened_by(&gateway),
            trusted_proxies: gateway.list("trustedProxies", &lookup)?,
        },
        log: top
            .section("logging", &empty)?
            .text("file", &lookup)
            .unwrap_or_default()
            .map(PathBuf::from)
            .filter(|path| path.is_absolute()),
    })
}

/// Switches that are on and weaken the panel, by their paths.
fn weakened_by(gateway: &Section<'_>) -> Vec<String> {
    /// Besides everything that calls itself dangerous.
    const KNOWN: [&str; 3] = ["allowInsecureAuth", "allowRealIpFallback", "allowLoopback"];
    fn visit(path: &str, values: &Map<String, Value>, found: &mut Vec<String>) {
        for (key, value) in values {
            let path = format!("{path}.{key}");
            match value {
                Value::Bool(true) if key.starts_with("dangerously") || KNOWN.contains(&key.as_str()) => {
                    found.push(path);
                }
                Value::Object(values) => visit(&path, values, found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    visit(&gateway.path, gateway.values, &mut found);
    found
}

/// An object within the configuration.
struct Section<'a> {
    path: String,
    values: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn kind<T>(&self, name: &str) -> Result<T, Unusable> {
        Err(Unusable::Kind(self.key(name)))
    }

    fn section(&self, name: &str, empty: &'a Map<String, Value>) -> Result<Section<'a>, Unusable> {
        let path = self.key(name);
        let values = match self.values.get(name) {
            None => empty,
            Some(value) => object(value, &path, empty)?,
        };
        Ok(Section { path, values })
    }

    fn text(&self, name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Unusable> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => match substituted(text, lookup) {
                Some(text) => Ok(Some(text)),
                None => Err(Unusable::Variable(self.key(name))),
            },
            Some(_) => self.kind(name),
        }
    }

    fn address(
        &self,
        name: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<IpAddr>, Unusable> {
        match self.text(name, lookup)? {
            None => Ok(None),
            Some(text) if text.trim().is_empty() => Ok(None),
            Some(text) => match text.trim().parse() {
                Ok(address) => Ok(Some(address)),
                Err(_) => self.kind(name),
            },
        }
    }

    fn port(&self, name: &str) -> Result<Option<u16>, Unusable> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().and_then(|port| u16::try_from(port).ok()) {
                Some(port) if port > 0 => Ok(Some(port)),
                _ => self.kind(name),
            },
        }
    }

    fn list(&self, name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, Unusable> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(text) => {
                        substituted(text, lookup).ok_or_else(|| Unusable::Variable(self.key(name)))
                    }
                    _ => self.kind(name),
                })
                .collect(),
            Some(_) => self.kind(name),
        }
    }

    /// A secret is a text, or an object that says where it is kept.
    fn is_secret(&self, name: &str) -> Result<bool, Unusable> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::String(text)) => Ok(!text.trim().is_empty()),
            Some(Value::Object(_)) => Ok(true),
            Some(_) => self.kind(name),
        }
    }
}

fn object<'a>(
    value: &'a Value,
    path: &str,
    empty: &'a Map<String, Value>,
) -> Result<&'a Map<String, Value>, Unusable> {
    match value {
        Value::Object(values) => Ok(values),
        Value::Null => Ok(empty),
        _ => Err(Unusable::Kind(path.to_owned())),
    }
}

/// The text with `${NAME}` replaced and `$${NAME}` unescaped; none if a variable is not known.
/// Only names of capital letters, digits and underscores are variables.
fn substituted(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let name = from.get(2..).and_then(|name| name.split_once('}')).map(|(name, _)| name);
        let Some(name) = name.filter(|name| is_variable(name)) else {
            whole.push_str(before);
            whole.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        if let Some(before) = before.strip_suffix('$') {
            whole.push_str(before);
            whole.push_str(from.get(..name.len() + 3).unwrap_or_default());
        } else {
            whole.push_str(before);
            whole.push_str(&lookup(name)?);
        }
        rest = from.get(name.len() + 3..).unwrap_or_default();
    }
    whole.push_str(rest);
    Some(whole)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests;
