//! Whether what is allowed by a name is anywhere on this machine: a name that is mistyped allows nothing, and says nothing.

use std::path::{Path, PathBuf};

use guardian_probes::owner::table;
use guardian_rules::way;

use crate::config::Target;

/// Where programs are, on a user's path or not.
const FOLDERS: [&str; 9] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/snap/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/sbin",
];

/// What to mind about an allowance by name. It is no mistake for sure: the program may come later.
pub(super) fn caution(target: &Target) -> Option<String> {
    let Target::Path(name) = target else { return None };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        FOLDERS.iter().map(PathBuf::from).chain(std::env::split_paths(&path)).collect();
    let is_here = is_way(name) || is_in(&folders, name) || table::runs(name) != Some(false);
    (!is_here).then(|| {
        format!(
            "no program {name:?} runs here or is in the usual folders. It is allowed if it comes; if you mean one that is \
             here, `guardian check` shows its name."
        )
    })
}

fn is_way(name: &str) -> bool {
    way::ALL.contains(&name)
}

fn is_in(folders: &[PathBuf], name: &str) -> bool {
    // A path is no name, and no program is told by one.
    let is_name = Path::new(name).file_name().is_some_and(|file| file == name);
    is_name && folders.iter().any(|folder| folder.is_absolute() && folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<String> {
        caution(&Target::Path(name.to_owned()))
    }

    #[test]
    fn the_help_and_the_page_name_every_way_that_is_no_programs() {
        let help = <crate::cli::allow::Arguments as clap::Args>::augment_args(clap::Command::new("allow"))
            .render_long_help()
            .to_string();
        let page = include_str!("../../../docs/operations.md");
        let page = page
            .split("`--path` takes")
            .nth(1)
            .and_then(|it| it.split("An allowance by name").next())
            .unwrap();
        for way in way::ALL {
            assert!(help.contains(&format!("`{way}`")), "{way}: {help}");
            assert!(page.contains(&format!("`{way}`")), "{way}: {page}");
        }
    }

    #[test]
    fn a_name_that_nothing_here_has_is_pointed_out_and_every_other_one_is_not() {
        for name in way::ALL.into_iter().chain(["sh"]) {
            assert_eq!(of(name), None, "{name}");
        }
        let own = std::env::current_exe().unwrap();
        assert_eq!(
            of(own.file_name().unwrap().to_str().unwrap()),
            None,
            "it runs, and is in no usual folder"
        );
        for name in ["ngixn-of-nobody", "/bin/sh", "..", ""] {
            assert!(of(name).is_some_and(|said| said.contains("guardian check")), "{name}");
        }
        assert_eq!(caution(&Target::Network("10.0.0.0/8".parse().unwrap())), None);
    }
}
