//! A host: namespaces of its own for network, processes and files.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use crate::ready;
use crate::running::Running;

/// Users of every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    Ana,
    Bob,
    Data,
    /// Whom the installer makes for the gate.
    Gate,
}

impl User {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Ana => "ana",
            Self::Bob => "bob",
            Self::Data => "data",
            Self::Gate => "_guardian-gate",
        }
    }

    pub(crate) fn home(self) -> String {
        if self == Self::Root { "/root".to_owned() } else { format!("/home/{}", self.name()) }
    }

    /// As `host.sh` numbers them.
    pub(crate) fn id(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::Ana => 4001,
            Self::Bob => 4002,
            Self::Data => 4003,
            // After the web server's own.
            Self::Gate => 4005,
        }
    }
}

/// A host. When it is dropped, everything on it ends.
pub(crate) struct Host {
    /// `unshare`, whose child is the host's first process.
    leader: Child,
    /// Closing it ends the host; the kernel does so too when the tests are killed.
    alive: Option<ChildStdin>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL"])
            .args(["--mount-proc", "--", "bash"])
            .arg(ready::scripts().join("host.sh"));
        Self::furnished(&mut unshare).expect("host.sh furnishes a host")
    }

    /// A host whose first process is a real systemd; or why there can be none here.
    pub(crate) fn with_systemd() -> Result<Self, String> {
        Self::managed(&mut Command::new("bash"))
    }

    /// The same with a bare Debian in place of this machine's programs: packages can be installed there.
    pub(crate) fn bare_debian() -> Result<Self, String> {
        Self::managed(Command::new("bash").env("LAB_ROOT", ready::cache().join("root")))
    }

    fn managed(bash: &mut Command) -> Result<Self, String> {
        let host = Self::furnished(bash.arg(ready::scripts().join("systemd.sh")))?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let mut asked = Self::command("systemctl");
            asked.args(["--quiet", "is-active", "basic.target"]).stderr(Stdio::null());
            if host.spawn(User::Root, &mut asked).wait().unwrap().success() {
                return Ok(host);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err("systemd does not come up in namespaces".to_owned())
    }

    /// Starts a leader and waits until its host is furnished.
    fn furnished(leader: &mut Command) -> Result<Self, String> {
        let mut leader = leader
            .env("LAB_CACHE", ready::cache())
            .env("LAB_SCRIPTS", ready::scripts())
            .env("LAB_GUARDIAN", env!("CARGO_BIN_EXE_guardian"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|failed| format!("{leader:?}: {failed}"))?;
        let alive = leader.stdin.take();
        let mut said = String::new();
        let stdout = leader.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut said).unwrap();
        let host = Self { leader, alive };
        if said.trim() == "ready" { Ok(host) } else { Err("a host cannot be furnished".to_owned()) }
    }

    /// A command for this host: nothing of the environment but a path and a language.
    pub(crate) fn command(program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// Starts a command on the host. What it prints goes to a file.
    pub(crate) fn start(&self, user: User, command: &mut Command) -> Running {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let name = Path::new(&program).file_name().unwrap().to_string_lossy().into_owned();
        let log = self.path(&format!("/mnt/lab/{name}-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = self.spawn(user, command);
        Running::new(child, program, log)
    }

    /// Runs a command on the host to its end, and returns what it printed.
    pub(crate) fn run(&self, user: User, command: &[&str]) -> String {
        let (program, arguments) = command.split_first().expect("a program");
        let mut child = Self::command(program);
        child.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.spawn(user, &mut child).wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Spawns a command on the host, as leader of a process group.
    pub(crate) fn spawn(&self, user: User, command: &mut Command) -> Child {
        command.env("HOME", user.home()).env("USER", user.name()).current_dir("/").process_group(0);
        if user != User::Root {
            command.uid(user.id()).gid(user.id());
        }
        self.within(&["net", "uts", "ipc", "cgroup", "mnt", "pid_for_children"], || command.spawn())
            .unwrap_or_else(|failed| panic!("{command:?}: {failed}"))
    }

    /// Connects to an address as seen from this host.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.within(&["net"], || TcpStream::connect_timeout(&to, Duration::from_secs(5)))?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        stream.set_write_timeout(Some(Duration::from_secs(15)))?;
        Ok(stream)
    }

    /// Listens on this host, in the test's own process.
    pub(crate) fn listen(&self, at: SocketAddr) -> TcpListener {
        self.within(&["net"], || TcpListener::bind(at)).unwrap()
    }

    /// Whether a connection to an address comes about, as seen from this host; at once or not at all.
    pub(crate) fn reaches(&self, to: SocketAddr) -> bool {
        self.within(&["net"], || {
            let stream = TcpStream::connect_timeout(&to, Duration::from_millis(300));
            // A child that another test is just starting may hold a copy of it for a while.
            stream.is_ok_and(|stream| stream.shutdown(std::net::Shutdown::Both).is_ok())
        })
    }

    /// Something on this port waits for connections. Asking the kernel leaves an idle forwarder idle.
    pub(crate) fn listens(&self, port: u16) -> bool {
        let local = format!(":{port:04X}");
        ["tcp", "tcp6"].iter().any(|table| {
            fs::read_to_string(format!("/proc/{}/net/{table}", self.leader.id())).unwrap().lines().any(
                |line| {
                    let mut fields = line.split_whitespace();
                    fields.nth(1).is_some_and(|field| field.ends_with(&local)) && fields.nth(1) == Some("0A")
                },
            )
        })
    }

    /// The processes that hold the listening sockets on a port, as `ss` names them.
    pub(crate) fn holders(&self, port: u16) -> Vec<u32> {
        let table = self.run(User::Root, &["ss", "-H", "-ltnp", &format!("sport = :{port}")]);
        let mut holders: Vec<u32> = table
            .split("pid=")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap())
            .collect();
        holders.sort_unstable();
        holders.dedup();
        holders
    }

    /// A file of the host, as the tests reach it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader.id()))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap_or_else(|failed| panic!("{path}: {failed}"));
    }

    /// Lays a wire to another host; both ends are up, and without addresses.
    pub(crate) fn wire(&self, card: &str, other: &Self, other_card: &str) {
        let (here, there) = (self.leader.id().to_string(), other.leader.id().to_string());
        let status = Command::new("ip")
            .args(["link", "add", card, "netns", &here, "type", "veth"])
            .args(["peer", "name", other_card, "netns", &there])
            .status()
            .unwrap();
        assert!(status.success(), "no wire from {card} to {other_card}");
        for (host, card) in [(self, card), (other, other_card)] {
            host.run(User::Root, &["ip", "link", "set", card, "addrgenmode", "none"]);
            host.run(User::Root, &["ip", "link", "set", card, "up"]);
        }
    }

    /// Does something in namespaces of this host, in a thread of its own.
    fn within<T: Send>(&self, spaces: &[&str], work: impl FnOnce() -> T + Send) -> T {
        let spaces: Vec<File> = spaces
            .iter()
            .map(|space| File::open(format!("/proc/{}/ns/{space}", self.leader.id())).unwrap())
            .collect();
        thread::scope(|scope| {
            let done = scope.spawn(move || {
                // A thread that shares its working folder with others may not change its mounts.
                unshare(CloneFlags::CLONE_FS).unwrap();
                for space in spaces {
                    setns(space, CloneFlags::empty()).unwrap();
                }
                work()
            });
            done.join().expect("the work does not panic")
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.leader.wait();
    }
}
