//! The two lists of listening sockets differ.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::catalog::Rule;
use crate::finding::Finding;
use crate::scene::Scene;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let Some(witness) = scene.snapshot.witness.known() else { return Vec::new() };
    let sides = [
        ("guardian's own list", &witness.only_first),
        ("the second witness (netstat2)", &witness.only_second),
    ];
    let evidence: Vec<String> = sides
        .into_iter()
        .filter(|(_, only)| !only.is_empty())
        .map(|(side, only)| format!("only in {side}: {}", some(only)))
        .collect();
    if evidence.is_empty() { Vec::new() } else { vec![rule.unknown(&"listening sockets", evidence)] }
}

fn some(addresses: &[SocketAddr]) -> String {
    const FEW: usize = 5;
    let sorted: BTreeSet<&SocketAddr> = addresses.iter().collect();
    let mut text: Vec<String> = sorted.iter().take(FEW).map(ToString::to_string).collect();
    if sorted.len() > FEW {
        text.push(format!("and {} more", sorted.len() - FEW));
    }
    text.join(", ")
}
