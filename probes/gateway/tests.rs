//! Real processes: copies of `sleep` under a runtime's name, with the titles, environments and lock
//! files of real gateways.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Instant;

use guardian_rules::fact::{Attribution, GatewayConfig, Listener, Product};
use guardian_rules::observation::Observation;

use super::*;

const TITLE: &str = "openclaw-gateway";

/// A process that passes for a gateway, with a home of its own.
struct Fake {
    home: tempfile::TempDir,
    child: Option<Child>,
}

impl Fake {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        let sleep = folders.iter().map(|folder| folder.join("sleep")).find(|file| file.exists()).unwrap();
        // By another process: a file that this one holds open for writing is inherited by whatever
        // another test starts meanwhile, and cannot be executed until that has let go of it.
        let copied = Command::new("cp").arg(sleep).arg(home.path().join("node")).status().unwrap();
        assert!(copied.success());
        fs::create_dir(home.path().join(".openclaw")).unwrap();
        Self { home, child: None }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join(".openclaw")
    }

    fn config(&self) -> PathBuf {
        self.state().join("openclaw.json")
    }

    fn command(&self, title: &str) -> Command {
        let mut command = Command::new(self.home.path().join("node"));
        command.arg0(title).arg("60").env_clear().env("HOME", self.home.path());
        command
    }

    fn start(&mut self, command: &mut Command) -> u32 {
        let child = command.spawn().unwrap();
        let pid = child.id();
        self.child = Some(child);
        let started = Instant::now();
        while fs::read_link(format!("/proc/{pid}/exe")).ok().is_none_or(|exe| !exe.ends_with("node")) {
            assert!(started.elapsed().as_secs() < 10);
        }
        pid
    }

    fn lock(&self, pid: u32, ticks: u64) {
        let uid = Uid::effective();
        let folder = self.state().join(format!("tmp/openclaw-{uid}"));
        fs::create_dir_all(&folder).unwrap();
        let text = format!(
            r#"{{"pid":{pid},"configPath":"{}","stateDir":"{}","port":28789,"startTime":{ticks}}}"#,
            self.config().display(),
            self.state().display(),
        );
        fs::write(folder.join("gateway.state.lock"), text + "\n\t  \t").unwrap();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn ground(pid: u32, port: u16) -> Ground {
    let listener = Listener {
        bound: ([127, 0, 0, 1], port).into(),
        dual_stack: false,
        device: None,
        uid: None,
        socket: 1,
        owner: Attribution::Named(vec![pid]),
    };
    let known = Snapshot { listeners: Observation::Seen(vec![listener]), ..Snapshot::default() };
    Ground { policy: Arc::default(), known: Arc::new(known) }
}

async fn look(probe: &mut Gateway, pid: u32, port: u16) -> Option<GatewayProcess> {
    let found = probe.observe(ground(pid, port)).await.unwrap();
    found.into_iter().find(|gateway| gateway.pid == pid)
}

fn ticks(pid: u32) -> u64 {
    procfs::start_ticks(&procfs::read(pid, "stat").unwrap()).unwrap()
}

fn settings(gateway: &GatewayProcess) -> &GatewayConfig {
    match &gateway.config.state {
        ConfigState::Read(settings) => settings,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_is_found_by_its_title_with_its_configuration_and_files() {
    let mut fake = Fake::new();
    fs::write(fake.config(), "{gateway: {bind: 'lan', auth: {mode: 'token', token: 'hush'}}}").unwrap();
    let pid = fake.start(&mut fake.command(TITLE));
    let gateway = look(&mut Gateway::default(), pid, 28789).await.unwrap();
    assert_eq!(gateway.product, Some(Product::Openclaw));
    assert_eq!(gateway.marks, ["its title is openclaw-gateway"]);
    assert_eq!(gateway.config.path, Some(fake.config()));
    assert_eq!(settings(&gateway).bind.as_deref(), Some("lan"));
    assert!(settings(&gateway).has_secret);
    assert!(!format!("{gateway:?}").contains("hush"));
    let private: Vec<&Path> = gateway.private_paths.iter().map(|private| private.path.as_path()).collect();
    assert_eq!(private, [fake.state(), fake.config()]);
}

#[tokio::test]
async fn a_lock_file_names_a_gateway_without_any_title() {
    let mut fake = Fake::new();
    let pid = fake.start(&mut fake.command("anything"));
    assert_eq!(look(&mut Gateway::default(), pid, 28789).await, None);
    fake.lock(pid, ticks(pid) + 1);
    assert_eq!(look(&mut Gateway::default(), pid, 28789).await, None, "an earlier process of this number");
    fake.lock(pid, ticks(pid));
    let gateway = look(&mut Gateway::default(), pid, 28789).await.unwrap();
    assert_eq!(gateway.product, Some(Product::Openclaw));
    assert!(gateway.marks[0].starts_with("the lock file "), "{:?}", gateway.marks);
    assert_eq!(gateway.config.path, Some(fake.config()));
    assert_eq!(gateway.config.state, ConfigState::Absent);
}

#[tokio::test]
async fn the_environment_counts_only_on_the_port_that_the_configuration_names() {
    let mut fake = Fake::new();
    fs::write(fake.config(), "{gateway: {port: 28789}}").unwrap();
    let mut command = fake.command("server.js");
    command.env("OPENCLAW_STATE_DIR", fake.state()).env("OPENCLAW_GATEWAY_TOKEN", "hush");
    let pid = fake.start(&mut command);
    assert_eq!(look(&mut Gateway::default(), pid, 3000).await, None, "a web server of the agent");
    let gateway = look(&mut Gateway::default(), pid, 28789).await.unwrap();
    assert_eq!(gateway.marks, ["its environment sets OPENCLAW_STATE_DIR"]);
    assert!(settings(&gateway).has_secret);
}

#[tokio::test]
async fn a_configuration_that_changes_is_read_again() {
    let mut fake = Fake::new();
    fs::write(fake.config(), "{gateway: {$include: 'more.json'}}").unwrap();
    fs::write(fake.state().join("more.json"), "{bind: 'lan'}").unwrap();
    let pid = fake.start(&mut fake.command(TITLE));
    let mut probe = Gateway::default();
    let bind = async |probe: &mut Gateway| {
        let gateway = look(probe, pid, 1).await.unwrap();
        settings(&gateway).bind.clone()
    };
    assert_eq!(bind(&mut probe).await.as_deref(), Some("lan"));
    assert_eq!(bind(&mut probe).await.as_deref(), Some("lan"));
    fs::write(fake.state().join("more.json"), "{bind: 'tailnet'}").unwrap();
    assert_eq!(bind(&mut probe).await.as_deref(), Some("tailnet"));
    fs::write(fake.config(), "{gateway: {bind: 'custom'}}").unwrap();
    assert_eq!(bind(&mut probe).await.as_deref(), Some("custom"));
}

#[tokio::test]
async fn what_cannot_be_understood_is_unreadable_not_absent() {
    let mut fake = Fake::new();
    let pid = fake.start(&mut fake.command(TITLE));
    let mut probe = Gateway::default();
    for (text, cause) in [
        ("{gateway: {bind: 7}}", Cause::Malformed),
        ("{gateway: hush hush}", Cause::Malformed),
        ("{gateway: {$include: 'none.json'}}", Cause::Interrupted),
        (&"[".repeat(100_000), Cause::Malformed),
        (&" ".repeat(2_000_000), Cause::TooMuch),
    ] {
        fs::write(fake.config(), text).unwrap();
        let gateway = look(&mut probe, pid, 1).await.unwrap();
        let ConfigState::Unreadable(why) = gateway.config.state else { panic!("{:?}", gateway.config) };
        assert_eq!(why.cause, cause, "{why}");
        assert!(!why.detail.contains("hush"), "{why}");
    }
    fs::remove_file(fake.config()).unwrap();
    fs::create_dir(fake.config()).unwrap();
    let gateway = look(&mut probe, pid, 1).await.unwrap();
    assert!(matches!(gateway.config.state, ConfigState::Unreadable(_)), "a folder of that name");
}

#[tokio::test]
async fn a_secret_in_the_state_folders_variables_counts() {
    let mut fake = Fake::new();
    fs::write(fake.config(), "{}").unwrap();
    fs::write(fake.state().join(".env"), "# key\nexport OPENCLAW_GATEWAY_TOKEN=hush\n").unwrap();
    let pid = fake.start(&mut fake.command(TITLE));
    assert!(settings(&look(&mut Gateway::default(), pid, 1).await.unwrap()).has_secret);
}

#[tokio::test]
async fn a_relay_with_a_gateways_title_is_none() {
    let mut fake = Fake::new();
    fs::rename(fake.home.path().join("node"), fake.home.path().join("socat")).unwrap();
    let child = Command::new(fake.home.path().join("socat")).arg0(TITLE).arg("60").spawn().unwrap();
    let pid = child.id();
    fake.child = Some(child);
    let started = Instant::now();
    while fs::read_link(format!("/proc/{pid}/exe")).ok().is_none_or(|exe| !exe.ends_with("socat")) {
        assert!(started.elapsed().as_secs() < 10);
    }
    assert_eq!(look(&mut Gateway::default(), pid, 18789).await, None);
}

#[tokio::test]
async fn a_gateway_in_another_network_is_not_ours() {
    let mut fake = Fake::new();
    let mut command = Command::new("unshare");
    command.arg("--net").arg(fake.home.path().join("node")).arg("60").env_clear();
    command.env("HOME", fake.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
    if !Uid::effective().is_root() {
        eprintln!("left out: a network namespace needs root");
        return;
    }
    let pid = fake.start(&mut command);
    fake.lock(pid, ticks(pid));
    let mut probe = Gateway::default();
    let entries = probe.table.read(&BTreeSet::from([pid]), &BTreeSet::new()).unwrap();
    let entry = entries.into_iter().find(|entry| entry.process.pid == pid).unwrap();
    assert!(probe.candidate(entry.clone(), BTreeSet::new(), &Family::new()).is_none());
    let holder = probe.candidate(entry, BTreeSet::from([18789]), &Family::new()).unwrap();
    assert_eq!(holder.network, Some("it lives in another network and listens in this one"));
}

#[test]
fn the_services_own_is_what_its_manager_started_and_not_what_was_typed_within_it() {
    for (above, terminal, own) in [
        (&["systemd"][..], false, true),
        (&["systemd"], true, true),
        (&["sh", "systemd"], false, true),
        (&["sh", "npm exec opencla", "sh", "systemd"], false, true),
        (&["sh", "cron", "systemd"], false, false),
        (&["bash", "node", "systemd"], true, false),
        (&["bash", "gnome-terminal-", "systemd"], false, false),
        (&["sh", "sh"], false, false),
        (&[], false, false),
    ] {
        assert_eq!(is_supervised(above, || terminal), own, "{above:?}");
    }
}

#[test]
fn the_unit_that_the_kernel_knows_comes_before_what_the_environment_says() {
    let claim = |name: &str| Service { name: name.to_owned(), manager: Manager::User(7) };
    let environment = Environment::parse(b"OPENCLAW_SYSTEMD_UNIT=dbus.service\0");
    let of_kernel = Some(claim("openclaw-gateway.service"));
    assert_eq!(service(of_kernel.clone(), Some(&environment), Some(7), None), of_kernel);
    assert_eq!(service(None, Some(&environment), Some(7), None), Some(claim("dbus.service")));
    assert_eq!(service(None, None, Some(7), None), None);
}
