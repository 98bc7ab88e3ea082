//! A gateway's configuration exposes it, now or at its next start.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::unmap;
use crate::catalog::Rule;
use crate::fact::{ConfigState, GatewayConfig, GatewayProcess, Product, Tailscale};
use crate::finding::{Finding, Severity};
use crate::rule::audiences;
use crate::scene::{AccessSummary, Beyond, Gateway, Scene};
use crate::way;

/// Characters shown of a `gateway.bind` that nothing here knows: whoever wrote it chose how many it has.
const BIND_SHOWN: usize = 64;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for gateway in &scene.gateways {
        let Some(pid) = gateway.pid else { continue };
        let Some(process) = scene.gateway_process(pid) else {
            findings.push(rule.unknown(
                &scene.name_of(pid),
                vec![
                        "it answers as a gateway and bears no mark that tells where its configuration is"
                            .to_owned(),
                    ],
            ));
            continue;
        };
        findings.extend(of_gateway(rule, scene, gateway, process));
    }
    findings
}

fn of_gateway(rule: &Rule, scene: &Scene<'_>, gateway: &Gateway, process: &GatewayProcess) -> Vec<Finding> {
    let subject = match &process.config.path {
        Some(path) => path.display().to_string(),
        None => scene.name_of(process.pid),
    };
    let mut findings = of_file(rule, scene, &process.config.state, &subject);
    if let ConfigState::Read(config) = &process.config.state {
        findings.extend(unset_auth(rule, (gateway.product, gateway.access), config, &subject));
    }
    findings
}

/// What a configuration says by itself, whoever runs by it.
fn of_file(rule: &Rule, scene: &Scene<'_>, state: &ConfigState, subject: &String) -> Vec<Finding> {
    match state {
        ConfigState::Read(config) => {
            let mut findings: Vec<Finding> =
                exposures(scene, config).into_iter().map(|why| rule.yes(subject, vec![why])).collect();
            findings.extend(bind(rule, scene, config, subject));
            findings.extend(
                weakenings(config)
                    .into_iter()
                    .map(|why| Finding { severity: Severity::Warning, ..rule.yes(subject, vec![why]) }),
            );
            findings
        }
        ConfigState::Absent => Vec::new(),
        ConfigState::Unreadable(why) => {
            vec![rule.unknown(subject, vec![format!("the configuration could not be read ({why})")])]
        }
    }
}

/// What a configuration would expose at the next start of its gateway, while none runs by it.
pub(crate) fn at_next_start(
    rule: &Rule,
    scene: &Scene<'_>,
    product: Option<Product>,
    state: &ConfigState,
    subject: &String,
) -> Vec<Finding> {
    let mut findings = of_file(rule, scene, state, subject);
    if let ConfigState::Read(config) = state {
        findings.extend(unset_auth(rule, (product, AccessSummary::Unknown), config, subject));
    }
    findings
}

/// Where the next start will bind.
fn bind(rule: &Rule, scene: &Scene<'_>, config: &GatewayConfig, subject: &String) -> Option<Finding> {
    let everywhere = |setting: &str| match scene.beyond_on_every_address() {
        Beyond::Addresses(addresses) if addresses.is_empty() => None,
        Beyond::Addresses(addresses) => {
            let mut evidence =
                vec![format!("{setting}: every address of this host, at the next start if not already now")];
            evidence.extend(audiences(&addresses));
            Some(rule.yes(subject, evidence))
        }
        Beyond::Unknown(why) => {
            Some(rule.unknown(subject, vec![format!("{setting}: every address of this host"), why]))
        }
    };
    match config.bind.as_deref() {
        // auto is loopback, and every address in a container; what it came to is seen at the socket.
        None | Some("loopback" | "auto" | "tailnet") => None,
        Some("lan") => everywhere("gateway.bind is \"lan\""),
        Some("custom") => match config.custom_bind_host {
            // 2026.1.24 refuses the key and falls back to the wildcard.
            None => everywhere("gateway.bind is \"custom\" without a usable gateway.customBindHost"),
            Some(host) if host.is_unspecified() => {
                everywhere(&format!("gateway.bind is \"custom\" with {host}"))
            }
            Some(host) => (!is_allowed(scene, host)).then(|| {
                let beyond =
                    format!("gateway.bind is \"custom\" with {host}, which is outside the allowed networks");
                rule.yes(subject, vec![beyond])
            }),
        },
        Some(other) => {
            let start: String = other.chars().take(BIND_SHOWN).collect();
            let strange = format!("gateway.bind is {start:?}, which no version known here has");
            Some(rule.unknown(subject, vec![strange]))
        }
    }
}

/// Only 2026.1.24 and older take no setting for no authentication; a secret may also come from the
/// environment, so the live answer decides.
fn unset_auth(
    rule: &Rule,
    (product, access): (Option<Product>, AccessSummary),
    config: &GatewayConfig,
    subject: &String,
) -> Option<Finding> {
    if config.auth_mode.is_some() || config.has_secret || product != Some(Product::Clawdbot) {
        return None;
    }
    let unset = "no gateway.auth is set, and this version takes that for no authentication";
    match access {
        AccessSummary::Required => None,
        AccessSummary::Open => Some(rule.yes(subject, vec![unset.to_owned()])),
        AccessSummary::Unknown => {
            let perhaps = "whether its environment has a secret could not be told".to_owned();
            Some(rule.unknown(subject, vec![unset.to_owned(), perhaps]))
        }
    }
}

/// Other settings that expose.
fn exposures(scene: &Scene<'_>, config: &GatewayConfig) -> Vec<String> {
    let mut exposures = Vec::new();
    if config.auth_mode.as_deref() == Some("none") {
        exposures.push("gateway.auth.mode is \"none\": anyone who gets a connection is in".to_owned());
    }
    if config.any_origin {
        exposures.push(
            "gateway.controlUi.allowedOrigins has \"*\": any web page you visit may use the panel".to_owned(),
        );
    }
    if config.tailscale == Tailscale::Funnel && !scene.allows_path(way::TAILSCALE_FUNNEL) {
        exposures.push("gateway.tailscale.mode is \"funnel\": published to the internet".to_owned());
    }
    exposures
}

/// Settings that take a wall away without exposing by themselves.
fn weakenings(config: &GatewayConfig) -> Vec<String> {
    let switches = config
        .weakened_by
        .iter()
        .map(|switch| format!("{switch} is set: it takes away a check of the panel"));
    // However often it says so.
    let everybody: BTreeSet<&str> = config
        .trusted_proxies
        .iter()
        .map(String::as_str)
        .filter(|proxy| matches!(*proxy, "0.0.0.0/0" | "::/0" | "*"))
        .collect();
    let proxies = everybody
        .into_iter()
        .map(|proxy| format!("gateway.trustedProxies has {proxy}: everybody may claim to be somebody else"));
    switches.chain(proxies).collect()
}

/// An address that the host does not have now is judged by itself, as on an ordinary interface.
fn is_allowed(scene: &Scene<'_>, host: IpAddr) -> bool {
    let host = unmap(host);
    host.is_loopback()
        || scene.policy.names(host)
        || scene.own_addresses().iter().any(|own| own.address == host && scene.policy.allows_own(own))
}
