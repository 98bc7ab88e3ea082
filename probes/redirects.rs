//! Where the packet filter sends connections that come to this host.
//!
//! Such a connection needs no listening socket where it arrives, so no list of sockets shows it.
//! Rules of nftables, of iptables in both of its kinds, and of pf are read. Out of sight are the
//! load balancer of Linux (IPVS), which has a table of its own, and whatever programs within the
//! kernel (eBPF on cards, sockets and traffic control) do to packets: `reach` and `peers` see what
//! comes of it.

use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, Destination, Redirect, Redirects as Facts};
use guardian_rules::snapshot::ProbeId;

use crate::ask::targets::Target;
use crate::guests::{self, Guests, MAX_GUESTS};
use crate::probe::{Ground, Probe, blocking};

mod condition;
#[cfg(target_os = "linux")]
pub mod generation;
pub mod iptables;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
pub mod nft;
pub mod pf;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

/// A guest is asked at each of so many ports of a range at most.
const MAX_PORTS: u16 = 8;

/// Reads the packet filter's redirects, and asks the guests of this host to which they lead.
#[derive(Debug, Default)]
pub struct Redirects {
    filter: platform::Filter,
}

impl Probe for Redirects {
    type Facts = Facts;
    const ID: ProbeId = ProbeId::Redirects;
    const CADENCE: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn observe(&mut self, ground: Ground) -> Result<Facts, Blindness> {
        let taking = blocking(|| Ok(platform::taking_loopback())).await?;
        let mut rules = self.filter.redirects().await;
        let takes = |taking: &Vec<String>| !taking.is_empty();
        let mut open_cards = Vec::new();
        if rules.as_ref().is_ok_and(|rules| !rules.is_empty()) || taking.as_ref().is_some_and(takes) {
            let own = ground.known.interfaces.known().cloned().unwrap_or_default();
            let guests = blocking(move || Ok(Guests::of_this_host(&own))).await?;
            let taking = taking.as_deref().unwrap_or_default();
            open_cards.extend(platform::cards(taking).filter(|card| !guests.are_behind(card)).cloned());
            if let Ok(redirects) = &mut rules {
                *redirects = each_port(std::mem::take(redirects), &guests);
                ask_guests(redirects, &guests).await;
            }
        }
        Ok(Facts { rules, reaches_loopback: taking.as_ref().map(takes), open_cards })
    }
}
/// A few ports of a guest are told apart, so that each can be asked.
fn each_port(redirects: Vec<Redirect>, guests: &Guests) -> Vec<Redirect> {
    let ports = |redirect: &Redirect| -> Vec<Option<Destination>> {
        match redirect.to {
            Some(Destination { ip, ports: (first, last) })
                if guests.way_to(ip).is_some() && last.saturating_sub(first) < MAX_PORTS =>
            {
                (first..=last).map(|port| Some(Destination { ip, ports: (port, port) })).collect()
            }
            to => vec![to],
        }
    };
    redirects
        .into_iter()
        .flat_map(|redirect| ports(&redirect).into_iter().map(move |to| Redirect { to, ..redirect.clone() }))
        .collect()
}

/// Asks every guest once, however many rules lead to it.
async fn ask_guests(redirects: &mut [Redirect], guests: &Guests) {
    let mut asked: Vec<(Destination, Target)> = Vec::new();
    for redirect in redirects.iter_mut() {
        let Some(to) = redirect.to else { continue };
        let Some(way) = guests.way_to(to.ip) else { continue };
        redirect.guest = match to.only() {
            Some(_) if asked.iter().any(|(known, _)| *known == to) => None,
            Some(at) if asked.len() < MAX_GUESTS => {
                asked.push((to, Target::guest(at, way)));
                None
            }
            _ => Some(Access::Unknown(Blindness::new(Cause::TooMuch, "there are too many places to ask"))),
        };
    }
    let (places, targets): (Vec<Destination>, Vec<Target>) = asked.into_iter().unzip();
    let answers = guests::ask(targets).await;
    for (place, answer) in places.iter().zip(answers) {
        for redirect in redirects.iter_mut().filter(|it| it.to == Some(*place)) {
            redirect.guest = Some(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests;
