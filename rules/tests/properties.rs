//! What holds of every judgement, whatever was seen.

mod change;
mod world;

use std::collections::BTreeMap;

use guardian_rules::fact::{Access, Role, Seal};
use guardian_rules::finding::{Finding, Severity};
use guardian_rules::scene::Scene;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use guardian_rules::verdict::{Verdict, judge};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use change::{Exposing, blinded, expose, one_unknown, removed, shuffled};
use world::{World, world};

fn verdict(world: &World) -> Verdict {
    judge(&world.policy, &world.snapshot).verdict
}

fn with(world: &World, snapshot: Snapshot) -> World {
    World { policy: world.policy.clone(), snapshot }
}

fn set(findings: &[Finding]) -> Vec<Finding> {
    let mut findings = findings.to_vec();
    findings.sort();
    findings
}

#[test]
fn every_verdict_occurs_in_real_numbers() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let (worlds, mut seen, mut rules) = (3_000, BTreeMap::new(), BTreeMap::new());
    for _ in 0..worlds {
        let world = world().new_tree(&mut runner).expect("a world").current();
        let judgement = judge(&world.policy, &world.snapshot);
        *seen.entry(judgement.verdict).or_insert(0) += 1;
        for finding in judgement.findings {
            *rules.entry((finding.rule, finding.answer)).or_insert(0) += 1;
        }
    }
    for verdict in [Verdict::Safe, Verdict::Blind, Verdict::Exposed] {
        let share = seen.get(&verdict).copied().unwrap_or(0) * 100 / worlds;
        assert!(share >= 15, "{verdict:?} in {share} % of the worlds: {seen:?}");
    }
    for rule in guardian_rules::catalog::CATALOG {
        assert!(rules.keys().any(|(id, _)| *id == rule.id), "{} never speaks: {rules:#?}", rule.id);
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, max_global_rejects: u32::MAX, ..Config::default() })]

    /// A look that fails keeps what was seen last, to accuse and not to clear.
    #[test]
    fn blinding_any_observation_never_improves_the_verdict(world in world(), probe in prop::sample::select(&ProbeId::ALL[..])) {
        let blind = with(&world, blinded(world.snapshot.clone(), probe));
        prop_assert!(verdict(&blind) >= verdict(&world));
        prop_assert!(verdict(&blind) >= Verdict::Blind);
    }

    #[test]
    fn blinding_several_observations_never_improves_the_verdict(world in world(), probes in prop::sample::subsequence(&ProbeId::ALL[..], 0..=ProbeId::ALL.len())) {
        let mut snapshot = world.snapshot.clone();
        let mut before = verdict(&world);
        for probe in probes {
            snapshot = blinded(snapshot, probe);
            let after = verdict(&with(&world, snapshot.clone()));
            prop_assert!(after >= before);
            before = after;
        }
    }

    /// Facts that were never seen cannot accuse: what was exposed becomes blind. Nothing becomes
    /// safe.
    #[test]
    fn removing_any_observation_is_never_safe(world in world(), probe in prop::sample::select(&ProbeId::ALL[..])) {
        let removed = with(&world, removed(world.snapshot.clone(), probe));
        prop_assert!(verdict(&removed) >= Verdict::Blind);
    }

    #[test]
    fn an_exposing_fact_exposes_any_host_where_it_is_known(world in world(), fact in prop::sample::select(&Exposing::ALL[..])) {
        let exposed = expose(&world, fact, true);
        prop_assert_eq!(verdict(&exposed), Verdict::Exposed, "{:?}", fact);
    }

    /// Without allowed paths: they excuse what carries a gateway once it is known that there is one
    /// to carry.
    #[test]
    fn an_exposing_fact_never_improves_the_verdict(mut world in world(), fact in prop::sample::select(&Exposing::ALL[..])) {
        world.policy.paths.clear();
        let exposed = expose(&world, fact, false);
        prop_assert!(verdict(&exposed) >= verdict(&world), "{:?}", fact);
    }

    /// One answer that could not be had never makes a host safe, where the door that was asked is
    ///
    /// - of a process with a gateway's marks that speaks as a gateway nowhere else,
    /// - or on a port that the policy names, and no proxy's or forwarder's,
    /// - or open beyond the allowed networks and held by a proxy, by a forwarder, by a process that
    ///   is connected to a gateway, or by one that cannot be named or described.
    ///
    /// Of other doors nothing but their answers says that they matter. And a WebSocket that was
    /// welcomed where HTTP asks for credentials is the only witness of it.
    #[test]
    fn one_unknown_answer_where_it_matters_never_makes_a_host_safe(world in world(), pick in any::<prop::sample::Index>()) {
        let Some((asked, snapshot)) = one_unknown(&world.snapshot, pick) else { return Ok(()) };
        prop_assume!(!asked.is_a_contradiction);
        let scene = Scene::new(&world.policy, &world.snapshot);
        let connected: Vec<u32> = world.snapshot.peers.known().into_iter().flatten().flat_map(change::pids_of).collect();
        let matters = scene.doors.iter().filter(|door| door.listener.bound == asked.bound).any(|door| {
            let pids = door.listener.owner.pids();
            let relays = pids.iter().any(|pid| scene.process(*pid).is_some_and(|it| it.role.relays()));
            let hidden = pids.is_empty() || pids.iter().any(|pid| scene.process(*pid).is_none());
            let speaks_elsewhere = scene.doors.iter().any(|other| {
                other.speaks_gateway()
                    && other.listener.bound != asked.bound
                    && other.listener.owner.pids().iter().any(|pid| pids.contains(pid))
            });
            let marked = !speaks_elsewhere && pids.iter().any(|pid| scene.gateway_process(*pid).is_some());
            let expected = world.policy.ports.contains(&asked.bound.port());
            let attached = pids.iter().any(|pid| connected.contains(pid));
            marked || (expected && !relays) || (!door.beyond.is_none() && (relays || hidden || attached))
        });
        prop_assume!(matters);
        if verdict(&world) > Verdict::Safe {
            prop_assert!(verdict(&with(&world, snapshot)) > Verdict::Safe, "{asked:?}");
        }
    }

    /// It excuses a proxy that fails, and nothing that is seen.
    #[test]
    fn a_seal_makes_nothing_worse_and_nothing_exposed_better(world in world()) {
        let mut snapshot = world.snapshot.clone();
        let ports = snapshot.listeners.known().into_iter().flatten().map(|it| it.bound.port()).collect();
        snapshot.seal = Some(Seal { ports, admitted: [0, 1000].into() });
        let (sealed, before) = (verdict(&with(&world, snapshot)), verdict(&world));
        prop_assert!(sealed <= before);
        prop_assert_eq!(sealed == Verdict::Exposed, before == Verdict::Exposed);
    }

    #[test]
    fn a_judgement_does_not_depend_on_the_order_of_the_facts(world in world(), seed in any::<u64>()) {
        let one = judge(&world.policy, &world.snapshot);
        let other = judge(&world.policy, &shuffled(world.snapshot.clone(), seed));
        prop_assert_eq!(one.verdict, other.verdict);
        prop_assert_eq!(set(&one.findings), set(&other.findings));
        prop_assert_eq!(one.gateways, other.gateways);
        prop_assert_eq!(one.findings, other.findings);
    }

    #[test]
    fn a_judgement_is_the_same_each_time(world in world()) {
        prop_assert_eq!(judge(&world.policy, &world.snapshot), judge(&world.policy, &world.snapshot));
    }

    #[test]
    fn findings_come_gravest_first_and_only_critical_ones_move_the_verdict(world in world()) {
        let judgement = judge(&world.policy, &world.snapshot);
        prop_assert!(judgement.findings.windows(2).all(|pair| pair[0].severity >= pair[1].severity));
        let critical = judgement.findings.iter().any(|finding| finding.severity == Severity::Critical);
        prop_assert_eq!(critical, judgement.verdict > Verdict::Safe);
        for finding in &judgement.findings {
            prop_assert!(!finding.evidence.is_empty() && !finding.subject.is_empty() && !finding.remedy.is_empty());
        }
    }

    #[test]
    fn an_allowance_never_makes_anything_worse_nor_its_end_better(world in world(), network in world::network(), path in world::path()) {
        let before = judge(&world.policy, &world.snapshot);
        let mut more = world.clone();
        more.policy.networks.push(network);
        more.policy.paths.push(path);
        let after = judge(&more.policy, &more.snapshot);
        prop_assert!(after.verdict <= before.verdict);
    }

    /// Open is open, whoever carries it and whatever is allowed.
    #[test]
    fn an_open_answer_is_always_exposed(world in world()) {
        let scene = Scene::new(&world.policy, &world.snapshot);
        let is_open = scene.doors.iter().any(|door| door.access.iter().any(|answer| answer.access == Access::Open));
        if is_open {
            prop_assert_eq!(verdict(&world), Verdict::Exposed);
        }
    }

    /// A site that says what it is weighs nothing.
    #[test]
    fn a_plain_web_server_changes_nothing(world in world(), port in 20_000_u16..30_000) {
        use crate::scenery::{another_site, program};
        prop_assume!(world.snapshot.blind().next().is_none());
        let site = program("httpd", 4_000_000, Role::Unknown)
            .of_user(4_000, "www")
            .on(&format!("0.0.0.0:{port}"), another_site());
        let more = with(&world, change::also_running(world.snapshot.clone(), &site));
        prop_assert_eq!(verdict(&more), verdict(&world));
    }
}
