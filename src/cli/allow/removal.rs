//! An allowance taken away again: which one is meant, and the policy's text without it.

use jiff::Timestamp;

use super::AllowError;
use crate::config::{Allowance, Config, Target};
use crate::status::AllowanceStatus;
use crate::status::page::second;

/// What the owner says of the allowance that is to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What it allows.
    pub(super) target: &'a Target,
    /// Its reason, if that is said.
    pub(super) reason: Option<&'a str>,
    /// Its end, if that is said.
    pub(super) until: Option<Timestamp>,
}

impl Wanted<'_> {
    fn is(&self, allowance: &Allowance) -> bool {
        allowance.target == *self.target
            && self.reason.is_none_or(|reason| reason == allowance.reason)
            // As it is shown: without fractions of a second.
            && self.until.is_none_or(|until| second(until) == second(allowance.until))
    }
}

/// The allowance that is meant. One that has ended is meant if no other is; of several that differ none is.
pub(super) fn meant(
    allowances: &[Allowance],
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Allowance, AllowError> {
    let (lasting, ended): (Vec<_>, Vec<_>) =
        allowances.iter().filter(|it| wanted.is(it)).partition(|it| it.until > now);
    let candidates = if lasting.is_empty() { ended } else { lasting };
    match candidates.as_slice() {
        [] => Err(AllowError::NoSuch(named(wanted.target))),
        [first, rest @ ..] if rest.iter().all(|other| other == first) => Ok((*first).clone()),
        several => {
            let lines = several.iter().map(|it| format!("\n  {}", AllowanceStatus::from(*it)));
            Err(AllowError::Several { target: named(wanted.target), listed: lines.collect() })
        }
    }
}

/// Those in force that allow the same, or a part of it, or more.
pub(super) fn overlapping<'a>(
    left: &'a [Allowance],
    gone: &'a Allowance,
    now: Timestamp,
) -> impl Iterator<Item = &'a Allowance> {
    left.iter().filter(move |it| it.until > now).filter(|it| match (&it.target, &gone.target) {
        (Target::Network(one), Target::Network(other)) => one.contains(other) || other.contains(one),
        (one, other) => one == other,
    })
}

fn named(target: &Target) -> String {
    match target {
        Target::Network(network) => network.to_string(),
        Target::Path(path) => path.clone(),
    }
}

/// The policy's text without an allowance, wherever it is written. Nothing else is touched; that this is so is
/// for [`takes_only`] to tell, for only a parser knows what a line means.
pub(super) fn without(text: &str, allowances: &[Allowance], gone: &Allowance) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let tables: Vec<usize> =
        (0..lines.len()).filter(|at| lines.get(*at).is_some_and(|it| is_allowance(it))).collect();
    if tables.len() != allowances.len() {
        return None;
    }
    let mut left: Vec<Option<&str>> = lines.iter().copied().map(Some).collect();
    for (begin, _) in tables.iter().zip(allowances).filter(|(_, it)| *it == gone) {
        let table = lines.iter().enumerate().skip(begin + 1).take_while(|(_, line)| !is_header(line));
        // What follows the last of its keys belongs to what comes next.
        let end = table.filter(|(_, line)| says_something(line)).map(|(at, _)| at).last().unwrap_or(*begin);
        for line in left.iter_mut().take(end + 1).skip(*begin) {
            *line = None;
        }
        // Of the empty lines around it one is enough.
        let before = begin.checked_sub(1);
        let is_blank = |at: usize| lines.get(at).is_none_or(|line| line.trim().is_empty());
        if let Some(before) = before.filter(|at| is_blank(*at) && is_blank(end + 1))
            && let Some(line) = left.get_mut(before)
        {
            *line = None;
        }
    }
    Some(left.into_iter().flatten().collect())
}

/// Whether the new policy is the old one without the allowance, and nothing else.
pub(super) fn takes_only(old: &Config, new: &Config, gone: &Allowance) -> bool {
    let mut expected = old.settings.clone();
    expected.allowance.retain(|it| it != gone);
    new.settings == expected
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

fn is_allowance(line: &str) -> bool {
    let before_comment = line.split('#').next().unwrap_or_default();
    let plain: String =
        before_comment.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect();
    plain == "[[allowance]]"
}

fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::block;
    use super::*;

    const POLICY: &str = "# Ours.\nmode = \"observe\"   # for now\n\n# The kiosk's.\n[[allowance]]\nnetwork = \"10.0.0.0/8\"\n\
                          reason = \"kiosk\"\nuntil = 2999-12-31T00:00:00Z\n\n[[ \"allowance\" ]] # twice\npath = \"caddy\"\n\
                          # why\nreason = \"the wiki\"\nuntil = 2999-01-01T00:00:00Z\n\n# The ports.\n[gateway]\nports = [18789]\n\n\
                          [[allowance]]\npath = \"caddy\"\nreason = \"the wiki\"\nuntil = 2999-06-01T00:00:00Z\n# The end";

    fn config(text: &str) -> Config {
        Config::of_text("f".as_ref(), text).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-25T08:00:00Z".parse().unwrap()
    }

    fn taken(text: &str, wanted: Wanted<'_>) -> Result<String, AllowError> {
        let old = config(text);
        let gone = meant(&old.settings.allowance, wanted, now())?;
        let new = without(text, &old.settings.allowance, &gone).unwrap();
        assert!(takes_only(&old, &config(&new), &gone), "{new}");
        Ok(new)
    }

    fn path(name: &str) -> Target {
        Target::Path(name.to_owned())
    }

    #[test]
    fn comments_and_layout_stay_as_they_are() {
        let network = Target::Network("10.0.0.0/8".parse().unwrap());
        let wanted = Wanted { target: &network, reason: None, until: None };
        let block =
            "[[allowance]]\nnetwork = \"10.0.0.0/8\"\nreason = \"kiosk\"\nuntil = 2999-12-31T00:00:00Z\n";
        assert_eq!(taken(POLICY, wanted).unwrap(), POLICY.replace(block, ""));
        let caddy = path("caddy");
        let until = Some("2999-01-01T00:00:00Z".parse().unwrap());
        let text = taken(POLICY, Wanted { target: &caddy, reason: None, until }).unwrap();
        assert!(text.contains("2999-12-31T00:00:00Z\n\n# The ports.\n[gateway]"), "{text}");
        let until = Some("2999-06-01T00:00:00.7Z".parse().unwrap());
        let text = taken(POLICY, Wanted { target: &caddy, reason: None, until }).unwrap();
        assert!(text.ends_with("ports = [18789]\n\n# The end"), "{text}");
    }

    #[test]
    fn what_still_allows_the_same_or_a_part_of_it_is_known() {
        let network = |text: &str, until: &str| Allowance {
            target: Target::Network(text.parse().unwrap()),
            reason: text.to_owned(),
            until: until.parse().unwrap(),
        };
        let lasting = "2999-12-31T00:00:00Z";
        let left = [
            network("0.0.0.0/0", lasting),
            network("10.1.0.0/16", lasting),
            network("10.2.0.0/16", "2026-01-01T00:00:00Z"),
            network("192.168.1.0/24", lasting),
            Allowance { target: path("caddy"), ..network("10.0.0.0/8", lasting) },
        ];
        let gone = network("10.0.0.0/8", lasting);
        let still: Vec<&str> = overlapping(&left, &gone, now()).map(|it| it.reason.as_str()).collect();
        assert_eq!(still, ["0.0.0.0/0", "10.1.0.0/16"]);
        let gone = Allowance { target: path("caddy"), ..gone };
        assert_eq!(overlapping(&left, &gone, now()).count(), 1);
    }

    #[test]
    fn of_several_none_is_guessed_and_of_none_nothing_is_taken() {
        let caddy = path("caddy");
        let wanted = Wanted { target: &caddy, reason: Some("the wiki"), until: None };
        let Err(AllowError::Several { listed, .. }) = taken(POLICY, wanted) else { panic!("it guessed") };
        assert!(listed.contains("2999-01-01") && listed.contains("2999-06-01"), "{listed}");
        for (target, reason) in [(path("nginx"), None), (path("caddy"), Some("another"))] {
            let wanted = Wanted { target: &target, reason, until: None };
            assert!(matches!(taken(POLICY, wanted), Err(AllowError::NoSuch(_))));
        }
    }

    #[test]
    fn one_that_has_ended_is_meant_only_if_no_other_is_and_one_written_twice_goes_twice() {
        let text =
            |until: &str| format!("[[allowance]]\npath = \"ngrok\"\nreason = \"r\"\nuntil = {until}\n");
        let (over, lasting) = (text("2020-01-01T00:00:00Z"), text("2999-01-01T00:00:00Z"));
        let ngrok = path("ngrok");
        let wanted = Wanted { target: &ngrok, reason: None, until: None };
        assert_eq!(taken(&format!("{over}{lasting}"), wanted).unwrap(), over);
        assert_eq!(taken(&over, wanted).unwrap(), "");
        assert_eq!(taken(&format!("{lasting}\n{lasting}"), wanted).unwrap(), "");
    }

    #[test]
    fn what_is_not_written_as_a_table_of_its_own_is_left_to_its_owner() {
        for text in [
            "allowance = [{ path = \"ngrok\", reason = \"r\", until = 2999-01-01T00:00:00Z }]\n",
            "[[allowance]]\npath = \"ngrok\"\nreason = \"\"\"\n[[allowance]]\n\"\"\"\nuntil = 2999-01-01T00:00:00Z\n",
        ] {
            let old = config(text);
            assert_eq!(without(text, &old.settings.allowance, &old.settings.allowance[0]), None, "{text}");
        }
        // What only looks like the next table ends it too early: the parser tells.
        let text =
            "[[allowance]]\npath = \"ngrok\"\nreason = \"\"\"\n[x]\n\"\"\"\nuntil = 2999-01-01T00:00:00Z\n";
        let old = config(text);
        let new = without(text, &old.settings.allowance, &old.settings.allowance[0]).unwrap();
        let new = Config::of_text("f".as_ref(), &new);
        assert!(new.is_err() || !takes_only(&old, &new.unwrap(), &old.settings.allowance[0]));
    }

    proptest! {
        #[test]
        fn what_was_appended_is_taken_out_again_to_the_last_byte(reason in any::<String>(), before in "(# [a-z]{0,9}\n|\n){0,5}") {
            let until = block::until("2h", now()).unwrap();
            if let Ok(added) = block::check(("path", "ngrok"), &reason, until, now()) {
                let text = block::append(&before, ("path", "ngrok"), &reason, until);
                let old = config(&text);
                if let Some(new) = without(&text, &old.settings.allowance, &added) {
                    prop_assert_eq!(new, before);
                }
            }
        }
    }
}
