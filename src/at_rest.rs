//! What gateways that do not run now would expose when they start: notes beside a judgement, which they do not
//! move, for nothing is exposed.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use guardian_probes::gateway::at_rest::{AtRest, at_rest};
use guardian_probes::gateway::secrets;
use guardian_rules::catalog::configuration_at_next_start;
use guardian_rules::fact::Product;
use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::policy::Policy;
use guardian_rules::scene::Scene;
use guardian_rules::snapshot::Snapshot;
use nix::unistd::Uid;

pub(crate) use self::look::Look;

mod look;

const SEEN_BY_NOBODY: &str = "no gateway is seen to run by it: this is so as soon as one does";

/// A home may lie where nobody answers: none of them is waited for longer.
const WAITS: Duration = Duration::from_secs(1);

/// And all of them together no longer.
const ALTOGETHER: Duration = Duration::from_secs(4);

/// The notes, with what lies in the homes that this user may look into.
pub(crate) fn notes(policy: &Policy, snapshot: &Snapshot) -> Vec<Finding> {
    of(policy, snapshot, &in_all_homes(look))
}

/// What lies in the homes that answer; of the others it is said that they do not.
fn in_all_homes(look: impl Fn(BTreeSet<PathBuf>) -> io::Result<Look>) -> Vec<AtRest> {
    let (begun, mut found, mut done) = (Instant::now(), Vec::new(), BTreeSet::new());
    loop {
        let at = match look(done.clone()) {
            Ok(look) => take_in(&look, begun, &mut found, &mut done),
            Err(failed) => {
                tracing::warn!(%failed, "no home could be looked into for gateways that do not run");
                return found;
            }
        };
        let Some(at) = at else { return found };
        tracing::warn!(at = %at.display(), "not looked into for gateways that do not run: there is no answer");
        done.insert(at);
    }
}

/// Takes in what a look tells, until it ends or hangs; answers where it hangs if others may be left.
fn take_in(
    look: &Look,
    begun: Instant,
    found: &mut Vec<AtRest>,
    done: &mut BTreeSet<PathBuf>,
) -> Option<PathBuf> {
    loop {
        match look.told.recv_timeout(WAITS.min(ALTOGETHER.saturating_sub(begun.elapsed()))) {
            Ok((home, within)) => {
                found.extend(within);
                done.insert(home);
            }
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if begun.elapsed() >= ALTOGETHER => {
                tracing::warn!("not every home could be looked into for gateways that do not run");
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {
                // If not, it has gone on meanwhile, or lists the homes still.
                if let Some(at) = look.at().filter(|at| look.ends_with(at)) {
                    return Some(at);
                }
            }
        }
    }
}

/// Looks into the homes, but for these.
pub(crate) fn look(but: BTreeSet<PathBuf>) -> io::Result<Look> {
    let others = move || homes().into_iter().filter(|home| !but.contains(home)).collect();
    Look::begin(others, |home| at_rest([home.to_owned()]))
}

/// This user's home; for root everybody's.
fn homes() -> BTreeSet<PathBuf> {
    let own = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let mut homes: BTreeSet<PathBuf> = own.into_iter().collect();
    if Uid::effective().is_root() {
        homes.extend(secrets::homes_here());
    }
    homes
}

/// What these configurations would expose, but for those that a gateway runs by: they are judged already.
pub(crate) fn of<'a>(
    policy: &Policy,
    snapshot: &Snapshot,
    found: impl IntoIterator<Item = &'a AtRest>,
) -> Vec<Finding> {
    let running = running(snapshot);
    let at_rest: Vec<&AtRest> = found.into_iter().filter(|it| !running.contains(&it.path)).collect();
    if at_rest.is_empty() {
        return Vec::new();
    }
    // What listens has nothing to do with it, and may be much.
    let addresses = Snapshot { interfaces: snapshot.interfaces.clone(), ..Snapshot::default() };
    let scene = Scene::new(policy, &addresses);
    let findings = at_rest.into_iter().flat_map(|it| {
        let name = it.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let product = name.starts_with("clawdbot").then_some(Product::Clawdbot);
        configuration_at_next_start(&scene, product, &it.state, &it.path.display().to_string())
    });
    findings.filter(|finding| finding.severity == Severity::Critical).map(note).collect()
}

/// The configurations that gateways run by.
pub(crate) fn running(snapshot: &Snapshot) -> BTreeSet<&PathBuf> {
    snapshot.gateway.known().into_iter().flatten().filter_map(|it| it.config.path.as_ref()).collect()
}

/// The same for everybody of this machine. Whoever has a home chooses what a watcher of root's reads there, by a link or
/// an include, and is not to be told by it what that says.
pub(crate) fn for_everybody(mut note: Finding) -> Finding {
    if note.answer == Answer::Unknown {
        note.evidence = vec![
            SEEN_BY_NOBODY.to_owned(),
            "what it says cannot be told, or is known of no version: `guardian check` of its owner's says more".to_owned(),
        ];
    }
    note
}

fn note(mut finding: Finding) -> Finding {
    finding.severity = Severity::Info;
    finding.evidence.insert(0, SEEN_BY_NOBODY.to_owned());
    "Mend the setting named here before you start that gateway.".clone_into(&mut finding.remedy);
    finding
}

#[cfg(test)]
mod tests {
    use guardian_probes::gateway::configuration;
    use guardian_rules::fact::{ConfigFile, ConfigState, GatewayProcess, InterfaceAddress};
    use guardian_rules::observation::Observation;
    use guardian_rules::verdict::{Verdict, judge};

    use super::*;

    #[test]
    fn a_home_that_does_not_answer_hides_no_other_from_a_check() {
        let (_keep, hangs) = std::sync::mpsc::channel::<()>();
        let hangs = std::sync::Arc::new(std::sync::Mutex::new(hangs));
        let found = in_all_homes(|but| {
            let homes = ["/a", "/b", "/c"].map(PathBuf::from).into_iter().filter(|home| !but.contains(home));
            let (homes, hangs) = (homes.collect(), std::sync::Arc::clone(&hangs));
            Look::begin(
                || homes,
                move |home| {
                    if home.ends_with("b") {
                        let _ = hangs.lock().unwrap().recv();
                    }
                    vec![AtRest { path: home.to_owned(), state: ConfigState::Absent }]
                },
            )
        });
        let paths: Vec<PathBuf> = found.into_iter().map(|it| it.path).collect();
        assert_eq!(paths, ["/a", "/c"].map(PathBuf::from));
    }

    fn on_a_lan() -> Snapshot {
        let card = InterfaceAddress {
            interface: "eth0".to_owned(),
            index: None,
            address: "192.168.1.5".parse().unwrap(),
            prefix: 24,
            tunnel: false,
        };
        Snapshot { interfaces: Observation::Seen(vec![card]), ..Snapshot::default() }
    }

    fn saying(text: &str) -> AtRest {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openclaw.json");
        std::fs::write(&path, text).unwrap();
        AtRest { state: configuration(&path), path: "/home/ana/.openclaw/openclaw.json".into() }
    }

    #[test]
    fn a_gateway_that_is_stopped_and_would_be_exposed_is_noted_and_moves_no_verdict() {
        let (policy, snapshot) = (Policy::default(), on_a_lan());
        let found = of(&policy, &snapshot, &[saying("{ gateway: { bind: 'lan' } }")]);
        let [note] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(
            (note.rule, note.severity, note.answer),
            ("config-incomplete", Severity::Info, Answer::Yes)
        );
        assert_eq!(note.subject, "/home/ana/.openclaw/openclaw.json");
        assert!(note.evidence[0].contains("no gateway is seen to run by it"), "{note:#?}");
        assert!(note.evidence[1].contains("gateway.bind is \"lan\""), "{note:#?}");
        assert!(note.remedy.contains("before you start"), "{note:#?}");
        let mut judgement = judge(&policy, &snapshot);
        let (verdict, warns) = (judgement.verdict, judgement.has_warnings());
        judgement.findings.extend(found);
        assert_eq!((judgement.verdict, judgement.has_warnings()), (verdict, warns));
        assert_ne!(verdict, Verdict::Exposed);
    }

    #[test]
    fn a_sound_one_and_one_that_a_gateway_runs_by_are_not_noted() {
        let policy = Policy::default();
        let sound = saying("{ gateway: { bind: 'loopback', auth: { mode: 'token', token: 'x' } } }");
        assert_eq!(of(&policy, &on_a_lan(), &[sound]), []);
        let lan = saying("{ gateway: { bind: 'lan' } }");
        let config = ConfigFile { path: Some(lan.path.clone()), state: ConfigState::Absent };
        let gateway = GatewayProcess {
            pid: 812,
            product: None,
            marks: Vec::new(),
            service: None,
            config,
            private_paths: Vec::new(),
            state: None,
            within_reach: Ok(Vec::new()),
            devices: Ok(Vec::new()),
        };
        let running = Snapshot { gateway: Observation::Seen(vec![gateway]), ..on_a_lan() };
        assert_eq!(of(&policy, &running, &[lan]), []);
    }

    #[test]
    fn one_that_cannot_be_read_is_noted_as_unknown() {
        let found = of(&Policy::default(), &on_a_lan(), &[saying("{ half")]);
        let [note] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((note.severity, note.answer), (Severity::Info, Answer::Unknown));
    }

    /// `gateway.bind` of whatever file a link leads to.
    #[test]
    fn everybody_is_told_what_would_be_exposed_and_no_word_of_a_file_that_is_not_understood() {
        let told = |text: &str| {
            let found = of(&Policy::default(), &on_a_lan(), &[saying(text)]);
            let told: Vec<Finding> = found.into_iter().map(for_everybody).collect();
            format!("{told:?}")
        };
        let strange = told("{ gateway: { bind: 'a-secret' } }");
        assert!(!strange.contains("a-secret") && strange.contains("cannot be told"), "{strange}");
        assert!(told("{ gateway: { bind: 'lan' } }").contains("gateway.bind is"));
    }
}
