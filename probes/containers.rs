//! Asks container engines which ports they publish.
//!
//! An engine may publish a port by the packet filter alone (Docker with `userland-proxy` off), so
//! that no socket listens for it. What an engine says may accuse; it excuses only where root
//! alone can put a socket: anybody may put one into his own place and answer on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use guardian_rules::address::unmap;
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, ContainerPort, Engine, InterfaceAddress};
use guardian_rules::snapshot::ProbeId;

use crate::ask::targets::Target;
use crate::ask::{Turn, each};
use crate::guests::{self, Guests, MAX_GUESTS};
use crate::owner::table::{Table, hidden};
use crate::probe::{Ground, Probe, blocking};

pub mod api;
pub mod list;
mod place;

use list::Published;
use place::Place;

/// All engines together answer within this.
const BUDGET: Duration = Duration::from_secs(3);

/// An engine that is started to be asked is asked again after this, or when a container comes or
/// goes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Ports in all; more is blind.
const MAX_PORTS: usize = 4096;

/// Asks container engines which ports they publish, and who gets in there.
#[derive(Debug, Default)]
pub struct Containers {
    table: Table,
    kept: BTreeMap<PathBuf, Kept>,
}

/// What an engine said that is not asked each time.
#[derive(Debug, Clone)]
struct Kept {
    at: Instant,
    running: BTreeSet<u32>,
    said: Result<Vec<Published>, Blindness>,
}

impl Probe for Containers {
    type Facts = Vec<Engine>;
    const ID: ProbeId = ProbeId::Containers;
    const CADENCE: Duration = Duration::from_secs(10);
    const DEADLINE: Duration = Duration::from_secs(12);

    async fn observe(&mut self, ground: Ground) -> Result<Self::Facts, Blindness> {
        let mut table = std::mem::take(&mut self.table);
        let own = ground.known.interfaces.known().cloned().unwrap_or_default();
        let (table, running, places, guests, own) = blocking(move || {
            let running = Running::read(&mut table)?;
            let guests = Guests::of_this_host(&own);
            Ok((table, running, place::places(), guests, own))
        })
        .await?;
        self.table = table;
        let engines = self.ask(places, &running).await;
        Ok(look_behind(engines, &guests, &own).await)
    }
}

/// The processes by which an engine runs. To connect to its socket may start an engine that does
/// not run, and nothing is to be started by looking.
#[derive(Debug, Default)]
struct Running {
    docker: BTreeSet<u32>,
    podman: BTreeSet<u32>,
    /// Processes of others are hidden from this program.
    is_hidden: bool,
}

impl Running {
    fn read(table: &mut Table) -> Result<Self, Blindness> {
        Ok(Self {
            docker: table.find(|name| name == "dockerd")?,
            // Containers of podman have no daemon, but each has a monitor.
            podman: table.find(|name| matches!(name, "conmon" | "podman"))?,
            is_hidden: hidden().is_some(),
        })
    }

    /// The processes of the engine behind a socket that the system starts by being connected to.
    fn of(&self, place: &Place) -> Option<&BTreeSet<u32>> {
        match (place.starts_on_connection, place.engine) {
            (false, _) => None,
            (true, "podman") => Some(&self.podman),
            (true, _) => Some(&self.docker),
        }
    }
}

impl Containers {
    /// Asks each engine that is there.
    async fn ask(
        &mut self,
        places: Vec<Place>,
        running: &Running,
    ) -> Vec<(Place, Result<Vec<Published>, Blindness>)> {
        let now = Instant::now();
        let mut said = Vec::new();
        let mut asked = Vec::new();
        for place in places {
            match running.of(&place) {
                Some(none) if none.is_empty() => {
                    if running.is_hidden {
                        let hidden = "whether it runs is hidden, and to ask might start it";
                        said.push((place, Err(Blindness::denied(hidden))));
                    }
                }
                Some(running) => match self.kept.get(&place.socket) {
                    Some(kept) if kept.running == *running && now.duration_since(kept.at) < PATIENCE => {
                        said.push((place, kept.said.clone()));
                    }
                    _ => asked.push(place),
                },
                None => asked.push(place),
            }
        }
        let turns = each(asked, BUDGET, |place| {
            let place = place.clone();
            async move { api::published(&place).await }
        });
        for (place, turn) in turns.await {
            let answer = match turn {
                Turn::Done(Some(answer)) => answer,
                // Nobody is there.
                Turn::Done(None) => continue,
                Turn::Late => Err(Blindness::timed_out("it does not answer")),
                Turn::Failed => Err(Blindness::new(Cause::Panicked, "its answer made the question fail")),
            };
            if let (Some(running), "podman") = (running.of(&place), place.engine) {
                let kept = Kept { at: now, running: running.clone(), said: answer.clone() };
                self.kept.insert(place.socket.clone(), kept);
            }
            said.push((place, answer));
        }
        let there: BTreeSet<&PathBuf> = said.iter().map(|(place, _)| &place.socket).collect();
        self.kept.retain(|socket, _| there.contains(socket));
        said
    }
}

/// Asks what is behind each published port.
async fn look_behind(
    engines: Vec<(Place, Result<Vec<Published>, Blindness>)>,
    guests: &Guests,
    own: &[InterfaceAddress],
) -> Vec<Engine> {
    let published = engines.iter().filter_map(|(_, said)| said.as_ref().ok()).flatten();
    let mut wanted: Vec<Target> = published.map(|port| whom_to_ask(port, guests, own)).collect();
    wanted.sort_by_key(|target| target.at);
    wanted.dedup();
    wanted.truncate(MAX_GUESTS);
    let answers = guests::ask(wanted.clone()).await;
    let known: Vec<(Target, Access)> = wanted.into_iter().zip(answers).collect();
    engines
        .into_iter()
        .map(|(place, said)| Engine {
            name: place.engine.to_owned(),
            socket: place.socket,
            is_roots: !place.is_users,
            ports: said.and_then(|published| {
                if published.len() > MAX_PORTS {
                    let many = format!("it publishes more than {MAX_PORTS} ports");
                    return Err(Blindness::new(Cause::TooMuch, many));
                }
                Ok(published.into_iter().map(|port| container_port(port, guests, own, &known)).collect())
            }),
        })
        .collect()
}

fn container_port(
    published: Published,
    guests: &Guests,
    own: &[InterfaceAddress],
    known: &[(Target, Access)],
) -> ContainerPort {
    let target = whom_to_ask(&published, guests, own);
    let access = match known.iter().find(|(asked, _)| *asked == target) {
        Some((_, access)) => access.clone(),
        None => Access::Unknown(Blindness::new(Cause::TooMuch, "there are too many places to ask")),
    };
    let to = if target.through.is_some() { Some(target.at) } else { published.ends.first().copied() };
    ContainerPort {
        container: published.container,
        image: published.image,
        is_named_like_a_gateway: published.is_named_like_a_gateway,
        on: published.on,
        to,
        access,
    }
}

/// The container's own end, if that is a guest of this host; else the place on this host where it
/// is published.
fn whom_to_ask(published: &Published, guests: &Guests, own: &[InterfaceAddress]) -> Target {
    let end = published.ends.iter().find_map(|end| Some(Target::guest(*end, guests.way_to(end.ip())?)));
    end.unwrap_or_else(|| {
        let on = published.on;
        if !on.ip().is_unspecified() {
            return Target::own(on);
        }
        // The packet filter sends on what comes to an own address, and seldom what comes to loopback.
        let mut cards = own.iter().map(|own| unmap(own.address)).filter(|ip| {
            ip.is_ipv4() == on.is_ipv4()
                && !ip.is_loopback()
                && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
        });
        let loopback: IpAddr =
            if on.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Target::own(SocketAddr::new(cards.next().unwrap_or(loopback), on.port()))
    })
}

#[cfg(test)]
mod tests;
