//! Runs `guardian check --json` on a host and reads what it says.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::host::{Host, User};
use crate::seccomp::{self, Refusal};

/// Longer than any check may take on a busy machine; a check that hangs is a failure, not a wait.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a check said, and what it cost.
#[derive(Debug)]
pub(crate) struct Report {
    json: Value,
    pub(crate) exit: i32,
    pub(crate) took: Duration,
    /// The most memory it held, in MiB.
    pub(crate) peak: u64,
    stderr: String,
}

/// A check that is about to run.
pub(crate) struct Check<'a> {
    host: &'a Host,
    user: User,
    refusal: Option<Refusal>,
    policy: Option<&'a str>,
}

/// A check by root.
pub(crate) fn check(host: &Host) -> Report {
    Check::of(host).run()
}

impl<'a> Check<'a> {
    pub(crate) fn of(host: &'a Host) -> Self {
        Self { host, user: User::Root, refusal: None, policy: None }
    }

    pub(crate) fn by(self, user: User) -> Self {
        Self { user, ..self }
    }

    pub(crate) fn refused(self, refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..self }
    }

    /// With this guardian.toml.
    pub(crate) fn under(self, policy: &'a str) -> Self {
        Self { policy: Some(policy), ..self }
    }

    fn command(&self) -> Command {
        let mut command = Host::command("/mnt/bin/guardian");
        if let Some(refusal) = self.refusal {
            seccomp::refuse(&mut command, refusal);
        }
        if let Some(policy) = self.policy {
            self.host.write("/mnt/etc/guardian.toml", policy);
            command.env("GUARDIAN_CONFIG", "/mnt/etc/guardian.toml");
        }
        command.args(["check", "--json"]);
        command
    }

    #[expect(clippy::zombie_processes, reason = "wait4 reaps it, and tells its peak of memory too")]
    pub(crate) fn run(self) -> Report {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("/mnt/lab/check-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (out, err) = (self.host.path(&format!("{name}.json")), self.host.path(&format!("{name}.err")));
        let mut command = self.command();
        command.stdout(Stdio::from(File::create(&out).unwrap()));
        command.stderr(Stdio::from(File::create(&err).unwrap()));
        let begun = Instant::now();
        let child = self.host.spawn(self.user, &mut command);
        let ended = wait(&child, begun);
        let took = begun.elapsed();
        let text = fs::read_to_string(out).unwrap();
        let stderr = fs::read_to_string(err).unwrap();
        let (exit, peak) = ended.unwrap_or_else(|why| panic!("{why}\n{text}\n{stderr}"));
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|failed| panic!("exit {exit}, not JSON: {failed}\n{text}\n{stderr}"));
        let report = Report { json, exit, took, peak, stderr };
        report.keeps_the_contract();
        report
    }
}

/// Waits for a child; returns its exit code and its peak of resident memory in MiB.
fn wait(child: &Child, begun: Instant) -> Result<(i32, u64), String> {
    let pid = i32::try_from(child.id()).unwrap();
    loop {
        let mut status = 0;
        // SAFETY: both pointers are to live values of the types that wait4 fills; all zero is a valid rusage.
        let (waited, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
        };
        if waited == pid {
            let peak = u64::try_from(usage.ru_maxrss).unwrap() / 1024;
            return if libc::WIFEXITED(status) {
                Ok((libc::WEXITSTATUS(status), peak))
            } else {
                Err(format!("guardian was ended by signal {}", libc::WTERMSIG(status)))
            };
        }
        assert_eq!(waited, 0, "the child is ours to wait for");
        if begun.elapsed() > PATIENCE {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), None);
            return Err(format!("guardian did not answer within {PATIENCE:?}"));
        }
        sleep(Duration::from_millis(2));
    }
}

impl Report {
    pub(crate) fn verdict(&self) -> &str {
        self.json["verdict"].as_str().unwrap_or_default()
    }

    pub(crate) fn gateways(&self) -> &[Value] {
        self.json["gateways"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn findings(&self) -> &[Value] {
        self.json["findings"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// A finding of this rule, weight and answer whose subject or evidence names `about`.
    pub(crate) fn has(&self, rule: &str, severity: &str, answer: &str, about: &str) -> bool {
        self.findings().iter().any(|finding| {
            finding["rule"] == rule
                && finding["severity"] == severity
                && finding["answer"] == answer
                && (finding["subject"].to_string().contains(about)
                    || finding["evidence"].to_string().contains(about))
        })
    }

    /// What holds for every report, whatever the host.
    fn keeps_the_contract(&self) {
        let exit = match self.verdict() {
            "safe" => i32::from(self.findings().iter().any(|finding| finding["severity"] == "warning")),
            "exposed" => 2,
            "blind" => 3,
            _ => -1,
        };
        assert!(
            self.json["schema"] == 1 && self.exit == exit && self.json["exit"] == exit,
            "verdict, exit code and findings disagree\n{self}"
        );
        let critical = |answer: &str| {
            self.findings()
                .iter()
                .any(|finding| finding["severity"] == "critical" && finding["answer"] == answer)
        };
        let sound = match self.verdict() {
            "safe" => !critical("yes") && !critical("unknown"),
            "exposed" => critical("yes"),
            _ => critical("unknown") && !critical("yes"),
        };
        assert!(sound, "the findings do not bear the verdict\n{self}");
    }

    #[track_caller]
    pub(crate) fn is(&self, verdict: &str) -> &Self {
        assert!(self.verdict() == verdict, "expected {verdict}\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn is_not_safe(&self) -> &Self {
        assert!(self.verdict() != "safe", "expected anything but safe\n{self}");
        self
    }

    /// A critical yes of this rule about this address, process or word.
    #[track_caller]
    pub(crate) fn accuses(&self, rule: &str, about: impl std::fmt::Display) -> &Self {
        let about = about.to_string();
        assert!(self.has(rule, "critical", "yes", &about), "expected critical {rule} about {about}\n{self}");
        self
    }

    /// No critical yes of this rule about this.
    #[track_caller]
    pub(crate) fn does_not_accuse(&self, rule: &str, about: impl std::fmt::Display) -> &Self {
        let about = about.to_string();
        assert!(!self.has(rule, "critical", "yes", &about), "expected no {rule} about {about}\n{self}");
        self
    }

    /// A yes of this rule and weight about this.
    #[track_caller]
    pub(crate) fn notes(&self, rule: &str, severity: &str, about: impl std::fmt::Display) -> &Self {
        let about = about.to_string();
        assert!(self.has(rule, severity, "yes", &about), "expected {severity} {rule} about {about}\n{self}");
        self
    }

    /// Whatever the weight, no finding of this rule.
    #[track_caller]
    pub(crate) fn is_silent_about(&self, rule: &str) -> &Self {
        assert!(self.findings().iter().all(|finding| finding["rule"] != rule), "expected no {rule}\n{self}");
        self
    }

    /// A finding that says unknown, and names this in its subject or evidence.
    #[track_caller]
    pub(crate) fn cannot_tell(&self, about: impl std::fmt::Display) -> &Self {
        let about = about.to_string();
        let unknown = self
            .findings()
            .iter()
            .any(|finding| finding["answer"] == "unknown" && finding.to_string().contains(&about));
        assert!(unknown, "expected something unknown about {about}\n{self}");
        self
    }

    /// The outcome of a probe, and its reason if it is blind.
    pub(crate) fn probe(&self, probe: &str) -> (&str, &str) {
        let probes = self.json["probes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = probes.iter().find(|entry| entry["probe"] == probe);
        found.map_or(("absent", ""), |entry| {
            (entry["outcome"].as_str().unwrap_or_default(), entry["reason"].as_str().unwrap_or_default())
        })
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_string_pretty(&self.json).unwrap_or_default();
        write!(f, "exit {} after {:?}, {} MiB\n{json}\n{}", self.exit, self.took, self.peak, self.stderr)
    }
}
