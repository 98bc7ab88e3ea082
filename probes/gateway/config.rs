//! A gateway's configuration: the settings that matter for exposure, and nothing secret.

use std::net::IpAddr;
use std::path::PathBuf;

use guardian_rules::fact::{GatewayConfig, Tailscale};
use serde_json::{Map, Value};

use crate::gateway::environment::{Environment, names_secret};

pub mod include;
mod switches;
pub mod syntax;
mod variables;

use self::variables::{Lookup, Refused, substituted};

/// Entries of a list, and bytes of all of them: a variable may stand in each.
const MAX_ENTRIES: usize = 4096;
const MAX_LIST: usize = 64 * 1024;

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
    /// A value that is longer, with its variables replaced, than any that a gateway understands.
    #[error("{0} has a value that is too long")]
    Long(String),
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
    let lookup = |name: &str| {
        environment
            .and_then(|environment| environment.get(name))
            .or_else(|| vars.values.get(name).or_else(|| env.values.get(name))?.as_str())
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
            weakened_by: switches::weakening(&gateway.path, gateway.values),
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

    fn text(&self, name: &str, lookup: &Lookup<'_>) -> Result<Option<String>, Unusable> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => self.replaced(name, text, lookup).map(Some),
            Some(_) => self.kind(name),
        }
    }

    fn replaced(&self, name: &str, text: &str, lookup: &Lookup<'_>) -> Result<String, Unusable> {
        substituted(text, lookup).map_err(|refused| match refused {
            Refused::Unknown => Unusable::Variable(self.key(name)),
            Refused::Long => Unusable::Long(self.key(name)),
        })
    }

    fn address(&self, name: &str, lookup: &Lookup<'_>) -> Result<Option<IpAddr>, Unusable> {
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

    fn list(&self, name: &str, lookup: &Lookup<'_>) -> Result<Vec<String>, Unusable> {
        let values = match self.values.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(_) => return self.kind(name),
        };
        if values.len() > MAX_ENTRIES {
            return Err(Unusable::Long(self.key(name)));
        }
        let mut left = MAX_LIST;
        let mut entry = |value: &Value| {
            let Value::String(text) = value else { return self.kind(name) };
            let text = self.replaced(name, text, lookup)?;
            left = left.checked_sub(text.len()).ok_or_else(|| Unusable::Long(self.key(name)))?;
            Ok(text)
        };
        values.iter().map(&mut entry).collect()
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

#[cfg(test)]
mod tests;
