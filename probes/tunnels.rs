//! Asks tunnels and VPN daemons what they publish.
//!
//! A tunnel goes out, so nothing on this host listens for those who come in by it, and while nobody
//! does there is no connection either. Its own word is all there is: an API on loopback, its
//! arguments, its configuration. What arguments and configurations tell is read by
//! [`routes`] and judged there; here they only decide whether more is to be known.
//!
//! An API's word clears only if the socket on which it was given is the tunnel's own; else it may
//! accuse.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Listener, Role, Tunnel, TunnelKind};
use guardian_rules::observation::Observation;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use sysinfo::System;
use tokio::time::timeout;

use self::manner::{Manner, Voice, manner};
use self::told::Told;
use self::upstream::Host;
use crate::api::{self, doors::doors};
use crate::guests::{self, Guests};
use crate::owner::role::{may_relay, relay};
use crate::owner::table::Table;
use crate::probe::{Ground, Probe, blocking};
use crate::routes::{self, MAX_RELAYS, configured, own_addresses, relays_met, shown};

pub mod cloudflared;
pub mod manner;
pub mod ngrok;
mod object;
pub mod tailscale;
pub mod told;
pub mod upstream;

/// Tunnels that are asked; more are blind.
const MAX_TUNNELS: usize = 256;

/// So many are asked at a time.
const AT_A_TIME: usize = 32;

/// How long all questions to one tunnel may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks tunnels and VPN daemons what they publish.
#[derive(Debug, Default)]
pub struct Tunnels {
    table: Table,
}

impl Probe for Tunnels {
    type Facts = Vec<Tunnel>;
    const ID: ProbeId = ProbeId::Tunnels;
    const CADENCE: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let known = ground.known;
        let mut table = std::mem::take(&mut self.table);
        let seen = known.clone();
        let (table, groups, name, guests) = blocking(move || {
            let groups = find(&mut table, &seen)?;
            let own = seen.interfaces.known().cloned().unwrap_or_default();
            let guests = if groups.is_empty() { Guests::default() } else { Guests::of_this_host(&own) };
            Ok((table, groups, System::host_name().ok(), guests))
        })
        .await?;
        self.table = table;
        let host = Arc::new(Host { addresses: own_addresses(&known), name, guests });
        let asked = groups.into_iter().map(|group| {
            let (known, host) = (known.clone(), host.clone());
            async move { group.facts(&known.listeners, &host).await }
        });
        let mut facts: Vec<Tunnel> = stream::iter(asked).buffer_unordered(AT_A_TIME).concat().await;
        look_behind(&mut facts, &host.guests).await;
        facts.sort();
        Ok(facts)
    }
}

/// Asks the guests of this host to which tunnels lead. Where nobody takes a connection, nothing is published.
async fn look_behind(facts: &mut [Tunnel], guests: &Guests) {
    let published = |facts: &[Tunnel]| -> BTreeSet<SocketAddr> {
        let all = facts.iter().filter_map(|it| it.publishes.as_ref().ok()).flatten();
        all.filter_map(|it| Some(it.guest.as_ref()?.at)).collect()
    };
    let answers = guests::answers(published(facts), guests).await;
    for publications in facts.iter_mut().filter_map(|it| it.publishes.as_mut().ok()) {
        publications.retain_mut(|it| {
            let Some(guest) = &mut it.guest else { return true };
            let Some(access) = answers.get(&guest.at) else { return false };
            guest.access = access.clone();
            true
        });
    }
}

/// Processes of one program that started each other: a wrapper and what it wraps, or a daemon and
/// its helpers. One of them has the socket, another the arguments.
#[derive(Debug)]
struct Group {
    /// The one that none of the others has started.
    pid: u32,
    program: String,
    manner: Manner,
    arguments: Vec<String>,
    members: BTreeSet<u32>,
    /// It may run by something else than its configuration says now.
    is_outdated: bool,
}

/// The tunnels of this host.
fn find(table: &mut Table, known: &Snapshot) -> Result<Vec<Group>, Blindness> {
    let mut pids = table.find(may_relay)?;
    pids.extend(relays_met(known));
    if pids.len() > MAX_RELAYS {
        return Err(Blindness::new(Cause::TooMuch, format!("more than {MAX_RELAYS} processes may relay")));
    }
    let mut entries = table.read(&pids, &BTreeSet::new())?;
    entries.retain(|entry| !routes::platform::in_another_network(entry.process.pid));
    let relays: BTreeMap<u32, _> = entries
        .iter()
        .filter_map(|entry| Some((entry.process.pid, (entry, relay(&shown(entry))?))))
        .collect();
    let parent = |pid: &u32| {
        let (entry, own) = relays.get(pid)?;
        let parent = entry.process.parent.filter(|parent| parent != pid)?;
        relays.get(&parent).is_some_and(|(_, other)| other.name == own.name).then_some(parent)
    };
    let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
    for (pid, (entry, relay)) in &relays {
        let found = manner(relay.role, &relay.name, relay.arguments);
        let Some(mut manner) = (if entry.is_cut { manner::of_cut(relay.role, found) } else { found }) else {
            continue;
        };
        // Processes change while they are read: a circle of parents has an end here.
        let mut leader = *pid;
        for _ in 0..relays.len() {
            let Some(parent) = parent(&leader) else { break };
            leader = parent;
        }
        let mut is_outdated = false;
        if manner.voice == Voice::Mute && !manner.told {
            let found = configured(entry, relay, entry.since);
            let is_whole = found.as_ref().is_some_and(|found| found.told.whole);
            let is_seldom = found.as_ref().is_some_and(|found| found.is_seldom);
            is_outdated = is_whole && found.is_some_and(|found| found.is_outdated);
            manner.told = is_whole && !is_outdated;
            // Whoever edits the file of all his connections, or hides it, has forwards in few of them.
            if (is_outdated || is_seldom) && relay.role == Role::Forwarder {
                manner.kind = TunnelKind::Seldom;
            }
        }
        // A forwarder that tells all has nothing to add here.
        if relay.role == Role::Forwarder && manner.told {
            continue;
        }
        groups.entry(leader).and_modify(|group| group.join(*pid, manner, is_outdated)).or_insert_with(|| {
            Group {
                pid: leader,
                program: relay.name.to_ascii_lowercase(),
                manner,
                arguments: relay.arguments.to_vec(),
                members: BTreeSet::from([*pid]),
                is_outdated,
            }
        });
    }
    if groups.len() > MAX_TUNNELS {
        return Err(Blindness::new(Cause::TooMuch, format!("more than {MAX_TUNNELS} tunnels")));
    }
    Ok(groups.into_values().collect())
}

impl Group {
    /// One more member. Of those that do not tell all the gravest counts.
    fn join(&mut self, pid: u32, manner: Manner, is_outdated: bool) {
        self.members.insert(pid);
        if manner.told {
            return;
        }
        if self.manner.told {
            (self.manner.kind, self.is_outdated) = (manner.kind, is_outdated);
        } else {
            self.manner.kind = self.manner.kind.min(manner.kind);
            self.is_outdated &= is_outdated;
        }
        self.manner.told = false;
    }

    async fn facts(&self, listeners: &Observation<Vec<Listener>>, host: &Host) -> Vec<Tunnel> {
        let asked = timeout(PATIENCE, self.ask(listeners, host)).await;
        let mut told = asked.unwrap_or_else(|_| {
            Told::unknown(Blindness::timed_out(format!(
                "{} did not answer within {PATIENCE:?}",
                self.program
            )))
        });
        if self.manner.told {
            told.unclear = None;
        }
        told.facts(self.pid, &self.program, self.manner.kind)
    }

    async fn ask(&self, listeners: &Observation<Vec<Listener>>, host: &Host) -> Told {
        match self.manner.voice {
            Voice::Mute if self.is_outdated => Told::unknown(Blindness::new(
                Cause::Stale,
                "what it runs by was changed after it started; once it is restarted, it runs by what is written",
            )),
            Voice::Mute => Told::unknown(Blindness::denied(
                "neither its arguments nor a configuration that could be read tell all that it carries",
            )),
            Voice::Tailscale => self.tailscale(listeners, host).await,
            Voice::Ngrok => self.on_loopback(listeners, ngrok::USUAL, host).await,
            Voice::Cloudflared => self.on_loopback(listeners, cloudflared::USUAL, host).await,
        }
    }

    async fn tailscale(&self, listeners: &Observation<Vec<Listener>>, host: &Host) -> Told {
        let path = tailscale::SERVE_CONFIG;
        let heard = tailscale::local_api::ask(
            &self.program,
            self.pid,
            &self.arguments,
            &self.members,
            listeners,
            path,
        );
        let heard = match heard.await {
            Ok(heard) => heard,
            Err(why) => return Told::unknown(why),
        };
        let mut told = tailscale::serve_config(&heard.body, host).unwrap_or_else(Told::unknown);
        if !heard.proven {
            told.doubt(unproven(&self.program));
        }
        told
    }

    /// Asks at the sockets that the tunnel holds, or may hold. Those that are the tunnel's own and
    /// answer tell everything.
    async fn on_loopback(
        &self,
        listeners: &Observation<Vec<Listener>>,
        usual: RangeInclusive<u16>,
        host: &Host,
    ) -> Told {
        let doors = doors(listeners, &self.members, usual);
        let (mut told, mut answered, mut why) = (Told::default(), false, None);
        for at in &doors.proven {
            match self.ask_at(*at, host).await {
                Ok(more) => (told, answered) = (told.and(more), true),
                Err(failure) => drop(why.get_or_insert(failure)),
            }
        }
        if answered {
            return told;
        }
        for at in &doors.doubtful {
            if let Ok(more) = self.ask_at(*at, host).await {
                (told, why) = (told.and(more), Some(unproven(&self.program)));
            }
        }
        told.doubt(why.unwrap_or_else(|| {
            Blindness::denied(format!("{} holds no socket on which it could be asked", self.program))
        }));
        told
    }
}

impl Group {
    async fn ask_at(&self, at: SocketAddr, host: &Host) -> Result<Told, Blindness> {
        if self.manner.voice == Voice::Ngrok {
            ngrok_at(at, host).await
        } else {
            cloudflared_at(at, host).await
        }
    }
}

fn unproven(program: &str) -> Blindness {
    Blindness::denied(format!("whether it was {program} that answered cannot be told"))
}

async fn ngrok_at(at: SocketAddr, host: &Host) -> Result<Told, Blindness> {
    let tunnels = api::ask(at, ngrok::TUNNELS).await.and_then(|body| ngrok::tunnels(&body, host));
    let endpoints = api::ask(at, ngrok::ENDPOINTS).await.and_then(|body| ngrok::endpoints(&body, host));
    match (tunnels, endpoints) {
        (Ok(tunnels), Ok(endpoints)) => Ok(tunnels.and(endpoints)),
        // Agents before version 3 know no endpoints, and later ones may give up tunnels.
        (Ok(told), Err(_)) | (Err(_), Ok(told)) => Ok(told),
        (Err(why), Err(_)) => Err(why),
    }
}

async fn cloudflared_at(at: SocketAddr, host: &Host) -> Result<Told, Blindness> {
    let config = api::ask(at, cloudflared::CONFIG).await?;
    let quick = api::ask(at, cloudflared::QUICK).await.ok().and_then(|body| cloudflared::quick(&body));
    cloudflared::config(&config, quick.as_deref(), host)
}

#[cfg(test)]
mod tests;
