//! Where a gateway keeps its configuration and its state, and where it leaves its lock files.
//!
//! The same lookups as the gateway's own, over all its generations.

use std::path::{Path, PathBuf};

use guardian_rules::fact::Product;

use crate::gateway::environment::Environment;
use crate::gateway::lock::Payload;

/// Folders of the product in a user's home, the latest first. `moldbot` was one of its names.
const FOLDERS: [&str; 4] = [".openclaw", ".clawdbot", ".moltbot", ".moldbot"];

/// Configuration files in such a folder.
const FILES: [&str; 4] = ["openclaw.json", "clawdbot.json", "moltbot.json", "moldbot.json"];

/// What is known of a gateway before its files are found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Under which name it runs.
    pub product: Option<Product>,
    /// What it wrote into its lock file.
    pub lock: Option<&'a Payload>,
    /// Its environment, if it could be read.
    pub environment: Option<&'a Environment>,
    /// The home of its user, by the user database.
    pub home: Option<&'a Path>,
}

/// Where a gateway's files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Its configuration file, whether there is one or not.
    pub config: Option<PathBuf>,
    /// Its state folder.
    pub state: Option<PathBuf>,
    /// The gateway has told; otherwise these are the defaults, and it may use others.
    pub told: bool,
}

impl Known<'_> {
    /// Where its files are. `exists` looks at the file system as the gateway sees it.
    #[must_use]
    pub fn places(&self, exists: &dyn Fn(&Path) -> bool) -> Places {
        let chosen = self.variable_path("STATE_DIR");
        let state = self
            .lock
            .and_then(|lock| lock.state_dir.clone())
            .or_else(|| chosen.clone())
            .or_else(|| self.profile_folder())
            .or_else(|| self.beside_the_locked_configuration())
            .or_else(|| self.home_folder(exists));
        let config = self
            .lock
            .map(|lock| lock.config_path.clone())
            .or_else(|| self.variable_path("CONFIG_PATH"))
            .or_else(|| self.config_in(state.as_deref()?, chosen.is_some(), exists));
        Places { config, state, told: self.lock.is_some() || self.environment.is_some() }
    }

    /// Folders in which it may leave lock files. `siblings` are the names in its user's home.
    #[must_use]
    pub fn lock_folders(&self, uid: u32, siblings: &[std::ffi::OsString]) -> Vec<PathBuf> {
        let temporary = ["TMPDIR", "TMP", "TEMP"].iter().filter_map(|name| self.environment?.get(name));
        let temporary = temporary.map(PathBuf::from).chain([PathBuf::from("/tmp")]);
        let in_temporary = temporary.flat_map(|folder| {
            ["clawdbot", "moltbot", "openclaw"].map(|product| folder.join(format!("{product}-{uid}")))
        });
        let of_profiles = siblings
            .iter()
            .filter(|name| name.to_str().is_some_and(|name| FOLDERS.iter().any(|own| name.starts_with(own))))
            .filter_map(|name| Some(self.home()?.join(name)));
        let in_state = self
            .variable_path("STATE_DIR")
            .into_iter()
            .chain(of_profiles)
            .map(|state| state.join("tmp").join(format!("openclaw-{uid}")));
        let mut folders: Vec<PathBuf> =
            in_temporary.chain(in_state).filter(|folder| folder.is_absolute()).collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    /// The home that the gateway goes by.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        let told = self.environment.and_then(|environment| {
            environment.of_product("HOME").filter(|home| home.starts_with('/')).or(environment.get("HOME"))
        });
        told.map(PathBuf::from).or(self.home.map(Path::to_owned)).filter(|home| home.is_absolute())
    }

    /// A path in a variable; `~` is the home. A path relative to a folder that the gateway may have
    /// left is none.
    fn variable_path(&self, name: &str) -> Option<PathBuf> {
        let told = self.environment?.of_product(name)?;
        let path = match told.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                self.home()?.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(told),
        };
        path.is_absolute().then_some(path)
    }

    fn profile_folder(&self) -> Option<PathBuf> {
        let profile = self.environment?.of_product("PROFILE")?;
        let plain = profile.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !plain || profile.eq_ignore_ascii_case("default") {
            return None;
        }
        let folder = self.folders().first().copied()?;
        Some(self.home()?.join(format!("{folder}-{profile}")))
    }

    /// The folder of the configuration that the lock names, if it has the name of a state folder.
    fn beside_the_locked_configuration(&self) -> Option<PathBuf> {
        let folder = self.lock?.config_path.parent()?;
        let name = folder.file_name()?.to_str()?;
        FOLDERS.iter().any(|own| name.starts_with(own)).then(|| folder.to_owned())
    }

    fn home_folder(&self, exists: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
        let home = self.home()?;
        let mut folders = self.folders().into_iter().map(|folder| home.join(folder));
        let first = folders.next()?;
        if exists(&first) {
            return Some(first);
        }
        Some(folders.find(|folder| exists(folder)).unwrap_or(first))
    }

    fn config_in(&self, state: &Path, chosen: bool, exists: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
        let named =
            |folder: &Path| self.files().into_iter().map(|file| folder.join(file)).collect::<Vec<_>>();
        let mut candidates = named(state);
        if !chosen && let Some(home) = self.home() {
            candidates.extend(self.folders().into_iter().flat_map(|folder| named(&home.join(folder))));
        }
        let first = candidates.first().cloned();
        candidates.into_iter().find(|candidate| exists(candidate)).or(first)
    }

    /// Folders in the order in which this gateway looks for them. Clawdbot knows only its own.
    fn folders(&self) -> Vec<&'static str> {
        Self::own_first(self.product, FOLDERS)
    }

    fn files(&self) -> Vec<&'static str> {
        Self::own_first(self.product, FILES)
    }

    fn own_first(product: Option<Product>, names: [&'static str; 4]) -> Vec<&'static str> {
        let own = match product {
            Some(Product::Clawdbot) => "clawdbot",
            Some(Product::Moltbot) => "moltbot",
            Some(Product::Openclaw) | None => "openclaw",
        };
        let (mut own, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains(own));
        if product != Some(Product::Clawdbot) {
            own.extend(others);
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/home/ana";

    fn places(product: Product, variables: Option<&str>, lock: Option<&Payload>, there: &[&str]) -> Places {
        let environment =
            variables.map(|variables| Environment::parse(variables.replace(' ', "\0").as_bytes()));
        let known = Known {
            product: Some(product),
            lock,
            environment: environment.as_ref(),
            home: Some(Path::new(HOME)),
        };
        known.places(&|path| there.iter().any(|there| path == Path::new(there)))
    }

    fn of(product: Product, variables: &str, there: &[&str]) -> (String, String) {
        let places = places(product, Some(variables), None, there);
        let text = |path: Option<PathBuf>| path.unwrap().to_str().unwrap().to_owned();
        (text(places.config), text(places.state))
    }

    fn pair(config: &str, state: &str) -> (String, String) {
        (config.to_owned(), state.to_owned())
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        assert_eq!(
            of(Product::Openclaw, "", &[]),
            pair("/home/ana/.openclaw/openclaw.json", "/home/ana/.openclaw")
        );
        assert_eq!(
            of(Product::Clawdbot, "", &["/home/ana/.openclaw"]),
            pair("/home/ana/.clawdbot/clawdbot.json", "/home/ana/.clawdbot")
        );
    }

    #[test]
    fn an_older_folder_is_used_where_there_is_no_newer_one() {
        assert_eq!(
            of(Product::Openclaw, "", &["/home/ana/.moltbot", "/home/ana/.moltbot/moltbot.json"]),
            pair("/home/ana/.moltbot/moltbot.json", "/home/ana/.moltbot")
        );
        assert_eq!(
            of(
                Product::Openclaw,
                "",
                &["/home/ana/.openclaw", "/home/ana/.clawdbot", "/home/ana/.clawdbot/clawdbot.json"]
            ),
            pair("/home/ana/.clawdbot/clawdbot.json", "/home/ana/.openclaw")
        );
    }

    #[test]
    fn variables_win_over_defaults() {
        assert_eq!(
            of(Product::Openclaw, "OPENCLAW_STATE_DIR=/srv/bot", &["/home/ana/.openclaw/openclaw.json"]),
            pair("/srv/bot/openclaw.json", "/srv/bot")
        );
        assert_eq!(
            of(Product::Openclaw, "CLAWDBOT_STATE_DIR=~/bot OPENCLAW_CONFIG_PATH=/etc/bot.json", &[]),
            pair("/etc/bot.json", "/home/ana/bot")
        );
        assert_eq!(
            of(Product::Openclaw, "HOME=/var/lib/bot", &[]),
            pair("/var/lib/bot/.openclaw/openclaw.json", "/var/lib/bot/.openclaw")
        );
    }

    #[test]
    fn a_profile_has_a_folder_of_its_own() {
        assert_eq!(
            of(Product::Openclaw, "OPENCLAW_PROFILE=work", &[]),
            pair("/home/ana/.openclaw-work/openclaw.json", "/home/ana/.openclaw-work")
        );
        for profile in ["default", "../x"] {
            let found = of(Product::Openclaw, &format!("OPENCLAW_PROFILE={profile}"), &[]);
            assert_eq!(found.1, "/home/ana/.openclaw", "{profile}");
        }
    }

    #[test]
    fn what_the_lock_tells_wins() {
        let lock = |text: &str| super::super::lock::parse(text.as_bytes()).unwrap();
        let old = lock(r#"{"pid":1,"configPath":"/home/ana/.openclaw-work/openclaw.json"}"#);
        let found = places(Product::Openclaw, None, Some(&old), &[]);
        assert_eq!(found.config, Some("/home/ana/.openclaw-work/openclaw.json".into()));
        assert_eq!(found.state, Some("/home/ana/.openclaw-work".into()));
        assert!(found.told);
        let new = lock(r#"{"pid":1,"configPath":"/etc/bot.json","stateDir":"/srv/bot"}"#);
        let found = places(Product::Openclaw, Some("OPENCLAW_STATE_DIR=/elsewhere"), Some(&new), &[]);
        assert_eq!(found.config, Some("/etc/bot.json".into()));
        assert_eq!(found.state, Some("/srv/bot".into()));
    }

    #[test]
    fn without_lock_and_environment_the_gateway_has_told_nothing() {
        assert!(!places(Product::Openclaw, None, None, &[]).told);
    }

    #[test]
    fn lock_folders_are_those_of_every_generation() {
        let environment = Environment::parse(b"TMPDIR=/var/tmp/x\0OPENCLAW_STATE_DIR=/srv/bot");
        let known =
            Known { environment: Some(&environment), home: Some(Path::new(HOME)), ..Known::default() };
        let folders = known.lock_folders(1000, &[".openclaw-work".into(), ".ssh".into()]);
        for folder in [
            "/tmp/clawdbot-1000",
            "/tmp/openclaw-1000",
            "/var/tmp/x/openclaw-1000",
            "/srv/bot/tmp/openclaw-1000",
            "/home/ana/.openclaw-work/tmp/openclaw-1000",
        ] {
            assert!(folders.contains(&PathBuf::from(folder)), "{folder}");
        }
        assert!(!folders.iter().any(|folder| folder.to_str().unwrap().contains(".ssh")));
    }
}
