//! The gateways of this host, as reports name them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::door::{Door, Part};
use crate::fact::{Access, GatewayProcess, Process, Product};

/// Who gets in at a gateway without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessSummary {
    /// Anyone, on one of its own sockets at least.
    Open,
    /// Nobody, on any of its own sockets.
    Required,
    /// Not every socket told.
    Unknown,
}

/// A gateway: the sockets of one process that answer as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Under which name it runs, if that could be told.
    pub product: Option<Product>,
    /// The process that holds the sockets, if it can be named.
    pub pid: Option<u32>,
    /// Its user, by name where there is one.
    pub user: Option<String>,
    /// Its sockets as bound, a dual-stack wildcard as both wildcards.
    pub listeners: Vec<SocketAddr>,
    /// Who gets in.
    pub access: AccessSummary,
}

/// What tells two gateways apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Named(u32),
    Unnamed { uid: Option<u32>, port: u16 },
}

impl Holder {
    fn pid(self) -> Option<u32> {
        match self {
            Self::Named(pid) => Some(pid),
            Self::Unnamed { .. } => None,
        }
    }
}

/// Groups the gateways' doors by process; those that cannot be named by port and user.
pub(super) fn gateways(
    doors: &[Door<'_>],
    marked: &BTreeMap<u32, &GatewayProcess>,
    processes: &BTreeMap<u32, &Process>,
) -> Vec<Gateway> {
    let mut groups: BTreeMap<Holder, Vec<&Door<'_>>> = BTreeMap::new();
    for door in doors.iter().filter(|door| door.part == Part::Gateway) {
        let key = match door.holder {
            Some(pid) => Holder::Named(pid),
            None => Holder::Unnamed { uid: door.listener.uid, port: door.listener.bound.port() },
        };
        groups.entry(key).or_default().push(door);
    }
    let mut gateways: Vec<Gateway> = groups
        .into_iter()
        .map(|(holder, doors)| {
            let pid = holder.pid();
            let process = pid.and_then(|pid| processes.get(&pid));
            let mut listeners: Vec<SocketAddr> =
                doors.iter().flat_map(|door| door.listener.as_bound()).collect();
            listeners.sort_unstable_by_key(|address| (address.port(), *address));
            listeners.dedup();
            Gateway {
                product: product(pid.and_then(|pid| marked.get(&pid)), &doors),
                pid,
                user: process
                    .and_then(|process| process.user.clone())
                    .or_else(|| doors.iter().find_map(|door| door.listener.uid).map(|uid| uid.to_string())),
                listeners,
                access: summary(&doors),
            }
        })
        .collect();
    gateways.sort_by(|one, other| one.listeners.cmp(&other.listeners));
    gateways
}

fn product(marked: Option<&&GatewayProcess>, doors: &[&Door<'_>]) -> Option<Product> {
    marked
        .and_then(|gateway| gateway.product)
        .or_else(|| doors.iter().flat_map(|door| door.pages()).find_map(|page| page.structure.or(page.title)))
}

fn summary(doors: &[&Door<'_>]) -> AccessSummary {
    let mut summary = AccessSummary::Required;
    for door in doors {
        match door.who_gets_in() {
            Some(Access::Open) => return AccessSummary::Open,
            Some(Access::Required | Access::RefusesProxy) => {}
            Some(Access::Fronted | Access::NoGateway | Access::Unknown(_)) | None => {
                summary = AccessSummary::Unknown;
            }
        }
    }
    summary
}
