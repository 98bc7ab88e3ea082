//! Which processes are gateways, judged by their marks.
//!
//! Some marks are a gateway's own: the title that it gives itself, a lock file that names it,
//! arguments that tell it to run. One of these is enough. Others are handed down to every child,
//! among them whatever the agent runs: the environment, the unit. These count only where a
//! JavaScript runtime listens on the very port that its configuration names, no gateway is among
//! its ancestors, and it does not bear the agent's or a node's mark. So a web server that the agent
//! starts is none, though it has inherited everything.
//!
//! The parent of a gateway that bears the product's title is its wrapper, and counts as one.

use std::collections::{BTreeMap, BTreeSet};

use guardian_rules::fact::Product;
use guardian_rules::policy::USUAL_PORT;

use crate::owner::names::Sign;

/// What a process shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: Option<u32>,
    /// What it runs may be a gateway: a JavaScript runtime, the product's own executable, or one
    /// that could not be read. Otherwise none of the other marks count.
    pub may_be_gateway: bool,
    /// It runs on a JavaScript runtime, for certain.
    pub is_runtime: bool,
    /// Its title, with the product's name.
    pub title: Option<(Sign, String)>,
    /// The product's entry script in its arguments.
    pub script: Option<Sign>,
    /// Ports on which it listens in this network.
    pub listens: BTreeSet<u16>,
    /// A lock file that it wrote.
    pub lock: Option<(Option<Product>, String)>,
    /// The product whose variables are in its environment, and their names.
    pub environment: Option<(Product, Vec<String>)>,
    /// Its environment says that it is a command of the agent, or a node's service.
    pub disowned: bool,
    /// The unit it runs in, if named after the product.
    pub unit: Option<(Product, String)>,
    /// Ports that its environment and configuration name.
    pub told_ports: BTreeSet<u16>,
}

/// A process that is a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Process id.
    pub pid: u32,
    /// Under which name it runs, if the marks tell.
    pub product: Option<Product>,
    /// One short sentence a mark.
    pub marks: Vec<String>,
    /// It wraps a gateway and serves nothing itself.
    pub wrapper: bool,
}

/// The gateways among the processes, lowest pid first. Ancestors must be among them to be known.
#[must_use]
pub fn gateways(processes: &[Marks]) -> Vec<Judged> {
    let by_pid: BTreeMap<u32, &Marks> = processes.iter().map(|marks| (marks.pid, marks)).collect();
    let certain: BTreeSet<u32> =
        processes.iter().filter(|marks| marks.is_own_gateway()).map(|marks| marks.pid).collect();
    let inherited = processes.iter().filter(|marks| {
        !certain.contains(&marks.pid)
            && marks.is_gateway_by_inheritance()
            && ancestors(marks, &by_pid).all(|ancestor| !certain.contains(&ancestor.pid))
    });
    let serving: BTreeSet<u32> = certain.iter().copied().chain(inherited.map(|marks| marks.pid)).collect();
    let wrapped: BTreeMap<u32, u32> = serving
        .iter()
        .filter_map(|pid| by_pid.get(pid))
        .flat_map(|marks| ancestors(marks, &by_pid).map(|ancestor| (ancestor, marks.pid)))
        .filter(|(ancestor, _)| ancestor.may_be_gateway && !serving.contains(&ancestor.pid))
        .filter(|(ancestor, _)| ancestor.title.is_some() || ancestor.script.is_some())
        .map(|(ancestor, pid)| (ancestor.pid, pid))
        .collect();
    processes
        .iter()
        .filter_map(|marks| {
            let wraps = wrapped.get(&marks.pid);
            (serving.contains(&marks.pid) || wraps.is_some()).then(|| marks.judged(wraps.copied()))
        })
        .collect()
}

impl Marks {
    fn is_own_gateway(&self) -> bool {
        let title = self.title.as_ref().map(|(sign, _)| *sign);
        self.may_be_gateway
            && (self.lock.is_some()
                || [title, self.script].into_iter().flatten().any(|sign| sign.gateway)
                || (title.is_some() && !self.listens.is_empty() && !self.disowned))
    }

    fn is_gateway_by_inheritance(&self) -> bool {
        let default = BTreeSet::from([USUAL_PORT]);
        let told = if self.told_ports.is_empty() { &default } else { &self.told_ports };
        self.is_runtime
            && !self.disowned
            && (self.environment.is_some() || self.unit.is_some())
            && !self.listens.is_disjoint(told)
    }

    fn judged(&self, wraps: Option<u32>) -> Judged {
        let mut marks = Vec::new();
        let mut products = Vec::new();
        if let Some((sign, title)) = &self.title {
            products.push(sign.product);
            marks.push(if sign.gateway || wraps.is_some() || self.listens.is_empty() {
                format!("its title is {title}")
            } else {
                format!("its title is {title} and it holds a listening socket")
            });
        }
        if let Some((product, path)) = &self.lock {
            products.extend(*product);
            marks.push(format!("the lock file {path} names it"));
        }
        if let Some(sign) = self.script {
            products.push(sign.product);
            marks.push(format!("it runs the entry script of {}", sign.product));
        }
        if let Some((product, name)) = &self.unit {
            products.push(*product);
            marks.push(format!("it runs in {name}"));
        }
        if let Some((product, names)) = &self.environment {
            products.push(*product);
            marks.push(format!("its environment sets {}", names.join(", ")));
        }
        if let Some(child) = wraps {
            marks.push(format!("it is the parent of gateway {child}"));
        }
        Judged { pid: self.pid, product: products.first().copied(), marks, wrapper: wraps.is_some() }
    }
}

/// The ancestors that are known, nearest first. A circle ends it: a process table that is read
/// while pids are used again can hold one.
fn ancestors<'a>(
    of: &'a Marks,
    by_pid: &'a BTreeMap<u32, &'a Marks>,
) -> impl Iterator<Item = &'a Marks> + use<'a> {
    let parent = |marks: &&'a Marks| by_pid.get(&marks.parent?).copied();
    std::iter::successors(Some(of), parent).skip(1).take(by_pid.len())
}

#[cfg(test)]
mod tests;
