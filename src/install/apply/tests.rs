//! That steps can be done again, and that what they add can be taken away to the last folder.

use super::*;
use crate::install::plan;
use crate::install::site::Manager;
use crate::sys::paths::Paths;

struct Bench {
    folder: tempfile::TempDir,
    site: Site,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(folder.path().join("built"), "one").unwrap();
        let site = Site {
            manager: Manager::Systemd,
            scope: Scope::User,
            uid: 1,
            session: None,
            program: home.join(".local/bin/guardian"),
            copied_from: Some(folder.path().join("built")),
            policy: home.join(".config/guardian/guardian.toml"),
            paths: Paths { state: home.join(".local/state/guardian"), runtime: folder.path().join("run") },
            home,
        };
        Self { folder, site }
    }

    /// Does all steps but commands; what was changed.
    async fn does(&self, steps: &[Step]) -> Vec<String> {
        let mut installer = Installer::new(&self.site);
        let mut done = Vec::new();
        for step in steps.iter().filter(|step| !matches!(step, Step::Command { .. })) {
            if installer.apply(step).await.unwrap() == Became::Done {
                done.push(step.told().lines().next().unwrap().to_owned());
            }
        }
        done
    }

    fn there(&self) -> Vec<String> {
        let mut there = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap().path();
                if entry.is_dir() {
                    folders.push(entry.clone());
                }
                there.push(entry.strip_prefix(self.folder.path()).unwrap().to_string_lossy().into_owned());
            }
        }
        there.sort();
        there
    }

    fn plan(&self) -> Vec<Step> {
        plan::install(&self.site, Vec::new(), "mode = \"enforce\"\n".to_owned())
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_done_again_and_an_upgrade_replaces_the_program_alone() {
    let bench = Bench::new();
    let before = bench.there();
    assert_eq!(bench.does(&bench.plan()).await.len(), 6);
    assert_eq!(bench.does(&bench.plan()).await, Vec::<String>::new());
    fs::write(bench.folder.path().join("built"), "two").unwrap();
    fs::write(&bench.site.policy, "mode = \"observe\"\n").unwrap();
    let done = bench.does(&bench.plan()).await;
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(fs::read_to_string(&bench.site.program).unwrap(), "two");
    assert_eq!(fs::read_to_string(&bench.site.policy).unwrap(), "mode = \"observe\"\n", "people's own");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&bench.site.program).unwrap());
    assert_eq!(mode & 0o777, 0o755);

    let manifest = Manifest::read(&bench.site.paths);
    bench.does(&plan::remove(&bench.site, &manifest, false)).await;
    assert!(bench.site.policy.exists() && bench.site.paths.state.exists() && !bench.site.program.exists());
    bench.does(&plan::remove(&bench.site, &manifest, true)).await;
    assert_eq!(bench.there(), before);
}

#[tokio::test]
async fn an_installation_is_known_even_where_nothing_had_to_be_added() {
    let mut bench = Bench::new();
    let program = bench.folder.path().join("built");
    (bench.site.program, bench.site.copied_from) = (program, None);
    fs::create_dir_all(&bench.site.paths.state).unwrap();
    bench.does(&bench.plan()[..1]).await;
    assert!(bench.site.paths.manifest().exists());
    let manifest = Manifest::read(&bench.site.paths);
    bench.does(&plan::remove(&bench.site, &manifest, true)).await;
    assert!(bench.site.program.exists() && !bench.site.paths.state.exists());
}

#[tokio::test]
async fn a_link_in_place_of_a_file_is_replaced_and_not_followed() {
    let bench = Bench::new();
    let file = crate::install::unit::Unit::Watcher.file(&bench.site);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let elsewhere = bench.folder.path().join("elsewhere");
    fs::write(&elsewhere, "untouched").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    bench.does(&bench.plan()).await;
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
}

#[tokio::test]
async fn a_failing_command_is_told_as_one_would_type_it() {
    let bench = Bench::new();
    let mut installer = Installer::new(&bench.site);
    let fails = |may_fail| Step::Command { tool: Tool::new("false", ["a b"]), may_fail };
    let told = installer.apply(&fails(false)).await.unwrap_err().to_string();
    assert!(told.ends_with("this did not work: false 'a b'"), "{told}");
    assert!(installer.apply(&fails(true)).await.is_ok());
}

#[test]
fn a_program_that_others_could_change_is_not_run_as_root() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("guardian");
    fs::write(&program, "").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    trust(&program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o775)).unwrap();
    let untrusted = || matches!(trust(&program), Err(InstallError::Untrusted { .. }));
    assert!(untrusted());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::rename(&program, elsewhere.path().join("guardian")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("guardian"), &program).unwrap();
    assert!(untrusted(), "what counts is where the link leads");
}
