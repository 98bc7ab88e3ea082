//! An allowance as text: what is appended to `guardian.toml`, and whether it may be.

use std::path::PathBuf;

use ipnet::IpNet;
use jiff::fmt::friendly::SpanParser;
use jiff::{SpanRelativeTo, Timestamp};

use crate::config::{Allowance, Config, ConfigError, Target};
use crate::exit;

/// RFC 3339, which the file is written in, has years of four digits.
const LAST: i64 = 253_402_300_799;

/// Why an allowance is not written down, or not taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AllowError {
    /// Something is not said.
    #[error("an allowance takes {0}, too: guardian allow --help")]
    Missing(&'static str),
    /// Its end cannot be read.
    #[error("{0:?} is no end: write 2026-12-31T00:00:00Z, or a length of time such as 2h or 30d")]
    NoEnd(String),
    /// The end of one that is written down.
    #[error("{0:?} is no end that is written down: type it as `guardian allow` shows it")]
    NoInstant(String),
    /// It has ended.
    #[error("{0} is over already")]
    Over(Timestamp),
    /// It says something that a policy must not say.
    #[error("this cannot be allowed: {0}")]
    Invalid(String),
    /// A machine within a network, which of both is not told.
    #[error(
        "{written} could be two things: the whole network is {network}, that machine alone is {machine}; type the one that you mean"
    )]
    Ambiguous {
        /// As it was typed.
        written: IpNet,
        /// All of it.
        network: IpNet,
        /// The one address.
        machine: IpNet,
    },
    /// The file does not take it.
    #[error("the allowance cannot be appended: where `allowance = [...]` is used, write it there")]
    NotAppended {
        /// What the parser says.
        #[source]
        cause: ConfigError,
    },
    /// It is written down already.
    #[error("that is written down already: {0}")]
    Already(String),
    /// The file would say something else than before.
    #[error("an allowance cannot be appended to {} without changing what else it says", .0.display())]
    Odd(PathBuf),
    /// There is nothing to take away.
    #[error("there is no such allowance of {0}: `guardian allow` lists those that there are")]
    NoSuch(String),
    /// More than one could be meant.
    #[error("there are several allowances of {target}; say which by --reason TEXT or --until TIME:{listed}")]
    Several {
        /// What they allow.
        target: String,
        /// A line each.
        listed: String,
    },
    /// The file does not let go of it.
    #[error(
        "the allowance cannot be taken out of {} without changing what else it says: take it out by hand", .0.display()
    )]
    NotTaken(PathBuf),
    /// The file is full.
    #[error("{} would be too long to be read", .0.display())]
    TooLong(PathBuf),
    /// Somebody else has written it in the meantime.
    #[error("{} is being changed by somebody else; type it again", .0.display())]
    Changed(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
}

impl AllowError {
    /// The exit code that goes with it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Missing(_)
            | Self::NoEnd(_)
            | Self::NoInstant(_)
            | Self::Over(_)
            | Self::Invalid(_)
            | Self::Ambiguous { .. }
            | Self::Already(_)
            | Self::NoSuch(_)
            | Self::Several { .. } => exit::USAGE,
            Self::NotAppended { .. } | Self::Odd(_) | Self::NotTaken(_) | Self::TooLong(_) => exit::CONFIG,
            Self::Changed(_) | Self::Unwritten { .. } => exit::FAILURE,
        }
    }
}

/// An end as a person writes it: an instant, or a length of time from now. Days have 24 hours.
pub(in crate::cli) fn until(text: &str, now: Timestamp) -> Result<Timestamp, AllowError> {
    let no_end = || AllowError::NoEnd(text.to_owned());
    let until = if let Ok(instant) = text.parse::<Timestamp>() {
        instant
    } else {
        let span = SpanParser::new().parse_span(text).map_err(|_| no_end())?;
        let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| no_end())?;
        let end = now.checked_add(length).map_err(|_| no_end())?;
        Timestamp::from_second(end.as_second()).map_err(|_| no_end())?
    };
    if until.as_second() > LAST {
        return Err(no_end());
    }
    if until > now { Ok(until) } else { Err(AllowError::Over(until)) }
}

/// What an allowance of this kind and target allows, as the policy reads it.
pub(super) fn target((kind, target): (&str, &str)) -> Result<Target, AllowError> {
    let far = Timestamp::from_second(LAST).unwrap_or(Timestamp::MAX);
    check((kind, target), "any", far, Timestamp::UNIX_EPOCH).map(|allowance| allowance.target)
}

/// The allowance by itself: what is wrong with it has nothing to do with the file.
pub(super) fn check(
    target: (&str, &str),
    reason: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<Allowance, AllowError> {
    let allowance = Config::one_allowance(&append("", target, reason, until)).map_err(AllowError::Invalid)?;
    if allowance.until > now { Ok(allowance) } else { Err(AllowError::Over(allowance.until)) }
}

/// Whether a new allowance means one thing: a policy takes `10.0.0.5/8` for the network, and who types it may mean the
/// machine.
pub(super) fn means_one(allowance: &Allowance) -> Result<(), AllowError> {
    match allowance.target {
        Target::Network(written) if written != written.trunc() => {
            let (network, machine) = (written.trunc(), IpNet::from(written.addr()));
            Err(AllowError::Ambiguous { written, network, machine })
        }
        Target::Network(_) | Target::Path(_) => Ok(()),
    }
}

/// The file with the allowance at its end. Everything that is there stays as it is.
pub(super) fn append(before: &str, (kind, target): (&str, &str), reason: &str, until: Timestamp) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let gap = match before {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let (target, reason) = (quoted(target), quoted(reason));
    format!("{before}{gap}[[allowance]]\n{kind} = {target}\nreason = {reason}\nuntil = {until}\n")
}

/// Whether the new policy is the old one and the allowance, and nothing else.
pub(super) fn adds_only(old: &Config, new: &Config, added: &Allowance) -> bool {
    let mut expected = old.settings.clone();
    expected.allowance.push(added.clone());
    new.settings == expected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T08:00:00.5Z".parse().unwrap()
    }

    #[test]
    fn an_end_is_an_instant_or_a_length_of_time() {
        for (text, expected) in [
            ("2026-12-31T00:00:00Z", "2026-12-31T00:00:00Z"),
            ("2026-12-31T01:00:00+01:00", "2026-12-31T00:00:00Z"),
            ("2h", "2026-11-25T10:00:00Z"),
            ("30d", "2026-12-25T08:00:00Z"),
            ("1w 1d", "2026-12-03T08:00:00Z"),
            ("90 minutes", "2026-11-25T09:30:00Z"),
        ] {
            assert_eq!(until(text, now()).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_end_or_over_is_refused() {
        for text in ["", "soon", "2026-12-31", "1 month", "1y", "999999999h", "2026-13-01T00:00:00Z"] {
            assert!(matches!(until(text, now()), Err(AllowError::NoEnd(_))), "{text}");
        }
        for text in ["2026-11-25T08:00:00Z", "1999-01-01T00:00:00Z", "-2h", "2h ago", "0s"] {
            assert!(matches!(until(text, now()), Err(AllowError::Over(_))), "{text}");
        }
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        for before in ["", "# mine", "mode = \"observe\" # why\n", "[gate]\r\nhosts = []\r\n\r\n"] {
            let end = until("2h", now()).unwrap();
            let text = append(before, ("path", "ngrok"), "a \"demo\"\n", end);
            assert!(text.starts_with(before), "{text}");
            let (old, new) = (Config::of_text("f".as_ref(), before), Config::of_text("f".as_ref(), &text));
            let added = check(("path", "ngrok"), "a \"demo\"\n", end, now()).unwrap();
            assert!(adds_only(&old.unwrap(), &new.unwrap(), &added), "{text}");
        }
    }

    #[test]
    fn what_a_policy_must_not_say_is_refused_before_the_file_is_looked_at() {
        let end = until("2h", now()).unwrap();
        for (target, reason, part) in [
            (("network", "home"), "r", "no network"),
            (("network", "10.0.0.0/33"), "r", "no network"),
            (("network", "10.0.0.0/8"), " ", "reason"),
            (("path", " "), "r", "path"),
        ] {
            let Err(AllowError::Invalid(told)) = check(target, reason, end, now()) else {
                panic!("{target:?} is refused");
            };
            assert!(told.contains(part), "{told}");
            assert!(!told.contains("parse error") && !told.contains('\n'), "a sentence: {told}");
        }
    }

    #[test]
    fn a_network_with_the_bits_of_a_machine_is_two_things_and_both_are_named() {
        let end = until("2h", now()).unwrap();
        let of = |network| means_one(&check(("network", network), "r", end, now()).unwrap());
        for (network, whole, machine) in
            [("10.0.0.5/8", "10.0.0.0/8", "10.0.0.5/32"), ("fd00::7/64", "fd00::/64", "fd00::7/128")]
        {
            let told = of(network).unwrap_err().to_string();
            assert!(told.contains(whole) && told.contains(machine), "{told}");
        }
        for network in ["10.0.0.0/8", "10.0.0.5/32", "10.0.0.5", "0.0.0.0/0", "fd00::/8", "::1"] {
            of(network).unwrap();
        }
    }

    proptest! {
        #[test]
        fn no_text_gets_out_of_its_quotes(target in any::<String>(), reason in any::<String>()) {
            let end = until("2h", now()).unwrap();
            if let Ok(added) = check(("path", &target), &reason, end, now()) {
                prop_assert_eq!(added.target, Target::Path(target));
                prop_assert_eq!(added.reason, reason);
            }
        }

        #[test]
        fn any_text_is_an_end_or_none(text in any::<String>()) {
            let _ = until(&text, now());
        }
    }
}
