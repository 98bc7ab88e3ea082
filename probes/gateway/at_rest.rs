//! Configurations at their usual places, whether a gateway runs by them or not: what one would start with.

use std::path::{Path, PathBuf};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::ConfigState;

use super::configuration;
use super::place::Known;

/// A configuration in somebody's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtRest {
    /// Its file.
    pub path: PathBuf,
    /// What it says.
    pub state: ConfigState,
}

/// The configurations of these homes by which a gateway would start that is told of no others. Homes
/// without one are left out.
#[must_use]
pub fn at_rest(homes: impl IntoIterator<Item = PathBuf>) -> Vec<AtRest> {
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    let of = |home: PathBuf| {
        let path = Known { home: Some(&home), ..Known::default() }.places(&exists).config?;
        let state = match configuration(&path) {
            // Whether there is what a link leads to may be nobody's business.
            ConfigState::Absent if exists(&path) => {
                ConfigState::Unreadable(Blindness::malformed("it is a link that leads to no file"))
            }
            state => state,
        };
        (state != ConfigState::Absent).then_some(AtRest { path, state })
    };
    homes.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_home_has_one_configuration_or_none_by_any_of_its_names() {
        let top = tempfile::tempdir().unwrap();
        let home = |name: &str| top.path().join(name);
        for (name, file, text) in [
            ("ana", ".clawdbot/clawdbot.json", "{ gateway: { bind: 'lan' } }"),
            ("ben", ".openclaw/openclaw.json", "{ half"),
        ] {
            let path = home(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir(home("cleo")).unwrap();
        fs::create_dir_all(home("dora").join(".openclaw")).unwrap();
        symlink("/nowhere/openclaw.json", home("dora").join(".openclaw/openclaw.json")).unwrap();
        let found = at_rest(["ana", "ben", "cleo", "dora", "nobody"].map(home));
        let [ana, ben, dora] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(ana.path, home("ana/.clawdbot/clawdbot.json"));
        assert!(matches!(&ana.state, ConfigState::Read(config) if config.bind.as_deref() == Some("lan")));
        assert!(matches!(ben.state, ConfigState::Unreadable(_)), "{:?}", ben.state);
        assert!(matches!(dora.state, ConfigState::Unreadable(_)), "{:?}", dora.state);
    }
}
