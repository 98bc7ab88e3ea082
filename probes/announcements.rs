//! What this host announces of a gateway by mDNS (RFC 6762).
//!
//! Gateways of early 2026 hold UDP port 5353 and answer whoever in the local network asks for
//! `_openclaw-gw._tcp`, also while they listen on loopback alone. Where a gateway's process holds
//! that port, or may hold it, the question is put on this host: to the group, with a time to live of
//! zero, so that it reaches every program here and leaves by no interface. So nobody else's
//! announcement can come back, and nobody else is disturbed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Announcement, Heard};
use guardian_rules::snapshot::{ProbeId, Snapshot};

use self::holders::{Hold, holds};
use self::message::Service;
use self::question::ask;
use crate::ask::{Turn, each};
use crate::probe::{Ground, Probe, blocking};

mod holders;
pub mod message;
mod question;
pub mod udp;

/// The port of mDNS.
const PORT: u16 = 5353;

/// Questions on all networks end after this.
const BUDGET: Duration = Duration::from_secs(3);

/// Addresses on whose networks is asked; the others stay unasked.
const MAX_ADDRESSES: usize = 32;

/// Hears what gateways of this host announce.
#[derive(Debug, Default)]
pub struct Announcements;

impl Probe for Announcements {
    type Facts = Vec<Announcement>;
    const ID: ProbeId = ProbeId::Announcements;
    const CADENCE: Duration = Duration::from_mins(1);
    const DEADLINE: Duration = Duration::from_secs(5);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let gateways: BTreeSet<u32> =
            ground.known.gateway.known().into_iter().flatten().map(|gateway| gateway.pid).collect();
        if gateways.is_empty() {
            return Ok(Vec::new());
        }
        let held = blocking(move || Ok(holds(&gateways))).await?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let turns = each(addresses(&ground.known), BUDGET, |own| ask(*own)).await;
        let mut heard: BTreeMap<Service, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut failed = None;
        for (own, turn) in turns {
            match turn {
                Turn::Done(Ok(services)) => {
                    for service in services {
                        heard.entry(service).or_default().insert(IpAddr::V4(own));
                    }
                }
                // An interface that is down has nobody to announce anything to.
                Turn::Done(Err(failure)) => failed = Some(failure.to_string()),
                Turn::Late => failed = Some("there was no time to ask".to_owned()),
                Turn::Failed => failed = Some("the question failed".to_owned()),
            }
        }
        Ok(facts(&ground.known, &held, heard, failed.as_deref()))
    }
}

/// The addresses on whose networks somebody could hear an announcement, loopback first.
fn addresses(known: &Snapshot) -> Vec<Ipv4Addr> {
    let own = known.interfaces.known().into_iter().flatten();
    let v4: BTreeSet<Ipv4Addr> = own
        .filter_map(|own| match own.address {
            IpAddr::V4(v4) if !v4.is_unspecified() => Some(v4),
            _ => None,
        })
        .collect();
    let (loopback, others): (Vec<_>, Vec<_>) = v4.into_iter().partition(Ipv4Addr::is_loopback);
    loopback.into_iter().chain(others).take(MAX_ADDRESSES).collect()
}

/// What was heard, each with the process whose port it names, and those of whom nothing was heard.
fn facts(
    known: &Snapshot,
    held: &BTreeMap<u32, Hold>,
    heard: BTreeMap<Service, BTreeSet<IpAddr>>,
    failed: Option<&str>,
) -> Vec<Announcement> {
    let listens = |pid: u32, port: u16| {
        let listeners = known.listeners.known().into_iter().flatten();
        listeners.into_iter().any(|it| it.bound.port() == port && it.owner.pids().contains(&pid))
    };
    let mut facts: Vec<Announcement> = heard
        .into_iter()
        .map(|(service, on)| {
            let by_port = service.port.and_then(|port| held.keys().copied().find(|pid| listens(*pid, port)));
            // Where there is one alone it can be no other.
            let only = held.keys().copied().next().filter(|_| held.len() == 1);
            let Service { kind, port, tells } = service;
            let heard = Heard { service: kind, port, tells, on: on.into_iter().collect() };
            Announcement { pid: by_port.or(only), heard: Ok(heard) }
        })
        .collect();
    let named: BTreeSet<u32> = facts.iter().filter_map(|fact| fact.pid).collect();
    for (pid, hold) in held.iter().filter(|(pid, _)| !named.contains(pid)) {
        let why = match (hold, failed) {
            (Hold::Unknown(why), _) => why.clone(),
            (Hold::Yes, Some(failed)) => Blindness::new(
                Cause::Interrupted,
                format!("it holds UDP port {PORT}, and could not be asked everywhere: {failed}"),
            ),
            (Hold::Yes, None) => {
                Blindness::timed_out(format!("it holds UDP port {PORT}, and answered no question"))
            }
        };
        facts.push(Announcement { pid: Some(*pid), heard: Err(why) });
    }
    facts.sort_unstable();
    facts
}

#[cfg(test)]
mod tests;
