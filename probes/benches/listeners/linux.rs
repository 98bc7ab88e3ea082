#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::fs;
use std::hint::black_box;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use std::io::{BufRead, BufReader, Write};

use guardian_probes::listeners::Inventory;
use guardian_probes::listeners::dump::Transport;
use guardian_probes::listeners::netlink::Netlink;
use guardian_probes::listeners::sock_diag::{States, request};
use guardian_probes::peers::{Question, Watch};

pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [mark, kind, count] = words.as_slice()
        && mark == "--crowd"
    {
        be_a_crowd(kind, count.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let mut columns = Vec::new();
    for scenario in &SCENARIOS {
        eprintln!("{}", scenario.name);
        let _crowd: Vec<Crowd> =
            scenario.crowds.iter().map(|(kind, count)| Crowd::gather(kind, *count)).collect();
        columns.push(Column::measure(scenario));
    }
    print(&columns);
    if judge(&columns) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Scenario {
    name: &'static str,
    /// The kind of crowd, and how many.
    crowds: &'static [(&'static str, usize)],
}

/// The scenario that the bars against other tools are meant for.
const BUSY: &str = "4,000 sockets, +300 processes";

const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "idle", crowds: &[] },
    Scenario { name: "4,000 sockets", crowds: &[("connections", 2000)] },
    Scenario { name: "+300 processes", crowds: &[("processes", 300)] },
    Scenario { name: BUSY, crowds: &[("connections", 2000), ("processes", 300)] },
    Scenario { name: "10,000 listeners", crowds: &[("listeners", 10_000)] },
];

/// Children that hold what a scenario needs, until they are let go.
struct Crowd(Vec<Child>);

impl Crowd {
    fn gather(kind: &str, count: usize) -> Self {
        let (children, each) = if kind == "processes" { (count, 1) } else { (1, count) };
        let mut children: Vec<Child> = (0..children)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--crowd", kind, &each.to_string()])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in &mut children {
            let mut ready = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
            assert_eq!(ready, "ready\n", "a crowd of {kind} did not come together");
        }
        Self(children)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // A child ends when its input does.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

fn be_a_crowd(kind: &str, count: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut listeners = Vec::new();
    let mut streams = Vec::new();
    let mut others = Vec::new();
    match kind {
        // Spread over addresses: the ports of one do not suffice.
        "listeners" => listeners
            .extend((0..count).map(|nth| TcpListener::bind(format!("127.9.{}.1:0", nth / 1000)).unwrap())),
        "connections" => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            for _ in 0..count {
                streams.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
                streams.push(listener.accept().unwrap().0);
            }
            listeners.push(listener);
        }
        // Twenty descriptors, five of them sockets, as an ordinary daemon has.
        "processes" => {
            for _ in 0..5 {
                others.push(UdpSocket::bind("127.0.0.1:0").unwrap().into());
            }
            for _ in 0..12 {
                others.push(std::os::fd::OwnedFd::from(fs::File::open("/dev/null").unwrap()));
            }
        }
        other => eprintln!("there are no crowds of {other}"),
    }
    println!("ready");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().lines().next();
    drop((listeners, streams, others));
}

/// What is measured, in the order of the table.
const ROWS: [&str; 10] = [
    "floor: bare dump of listeners",
    "floor + links of one process",
    "floor + links of all processes",
    "**ours, nothing changed**",
    "**ours, one listener came**",
    "netstat2",
    "ss -ltnpH",
    "ss -ltnH",
    "lsof -nP -iTCP -sTCP:LISTEN",
    "**our peers, nobody connected**",
];

/// The medians of one scenario, one a row; none where a tool is missing.
struct Column {
    name: &'static str,
    medians: Vec<Option<Duration>>,
}

impl Column {
    fn measure(scenario: &Scenario) -> Self {
        let mut floor = Floor::open();
        let mut ours = Inventory::open().unwrap();
        ours.look().unwrap();
        let busiest = busiest_process();
        let mut watch = Watch::default();
        let question = Question { ports: [18789].into(), ..Question::default() };
        let medians = vec![
            Some(median(400, || floor.dump())),
            Some(median(200, || {
                floor.dump();
                black_box(links_of(busiest));
            })),
            Some(median(9, || {
                floor.dump();
                for pid in processes() {
                    black_box(links_of(pid));
                }
            })),
            Some(median(400, || {
                black_box(ours.look().unwrap());
            })),
            Some(middle(9, || {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                let taken = timed(|| {
                    black_box(ours.look().unwrap());
                });
                drop(socket);
                ours.look().unwrap();
                taken
            })),
            Some(median(9, || {
                use netstat2::{AddressFamilyFlags, ProtocolFlags, get_sockets_info};
                black_box(get_sockets_info(AddressFamilyFlags::all(), ProtocolFlags::TCP).unwrap());
            })),
            command("ss", &["-ltnpH"]),
            command("ss", &["-ltnH"]),
            command("lsof", &["-nP", "-iTCP", "-sTCP:LISTEN"]),
            Some(median(21, || {
                black_box(watch.look(&question).unwrap());
            })),
        ];
        Self { name: scenario.name, medians }
    }

    fn of(&self, row: usize) -> Option<Duration> {
        self.medians.get(row).copied().flatten()
    }

    fn ratio(&self, row: usize, to: usize) -> Option<f64> {
        Some(self.of(row)?.as_secs_f64() / self.of(to)?.as_secs_f64())
    }
}

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    work();
    middle(times, || timed(&mut work))
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn middle(times: usize, measure: impl FnMut() -> Duration) -> Duration {
    let mut taken: Vec<Duration> = std::iter::repeat_with(measure).take(times).collect();
    taken.sort_unstable();
    taken.get(times / 2).copied().unwrap_or_default()
}

fn command(program: &str, arguments: &[&str]) -> Option<Duration> {
    let run = || {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .output()
    };
    run().ok()?;
    Some(median(9, || {
        black_box(run().is_ok());
    }))
}

/// The least that must be done to know who listens.
struct Floor {
    netlink: Netlink,
    buffer: Vec<u8>,
}

impl Floor {
    fn open() -> Self {
        Self { netlink: Netlink::open().unwrap(), buffer: vec![0; 64 * 1024] }
    }

    fn dump(&mut self) {
        self.netlink.send(&request(States::LISTEN, &[], 1)).unwrap();
        while !self.ends() {}
    }

    /// Receives a batch; whether it closes the dump (`NLMSG_DONE`), which then comes alone.
    fn ends(&mut self) -> bool {
        let length = self.netlink.receive(&mut self.buffer).unwrap();
        black_box(&self.buffer);
        let kind = |at: usize| self.buffer.get(at..at + 2).is_some_and(|kind| kind == 3_u16.to_ne_bytes());
        // Alone in its batch, or the last of it: 16 bytes of head and 4 of result.
        kind(4) || length >= 20 && kind(length - 16)
    }
}

fn processes() -> Vec<u32> {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Reads the links of a process's descriptors, as whoever looks for a socket must.
fn links_of(pid: u32) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    entries.flatten().filter(|entry| fs::read_link(entry.path()).is_ok()).count()
}

/// The process that holds most listeners: what a remembered holder is looked up in.
fn busiest_process() -> u32 {
    let listeners = Inventory::open().unwrap().look().unwrap();
    let mut held: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
    for pid in listeners.iter().flat_map(|listener| listener.owner.pids()) {
        *held.entry(*pid).or_default() += 1;
    }
    held.into_iter().max_by_key(|(_, count)| *count).map_or(std::process::id(), |(pid, _)| pid)
}

fn print(columns: &[Column]) {
    let row = |name: &str, cells: Vec<String>| println!("| {name} | {} |", cells.join(" | "));
    row("", columns.iter().map(|column| column.name.to_owned()).collect());
    row("---", columns.iter().map(|_| "---:".to_owned()).collect());
    for (nth, name) in ROWS.iter().enumerate() {
        let cell = |column: &Column| match (column.of(nth), column.ratio(nth, 0)) {
            (Some(time), Some(ratio)) => format!("{} ({})", human(time), times(ratio)),
            _ => "-".to_owned(),
        };
        row(name, columns.iter().map(cell).collect());
    }
}

fn human(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.0} us") } else { format!("{:.1} ms", micros / 1000.0) }
}

fn times(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1}x") } else { format!("{ratio:.0}x") }
}

/// Holds the measurements against the bars: a steady look within twice the floor and the links of
/// one process, a look at a change within twice the floor and the links of all; a steady look 50
/// times faster than `ss -ltnp` and 100 times faster than `lsof` on a host of many processes and
/// connections.
fn judge(columns: &[Column]) -> bool {
    let mut met = true;
    let mut bar = |name: &str, column: &Column, value: Option<f64>, holds: fn(f64) -> bool| {
        let Some(value) = value else { return };
        let verdict = if holds(value) { "met" } else { "NOT MET" };
        met &= holds(value);
        println!("- {name}, {}: {} ({verdict})", column.name, times(value));
    };
    println!();
    for column in columns {
        let at_most_twice = |it| it <= 2.0;
        bar("steady / floor + links of one process, at most 2x", column, column.ratio(3, 1), at_most_twice);
        bar(
            "changed / floor + links of all processes, at most 2x",
            column,
            column.ratio(4, 2),
            at_most_twice,
        );
        if column.name == BUSY {
            bar("ss -ltnpH / steady, at least 50x", column, column.ratio(6, 3), |it| it >= 50.0);
            bar("lsof / steady, at least 100x", column, column.ratio(8, 3), |it| it >= 100.0);
        }
    }
    met
}
