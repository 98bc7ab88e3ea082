//! Ports that a router of the local network carries to this host.
//!
//! Any program may ask a router with `UPnP` to open a port, and nothing on this host shows it: so the
//! router is asked for its list (`WANIPConnection`, `GetGenericPortMappingEntry`). NAT-PMP and PCP
//! (RFC 6886, RFC 6887) have no question for a list, and what they have no question for is not asked:
//! a request for a mapping would make one. Forwards that somebody set by hand, and a DMZ, are in no
//! list either; the rule says so.
//!
//! Nobody is asked without a reason: only in networks in which a socket takes connections that leads
//! to a gateway or may lead to one ([`network`]). A device is asked at its own address only
//! ([`endpoint`]), for whoever is in the network may say that he is a router.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Router as Facts;
use guardian_rules::scene::Scene;
use guardian_rules::snapshot::ProbeId;
use tokio::time::Instant;

use self::conversation::{Device, silent};
use self::network::{Network, concerned, default_routers};
use self::search::{Found, GROUP, search};
use crate::ask::{Turn, each};
use crate::probe::{Ground, Probe};

mod conversation;
pub mod description;
pub mod endpoint;
pub mod network;
pub mod search;
pub mod soap;
pub mod xml;

/// The search and all questions together end after this: the first picture waits for them. What is
/// left until the deadline is for a busy machine.
const BUDGET: Duration = Duration::from_secs(6);

/// Networks searched; more is too much.
const MAX_NETWORKS: usize = 16;

/// Asks a router what it carries to this host.
#[derive(Debug, Default)]
pub struct Router;

impl Probe for Router {
    type Facts = Vec<Facts>;
    const ID: ProbeId = ProbeId::Router;
    const CADENCE: Duration = Duration::from_mins(1);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let until = Instant::now() + BUDGET;
        let scene = Scene::new(&ground.policy, &ground.known);
        let own: BTreeSet<IpAddr> =
            scene.own_addresses().into_iter().map(|own| own.address.to_canonical()).collect();
        let mut networks = concerned(&scene, &routes());
        let mut facts = Vec::new();
        if networks.len() > MAX_NETWORKS {
            networks.truncate(MAX_NETWORKS);
            let many = format!("this host is in more than {MAX_NETWORKS} networks");
            facts.push(unheard(Blindness::new(Cause::TooMuch, many)));
        }
        let searches = each(networks, BUDGET, |network| {
            let network = network.clone();
            async move { search(&network).await }
        })
        .await;
        let mut devices = Vec::new();
        for (network, turn) in searches {
            match turn {
                Turn::Done(Ok(found)) => devices.extend(met(&network, found, &own, until, &mut facts)),
                Turn::Done(Err(failure)) => facts.extend(unasked(&network, &failure)),
                Turn::Late => facts.push(unheard(Blindness::timed_out("the search took too long"))),
                Turn::Failed => facts.push(unheard(Blindness::new(Cause::Panicked, "the search failed"))),
            }
        }
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(500);
        let asked = each(devices, left, |device| {
            let device = device.clone();
            async move { device.carries().await }
        })
        .await;
        for (device, turn) in asked {
            let at = SocketAddr::from((device.address, GROUP.port()));
            match turn {
                Turn::Done(routers) => facts.extend(routers),
                Turn::Late => facts.push(silent(at, Blindness::timed_out("it does not answer in time"))),
                Turn::Failed => {
                    facts
                        .push(silent(at, Blindness::new(Cause::Panicked, "the conversation with it failed")));
                }
            }
        }
        facts.sort_unstable();
        facts.dedup();
        Ok(facts)
    }
}

/// The devices to ask. That there were more is a fact of its own: one that was not heard may be the
/// router.
fn met(
    network: &Network,
    found: Found,
    own: &BTreeSet<IpAddr>,
    until: Instant,
    facts: &mut Vec<Facts>,
) -> Vec<Device> {
    if found.overflowed {
        let many = "more devices say that they are routers than can be asked";
        facts.push(unheard(Blindness::new(Cause::TooMuch, many)));
    }
    let devices = found.devices.into_iter().filter(|(address, _)| !own.contains(&IpAddr::V4(*address)));
    let each = |(address, locations): (_, BTreeSet<String>)| {
        locations.into_iter().map(move |location| Device {
            address,
            from: network.own,
            // Elsewhere the routes are not read, and doubt accuses.
            is_the_way_out: !cfg!(target_os = "linux") || network.gateways.contains(&address),
            location,
            own: BTreeSet::from([IpAddr::V4(network.own)]),
            until,
        })
    };
    devices.flat_map(each).collect()
}

/// A question that could not be put. An interface that is down, or whose address has just gone,
/// leads to no router.
fn unasked(network: &Network, failure: &io::Error) -> Option<Facts> {
    let leads_nowhere = matches!(
        failure.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkDown | io::ErrorKind::NetworkUnreachable
    ) || failure.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32);
    let cause =
        if failure.kind() == io::ErrorKind::PermissionDenied { Cause::Denied } else { Cause::Interrupted };
    let why = format!("no question can be sent from {}: {failure}", network.own);
    (!leads_nowhere).then(|| unheard(Blindness::new(cause, why)))
}

/// Whether there is a router could not be told.
fn unheard(why: Blindness) -> Facts {
    silent(SocketAddr::V4(GROUP), why)
}

#[cfg(target_os = "linux")]
fn routes() -> Vec<(String, std::net::Ipv4Addr)> {
    use std::io::Read as _;

    let mut table = String::new();
    // Without it the group is asked all the same.
    let file = std::fs::File::open("/proc/net/route");
    let _ = file.and_then(|file| file.take(1024 * 1024).read_to_string(&mut table));
    default_routers(&table)
}

#[cfg(not(target_os = "linux"))]
fn routes() -> Vec<(String, std::net::Ipv4Addr)> {
    default_routers("")
}
