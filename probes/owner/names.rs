//! The table of names, `roles.toml`.

use std::path::Path;
use std::sync::LazyLock;

use guardian_rules::fact::{Product, Role};
use serde::Deserialize;

/// A name of the product that a process shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// Under which name it runs.
    pub product: Product,
    /// Only a gateway shows this; otherwise a client may as well.
    pub gateway: bool,
}

/// The kernel keeps so many bytes of a name at most: 15 on Linux, 16 on macOS.
const SHORT_NAMES: std::ops::RangeInclusive<usize> = 15..=16;

pub(super) static ROLES: LazyLock<Roles> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the table is part of the program, and a test reads it")]
    toml::from_str(include_str!("../roles.toml")).expect("roles.toml is well formed")
});

/// `roles.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Roles {
    pub(super) proxy: Vec<String>,
    pub(super) forwarder: Vec<String>,
    pub(super) tunnel: Vec<String>,
    pub(super) vpn: Vec<String>,
    pub(super) container_engine: Vec<String>,
    pub(super) session: Vec<String>,
    pub(super) browser: Vec<String>,
    pub(super) other_service: Vec<String>,
    pub(super) runtime: Vec<String>,
    interpreters: Vec<String>,
    subcommands: Vec<Subcommand>,
    products: Vec<Names>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subcommand {
    program: String,
    argument: String,
    role: Told,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Forwarder,
    Tunnel,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    product: Product,
    gateway: Vec<String>,
    client: Vec<String>,
    package: String,
    labels: Vec<String>,
}

impl Roles {
    /// The role of a name.
    pub(super) fn of(&self, name: &str) -> Option<Role> {
        self.find(name).map(|(role, _)| role)
    }

    /// The role of a name, and the name as the table spells it.
    pub(super) fn find(&self, name: &str) -> Option<(Role, &str)> {
        [
            (&self.tunnel, Role::Tunnel),
            (&self.forwarder, Role::Forwarder),
            (&self.proxy, Role::Proxy),
            (&self.container_engine, Role::ContainerEngine),
            (&self.vpn, Role::Vpn),
            (&self.session, Role::Session),
            (&self.browser, Role::Browser),
            (&self.other_service, Role::OtherService),
            (&self.runtime, Role::Runtime),
        ]
        .into_iter()
        .find_map(|(names, role)| {
            let pattern = names.iter().find(|pattern| matches(pattern, name))?;
            Some((role, pattern.trim_end_matches(['*', '-', '_'])))
        })
    }

    /// The role of a program that carries connections only when told to.
    pub(super) fn told(&self, program: &str, arguments: &[String]) -> Option<Role> {
        let told = self
            .subcommands
            .iter()
            .find(|told| matches(&told.program, program) && arguments.contains(&told.argument))?;
        Some(match told.role {
            Told::Forwarder => Role::Forwarder,
            Told::Tunnel => Role::Tunnel,
        })
    }

    /// Whether a program carries connections when told to.
    pub(super) fn can_be_told(&self, program: &str) -> bool {
        self.subcommands.iter().any(|told| matches(&told.program, program))
    }

    /// Whether a program runs scripts.
    pub(super) fn interprets(&self, program: &str) -> bool {
        matches_any(&self.interpreters, program)
    }

    /// The product after which a gateway's unit is named: `clawdbot-gateway-work.service`.
    pub(super) fn product_of_service(&self, unit: &str) -> Option<Product> {
        let named = |title: &String| {
            unit.strip_prefix(title.as_str()).is_some_and(|rest| rest.starts_with(['-', '.', '@']))
        };
        self.products.iter().find(|names| names.gateway.iter().any(named)).map(|names| names.product)
    }

    /// The product after which a gateway's job of launchd is named. A node's job is none.
    pub(super) fn product_of_label(&self, label: &str) -> Option<Product> {
        let named = |domain: &String| {
            label
                .strip_prefix(domain.as_str())
                .is_some_and(|rest| !rest.is_empty() && rest != "node" && !rest.starts_with("node."))
        };
        self.products.iter().find(|names| names.labels.iter().any(named)).map(|names| names.product)
    }

    /// The product that goes by this title.
    pub(super) fn sign(&self, title: &str) -> Option<Sign> {
        self.products.iter().find_map(|names| {
            let sign = |gateway| Sign { product: names.product, gateway };
            if matches_any(&names.gateway, title) {
                Some(sign(true))
            } else {
                matches_any(&names.client, title).then(|| sign(false))
            }
        })
    }

    /// The product whose entry script this is: `…/openclaw/dist/entry.js`, `…/openclaw.mjs`, or
    /// `…/bin/openclaw`, which links to it.
    pub(super) fn entry_script(&self, script: &str) -> Option<Product> {
        let path = Path::new(script);
        let stem = without_extension(path.file_name()?.to_str()?);
        let folders: Vec<&str> = path.parent()?.iter().rev().take(2).filter_map(|f| f.to_str()).collect();
        self.products
            .iter()
            .find(|names| {
                stem == names.package
                    || (matches!(stem, "entry" | "index") && folders == ["dist", names.package.as_str()])
            })
            .map(|names| names.product)
    }
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name fits a pattern; a name as long as the kernel keeps may have been cut.
fn matches(pattern: &str, name: &str) -> bool {
    let begins = |whole: &str, start: &str| {
        whole.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    match pattern.strip_suffix('*') {
        Some(prefix) => begins(name, prefix),
        None => {
            pattern.eq_ignore_ascii_case(name)
                || (SHORT_NAMES.contains(&name.len()) && pattern.len() > name.len() && begins(pattern, name))
        }
    }
}

pub(super) fn without_extension(script: &str) -> &str {
    match script.rsplit_once('.') {
        Some((stem, "js" | "mjs" | "cjs" | "ts" | "py" | "rb" | "pl" | "php" | "sh")) => stem,
        _ => script,
    }
}

pub(super) fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}
