//! The policy that was in force last, kept where nobody else may write.
//!
//! A start that found no policy it can use would leave the host to itself: after a reboot there is no packet filter
//! and, if the circuit was closed, no lock either. So it goes on by what was in force before.

use std::path::Path;

use jiff::Timestamp;

use crate::cli::chain;
use crate::config::{self, Config, ConfigError, Settings};
use crate::notify::Ways;
use crate::status::page;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::Paths;
use crate::sys::trusted;

/// With its defaults written out it may be longer than the file that it comes from.
const LONGEST: u64 = 4 * config::LIMIT;

/// What a watcher begins with.
#[derive(Debug)]
pub(crate) struct AtStart {
    /// The policy that it goes by.
    pub(crate) config: Config,
    /// Whom it tells, by that policy.
    pub(crate) ways: Ways,
    /// The policy as it is written is refused: why, what it goes by instead, and what to type.
    pub(crate) refused: Option<String>,
}

/// Why the policy in force is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// It cannot be put into TOML.
    #[error(transparent)]
    Unprintable(#[from] ConfigError),
    /// The disk refuses.
    #[error(
        "the policy in force cannot be kept: a start that refuses the written one would go by the defaults"
    )]
    Disk(#[from] WriteError),
}

/// The policy as it is written; where that is refused, the one that was in force last; where there is none, the
/// defaults, which allow nobody and name no owner.
pub(crate) fn at_start(named: Option<&Path>, paths: &Paths, now: Timestamp) -> AtStart {
    let written = Config::load(named).map_err(|failed| failed.in_one_line());
    let why = match written.and_then(usable) {
        Ok((config, ways)) => return AtStart { config, ways, refused: None },
        Err(why) => why,
    };
    let (config, ways, instead) = match recall(paths).and_then(usable) {
        Ok((config, ways)) => (config, ways, "the one that was in force last".to_owned()),
        Err(none) => {
            let defaults = Config { source: None, settings: Settings::default() };
            (defaults, Ways::default(), format!("the defaults, without allowances and owners ({none})"))
        }
    };
    let refused = format!(
        "the policy is refused, and since the start at {} the watcher goes by {instead}: {why}; type: guardian config \
         check, mend it, then: guardian config reload",
        page::second(now)
    );
    AtStart { config, ways, refused: Some(refused) }
}

/// Keeps a policy that has come into force. One that is kept already is not written again.
pub(crate) fn keep(paths: &Paths, config: &Config) -> Result<(), KeepError> {
    let text = config.to_toml()?;
    let kept = trusted::read_bounded(&paths.last_policy(), LONGEST);
    if !kept.is_ok_and(|kept| kept == text.as_bytes()) {
        // It may hold the address of a webhook.
        let replaced = durable::replace(&paths.last_policy(), text.as_bytes(), 0o600);
        if replaced.is_err() {
            // One from before may allow what is allowed no more: rather the defaults. A disk that is full lets go.
            let _ = std::fs::remove_file(paths.last_policy());
        }
        replaced?;
    }
    Ok(())
}

fn recall(paths: &Paths) -> Result<Config, String> {
    let path = paths.last_policy();
    let kept = match trusted::read_bounded(&path, LONGEST) {
        Err(none) if none.is_absent() => return Err("none was in force before".to_owned()),
        kept => kept.map_err(|failed| chain(&failed))?,
    };
    let text =
        String::from_utf8(kept).map_err(|failed| format!("{} is not text: {failed}", path.display()))?;
    Config::of_text(&path, &text).map_err(|failed| failed.in_one_line())
}

fn usable(config: Config) -> Result<(Config, Ways), String> {
    let ways = Ways::of(&config.settings.notify).map_err(|failed| chain(&failed))?;
    Ok((config, ways))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Mode;
    use crate::sys::scratch::Scratch;

    const OWNED: &str = "mode = \"observe\"\nowners = [\"4711\"]\n[[allowance]]\nnetwork = \"192.168.1.0/24\"\n\
                         reason = \"kiosk\"\nuntil = 2026-12-31T00:00:00Z\n";

    /// A policy file beside the state.
    fn written(scratch: &Scratch, text: &str) -> std::path::PathBuf {
        let path = scratch.paths.state.join("guardian.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn begun(scratch: &Scratch, path: &Path) -> AtStart {
        at_start(Some(path), &scratch.paths, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_policy_that_can_be_used_is_gone_by() {
        let scratch = Scratch::new();
        let path = written(&scratch, OWNED);
        let begun = begun(&scratch, &path);
        assert_eq!((begun.config.settings.mode, begun.refused), (Mode::Observe, None));
    }

    #[test]
    fn after_a_policy_that_is_refused_the_one_before_is_gone_by_and_that_is_said() {
        let scratch = Scratch::new();
        let path = written(&scratch, OWNED);
        let before = begun(&scratch, &path).config;
        keep(&scratch.paths, &before).unwrap();
        let mode = fs::metadata(scratch.paths.last_policy()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let goes_on = |why: &str| {
            let begun = begun(&scratch, &path);
            assert_eq!(begun.config.settings, before.settings, "{why}");
            let told = begun.refused.unwrap();
            for part in
                [why, "in force last", "1970-01-01", "guardian config check", "guardian config reload"]
            {
                assert!(told.contains(part) && !told.contains('\n'), "{part}: {told}");
            }
        };
        written(&scratch, "moed = 1\n");
        goes_on("moed");
        written(&scratch, "[notify]\nwebhook = \"http://8.8.8.8/\"\n");
        goes_on("notify.webhook");
        written(&scratch, OWNED);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        goes_on("chmod go-w");
        fs::remove_file(&path).unwrap();
        goes_on("guardian.toml");
    }

    #[test]
    fn without_one_before_or_with_one_that_others_could_have_written_the_defaults_are_gone_by() {
        let scratch = Scratch::new();
        let path = written(&scratch, "moed = 1\n");
        let is_default = || {
            let begun = begun(&scratch, &path);
            assert_eq!(begun.config.settings, Settings::default());
            assert!(begun.refused.unwrap().contains("the defaults"));
        };
        is_default();
        keep(&scratch.paths, &Config::of_text(&path, OWNED).unwrap()).unwrap();
        let kept = scratch.paths.last_policy();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o666)).unwrap();
        is_default();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&kept, "mode = 7\n").unwrap();
        is_default();
    }

    #[test]
    fn what_is_kept_already_is_not_written_again() {
        use std::os::unix::fs::MetadataExt as _;
        let scratch = Scratch::new();
        let config = Config::of_text("guardian.toml".as_ref(), OWNED).unwrap();
        let kept = || {
            keep(&scratch.paths, &config).unwrap();
            fs::metadata(scratch.paths.last_policy()).unwrap().ino()
        };
        assert_eq!(kept(), kept());
    }
}
