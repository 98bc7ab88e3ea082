//! `guardian.toml`: where it is, whether it is to be trusted, and what follows from it.

mod settings;
mod source;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use guardian_rules::policy::{AllowedNetwork, AllowedPath, Policy, USUAL_PORT};
use guardian_rules::snapshot::ProbeId;
use ipnet::IpNet;
use jiff::Timestamp;
use nix::unistd::User;

use settings::Span;
pub(crate) use settings::{Allowance, Enforce, Mode, Notify, Rate, Settings, Target, Tls};
pub(crate) use source::{LIMIT, SourceError};

/// The user that the installer makes for the gate.
pub(crate) const GATE_USER: &str = "_guardian-gate";

/// The configuration in force.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it comes from; none if there is none and the defaults are used.
    pub(crate) source: Option<PathBuf>,
    /// What it says.
    pub(crate) settings: Settings,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read, or somebody else could have written it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file says something that is not understood.
    #[error("{path} is not a valid configuration\n{told}")]
    Invalid {
        path: String,
        /// The line, the key and what would be right, as the parser tells it.
        told: String,
    },
    /// The configuration cannot be written out again.
    #[error("the configuration cannot be put into TOML")]
    Unprintable(#[from] toml::ser::Error),
}

impl ConfigError {
    /// The same in one line, without the parser's sketch of the place.
    pub(crate) fn in_one_line(&self) -> String {
        let told = crate::cli::chain(self);
        let lines: Vec<&str> = told.lines().map(str::trim).filter(|line| !line.contains('|')).collect();
        lines.join(": ")
    }

    /// The same, and where there is more to see.
    pub(crate) fn brief(&self) -> String {
        format!("{}; see `guardian config check`", self.in_one_line())
    }
}

impl Config {
    /// Reads the configuration: of `named`, else of `$GUARDIAN_CONFIG`, else of this user or
    /// machine. A file that was named must exist; without one the defaults are used.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(file) = source::find(named)? else {
            return Ok(Self { source: None, settings: Settings::default() });
        };
        Self::of_text(&file.path, &file.text)
    }

    /// Reads a text as if it were the file at `path`.
    pub(crate) fn of_text(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let settings =
            parse(text).map_err(|told| ConfigError::Invalid { path: path.display().to_string(), told })?;
        Ok(Self { source: Some(path.to_owned()), settings })
    }

    /// The one allowance that a text is; a sentence says what is wrong with it. Of a text that nobody has written there
    /// is no place to be shown.
    pub(crate) fn one_allowance(text: &str) -> Result<Allowance, String> {
        let settings: Settings = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        match settings.allowance.as_slice() {
            [allowance] => Ok(allowance.clone()),
            _ => Err("it is not one allowance".to_owned()),
        }
    }

    /// The path and text of the file that [`Config::load`] would read; where there is none, the
    /// place where it is looked for first, and no text.
    pub(crate) fn text(named: Option<&Path>) -> Result<(PathBuf, String), ConfigError> {
        let source = source::find_or_new(named)?;
        Ok((source.path, source.text))
    }

    /// Where a policy of whoever runs this belongs.
    pub(crate) fn own_place() -> Option<PathBuf> {
        source::own_place()
    }

    /// The policy at an instant: allowances that have ended are not in it.
    pub(crate) fn policy(&self, now: Timestamp) -> Policy {
        let mut policy = Policy {
            ports: self.settings.gateway.ports.clone(),
            suspicious: self.settings.gate.suspicious,
            ..Policy::default()
        };
        for allowance in self.settings.allowance.iter().filter(|allowance| allowance.until > now) {
            let reason = allowance.reason.clone();
            match &allowance.target {
                Target::Network(network) => {
                    policy.networks.push(AllowedNetwork { network: *network, reason });
                }
                Target::Path(path) => {
                    policy.paths.push(AllowedPath { path: path.clone(), reason });
                }
            }
        }
        policy
    }

    /// How often a probe looks, where the policy says so.
    pub(crate) fn cadence(&self, probe: ProbeId) -> Option<Duration> {
        self.settings.cadence.get(&probe).map(|cadence| Span::from(*cadence).0)
    }

    /// A user's number, by name or as the number itself. Whoever knows the names may hang.
    pub(crate) fn user(name: &str) -> Option<u32> {
        uid(name)
    }

    /// Where the gate finds the gateway.
    pub(crate) fn gate_upstream(&self) -> SocketAddr {
        let port = self.settings.gateway.ports.first().copied().unwrap_or(USUAL_PORT);
        self.settings.gate.gateway.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The networks that are allowed at an instant, and until when each is.
    pub(crate) fn networks(&self, now: Timestamp) -> Vec<(IpNet, Timestamp)> {
        let lasts = self.settings.allowance.iter().filter(|allowance| allowance.until > now);
        let network = |allowance: &Allowance| match &allowance.target {
            Target::Network(network) => Some((*network, allowance.until)),
            Target::Path(_) => None,
        };
        lasts.filter_map(network).collect()
    }

    /// The user that the gate runs as, if there is one.
    pub(crate) fn gate_user() -> Option<u32> {
        uid(GATE_USER)
    }

    /// What is valid and still worth a second look, a sentence each.
    pub(crate) fn cautions(&self, now: Timestamp) -> Vec<String> {
        let ended = |allowance: &settings::Allowance| allowance.until <= now;
        let users = self.settings.owners.iter().chain(&self.settings.gateway.user);
        let unknown = users
            .filter(|name| uid(name).is_none())
            .map(|name| format!("there is no user {name:?} on this host."));
        let metrics = self.settings.metrics.listen.filter(|at| self.is_taken(*at));
        let metrics =
            metrics.map(|at| format!("[metrics] listen: {at} is the gateway's port, or the gate's."));
        let allowances = self.settings.allowance.iter().filter_map(|allowance| match &allowance.target {
            _ if ended(allowance) => {
                Some(format!("the allowance {:?} ended on {}.", allowance.reason, allowance.until))
            }
            Target::Network(network) if network.prefix_len() == 0 => {
                Some(format!("the allowance {:?} allows everybody ({network}).", allowance.reason))
            }
            Target::Network(network) if *network != network.trunc() => Some(format!(
                "the allowance {:?} names {network}, which is taken for {}.",
                allowance.reason,
                network.trunc()
            )),
            Target::Network(_) | Target::Path(_) => None,
        });
        unknown.chain(metrics).chain(allowances).collect()
    }

    /// Whether somebody else is to listen there.
    fn is_taken(&self, at: SocketAddr) -> bool {
        self.settings.gateway.ports.contains(&at.port())
            || self.gate_upstream() == at
            || self.settings.gate.listen.contains(&at)
    }

    /// The configuration as TOML, defaults included.
    pub(crate) fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(&self.settings)?)
    }
}

/// A user's number, by name or as the number itself.
fn uid(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
}

fn parse(text: &str) -> Result<Settings, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config { source: None, settings: parse(text).unwrap_or_else(|told| panic!("{told}")) }
    }

    const KIOSK: &str = r#"
        [[allowance]]
        network = "192.168.1.0/24"
        reason = "kiosk in the hall"
        until = 2026-12-31T00:00:00Z
    "#;

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(config("").settings, Settings::default());
        assert_eq!(config("").policy(Timestamp::UNIX_EPOCH), Policy::default());
    }

    #[test]
    fn the_defaults_survive_being_written_and_read() {
        let written = config(KIOSK).to_toml().unwrap();
        assert_eq!(config(&written).settings, config(KIOSK).settings);
    }

    #[test]
    fn an_allowance_holds_until_its_end_and_not_after() {
        let before: Timestamp = "2026-12-30T23:59:59Z".parse().unwrap();
        let after: Timestamp = "2026-12-31T00:00:00Z".parse().unwrap();
        assert!(config(KIOSK).policy(before).names("192.168.1.7".parse().unwrap()));
        assert!(!config(KIOSK).policy(after).names("192.168.1.7".parse().unwrap()));
        assert!(config(KIOSK).cautions(before).is_empty());
        assert_eq!(config(KIOSK).cautions(after).len(), 1);
    }

    /// In UTC it is of the year -1, which RFC 3339 cannot write: the watcher writes its policy down.
    #[test]
    fn an_end_that_cannot_be_written_again_is_none() {
        let told = parse(&KIOSK.replace("2026-12-31T00:00:00Z", "0000-01-01T00:00:00+01:00")).unwrap_err();
        assert!(told.contains("until needs a date"), "{told}");
    }

    #[test]
    fn what_is_wrong_can_be_said_in_one_line_without_the_sketch_of_the_place() {
        let failed =
            Config::of_text("guardian.toml".as_ref(), "mode = \"enforce\"\nseal = fasle\n").unwrap_err();
        let brief = failed.brief();
        assert!(
            brief.starts_with("guardian.toml is not a valid configuration: TOML parse error at line 2"),
            "{brief}"
        );
        assert!(brief.contains("guardian config check") && !brief.contains(['\n', '|']), "{brief}");
    }

    #[test]
    fn what_a_new_policy_says_otherwise_is_known_by_its_keys() {
        let settings = |text: &str| config(text).settings;
        let changed = |text: &str| settings(text).changed_since(&settings(KIOSK));
        assert_eq!(changed(KIOSK), Vec::<String>::new());
        assert_eq!(changed("mode = \"observe\"\n[notify]\nwebhook = \"x\""), ["allowance", "mode", "notify"]);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_key_and_the_line() {
        let told = parse("mode = \"enforce\"\n\n[gateway]\nprots = [1]\n").unwrap_err();
        assert!(told.contains("line 4") && told.contains("prots"), "{told}");
        let told = parse("pateince = \"10s\"\n").unwrap_err();
        assert!(told.contains("line 1") && told.contains("pateince"), "{told}");
    }

    #[test]
    fn every_wrong_value_is_refused_with_its_line() {
        for (text, part) in [
            ("mode = \"on\"", "enforce"),
            ("patience = \"ten\"", "patience"),
            ("patience = 10", "10s"),
            ("[gateway]\nports = [0]", "port"),
            ("[gateway]\nports = [70000]", "line 2"),
            ("[cadence]\nlisteners = \"1ms\"", "cadence"),
            ("[cadence]\nsonar = \"1s\"", "sonar"),
            ("[gate]\nlisten = [\"localhost:1\"]", "line 2"),
            ("[gate]\nrate = { per_second = 0, burst = 1 }", "line 2"),
            ("[metrics]\nlisten = \"0.0.0.0:18710\"", "loopback"),
            ("[metrics]\nlisten = \"192.168.1.7:18710\"", "loopback"),
            ("[metrics]\nlisten = \"[::]:18710\"", "loopback"),
            ("[metrics]\nlisten = \"[::ffff:192.168.1.7]:18710\"", "loopback"),
            ("[metrics]\nlisten = \"100.64.7.7:18710\"", "loopback"),
            ("[metrics]\nlisten = \"127.0.0.1:0\"", "port"),
            ("[metrics]\nlisten = \"localhost:18710\"", "line 2"),
            ("[metrics]\nport = 18710", "port"),
            ("[gate.tls]\ncertificate = \"x\"\npem = \"y\"", "pem"),
            ("[[allowance]]\nnetwork = \"192.168.1.0/24\"\nreason = \"r\"", "until"),
            ("[[allowance]]\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z", "network"),
            (
                "[[allowance]]\nnetwork = \"10.0.0.0/8\"\nreason = \" \"\nuntil = 2026-12-31T00:00:00Z",
                "reason",
            ),
            ("[[allowance]]\nnetwork = \"10.0.0.0/8\"\nreason = \"r\"\nuntil = 2026-12-31", "until"),
            ("[[allowance]]\nnetwork = \"home\"\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z", "home"),
            (
                "[[allowance]]\nnetwork = \"10.0.0.0/8\"\npath = \"ngrok\"\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z",
                "not both",
            ),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains("line ") && told.contains(part), "{text}\n{told}");
        }
    }

    #[test]
    fn one_address_is_a_network_of_one() {
        let config = config(
            "[[allowance]]\nnetwork = \"10.1.2.3\"\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z\n\
             [[allowance]]\npath = \"ngrok\"\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z",
        );
        let policy = config.policy(Timestamp::UNIX_EPOCH);
        assert!(policy.names("10.1.2.3".parse().unwrap()) && !policy.names("10.1.2.4".parse().unwrap()));
        assert_eq!(policy.paths.first().map(|allowed| allowed.path.as_str()), Some("ngrok"));
    }

    #[test]
    fn users_that_are_unknown_by_name_are_pointed_out() {
        let config = config("owners = [\"root\", \"4711\", \"nobody-of-this-name\"]");
        assert_eq!(config.cautions(Timestamp::UNIX_EPOCH).len(), 1);
    }

    #[test]
    fn a_probe_keeps_its_own_cadence_unless_the_policy_says_otherwise() {
        let config = config("[cadence]\nlisteners = \"100ms\"");
        assert_eq!(config.cadence(ProbeId::Listeners), Some(Duration::from_millis(100)));
        assert_eq!(config.cadence(ProbeId::Peers), None);
    }

    #[test]
    fn numbers_are_shown_on_loopback_and_where_nobody_else_listens() {
        for (at, cautions) in [
            ("127.0.0.1:18710", 0),
            ("[::1]:18710", 0),
            ("127.0.0.1:18789", 1),
            ("[::1]:18789", 1),
            ("127.0.0.1:18700", 1),
        ] {
            let config = config(&format!("[metrics]\nlisten = \"{at}\""));
            assert_eq!(config.settings.metrics.listen, Some(at.parse().unwrap()), "{at}");
            assert_eq!(config.cautions(Timestamp::UNIX_EPOCH).len(), cautions, "{at}");
        }
        assert_eq!(config("").settings.metrics.listen, None, "nowhere by default");
    }

    #[test]
    fn a_machine_that_is_written_as_a_network_is_taken_for_the_network_and_that_is_said() {
        let config =
            config("[[allowance]]\nnetwork = \"10.0.0.5/8\"\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z");
        assert!(config.policy(Timestamp::UNIX_EPOCH).names("10.9.9.9".parse().unwrap()));
        assert_eq!(
            config.cautions(Timestamp::UNIX_EPOCH),
            ["the allowance \"r\" names 10.0.0.5/8, which is taken for 10.0.0.0/8."]
        );
    }

    #[test]
    fn everybody_can_be_allowed_but_not_unnoticed() {
        let text = "[[allowance]]\nnetwork = \"0.0.0.0/0\"\nreason = \"r\"\nuntil = 2026-12-31T00:00:00Z";
        assert_eq!(config(text).cautions(Timestamp::UNIX_EPOCH).len(), 1);
    }
}
