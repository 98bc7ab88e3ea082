//! Real programs: what is told here is read from their processes and files.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use guardian_rules::observation::Observation;

use super::*;
use crate::file::View;

/// A program of this test's own, ended with it: asked to, because it may have children.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().ok();
        self.0.wait().ok();
    }
}

/// Starts a program, or says that it is not there.
fn start(program: &str, arguments: &[&str]) -> Option<Running> {
    let quiet = Stdio::null;
    let child = Command::new(program).args(arguments).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    match child {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            eprintln!("left out: {program}: {error}");
            None
        }
    }
}

/// The routes of a process, once it has any.
fn routes_of(pid: u32) -> Vec<Route> {
    let started = Instant::now();
    loop {
        let mut routes = look(&mut Table::default(), &BTreeSet::new(), &BTreeSet::new()).unwrap().routes;
        routes.retain(|route| route.pid == pid);
        if !routes.is_empty() || started.elapsed().as_secs() > 10 {
            return routes;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn an_idle_remote_forward_is_found_by_its_arguments() {
    // The other side accepts and stays silent, so the program waits for its greeting.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let arguments = ["-F", "/dev/null", "-p", &port, "-NR", "8080:localhost:18789", "nobody@127.0.0.1"];
    let Some(ssh) = start("ssh", &arguments) else { return };
    let routes = routes_of(ssh.0.id());
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!((routes[0].program.as_str(), routes[0].to_port), ("ssh", 18789));
    assert_eq!(routes[0].listens, []);
    assert_eq!(routes[0].source, RouteSource::Arguments);
    assert_eq!(routes[0].text, "ssh -R 8080:localhost:18789");
}

#[test]
fn an_idle_remote_forward_is_found_in_the_files_that_ssh_reads() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let (file, included) = (folder.path().join("config"), folder.path().join("panel.conf"));
    let text = format!(
        "Host other\n RemoteForward 1 localhost:1\nHost 127.0.*\n User nobody\n Include {at}/*.conf\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(&included, "RemoteForward 8080 localhost:18789\n").unwrap();
    let named = file.display().to_string();
    let Some(ssh) = start("ssh", &["-F", &named, "-p", &port, "-N", "127.0.0.1"]) else { return };
    let routes = routes_of(ssh.0.id());
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!((routes[0].program.as_str(), routes[0].to_port), ("ssh", 18789));
    assert_eq!(routes[0].source, RouteSource::File(file.clone()));
    assert_eq!(routes[0].text, "RemoteForward 8080:localhost:18789");

    let whole = || {
        let entries = Table::default().read(&BTreeSet::from([ssh.0.id()]), &BTreeSet::new()).unwrap();
        let entry = entries.iter().find(|it| it.process.pid == ssh.0.id()).unwrap();
        let relay = relay(&shown(entry)).unwrap();
        configured(entry, &relay, u64::MAX).unwrap().told.whole
    };
    assert!(whole());
    std::fs::write(&included, "RemoteForward 1080\n").unwrap();
    assert!(!whole(), "a proxy for every destination");
    std::fs::remove_file(&included).unwrap();
    assert!(whole());
    std::fs::write(&file, format!("Include {at}/${{NAME}}\n")).unwrap();
    assert!(!whole(), "a file that is not known");
    std::fs::remove_file(&file).unwrap();
    assert!(!whole(), "a file that was named and is gone");
}

/// A process of this test's own number that shows these arguments.
fn entry(arguments: &[&str]) -> Entry {
    let argv: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let pid = std::process::id();
    let entries = Table::default().read(&BTreeSet::from([pid]), &BTreeSet::new()).unwrap();
    let own = entries.into_iter().find(|it| it.process.pid == pid).unwrap();
    let process = guardian_rules::fact::Process { name: argv[0].clone(), exe: None, ..own.process };
    Entry { process, argv, is_cut: false, since: own.since }
}

#[test]
fn a_configuration_that_was_changed_after_the_start_is_not_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frpc.toml");
    std::fs::write(&file, "serverAddr = \"x\"\n").unwrap();
    let changed = u64::try_from(View::own().unwrap().stamp(&file).unwrap().changed()).unwrap();
    let entry = entry(&["frpc", "-c", &file.display().to_string()]);
    let relay = relay(&shown(&entry)).unwrap();
    let found = |since| {
        let found = configured(&entry, &relay, since).unwrap();
        assert!(found.told.whole && found.told.instructions.is_empty());
        found.is_outdated
    };
    assert!(found(changed - 10));
    assert!(!found(changed), "a file that is written while its reader starts is what that read");
    assert!(!found(changed + 10));
}

#[test]
fn folders_that_fit_what_an_ssh_includes_are_looked_into_and_what_is_gone_from_them_is_noticed() {
    let top = tempfile::tempdir().unwrap();
    let at = |name: &str| top.path().join(name);
    for (name, port) in [("one", 18789), ("two", 18790)] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("config"), format!("RemoteForward 80 localhost:{port}\n")).unwrap();
    }
    // More than a file of which nobody thinks.
    std::fs::create_dir(at("one/d")).unwrap();
    for number in 0..100 {
        std::fs::write(at(&format!("one/d/{number}")), "").unwrap();
    }
    let file = at("ssh_config");
    let include = format!("Include {0}/*/config\nInclude {0}/*/d/*\n", top.path().display());
    std::fs::write(&file, include).unwrap();
    let changed = |path: &Path| u64::try_from(View::own().unwrap().stamp(path).unwrap().changed()).unwrap();
    let entry = entry(&["ssh", "-F", &file.display().to_string(), "vps"]);
    let found = |since| configured(&entry, &relay(&shown(&entry)).unwrap(), since).unwrap();
    let told = found(u64::MAX).told;
    assert_eq!(told.instructions.iter().map(|it| it.target.port).collect::<Vec<_>>(), [18789, 18790]);
    assert!(told.whole);
    // Started when the last file was written, within what a start may be reckoned wrong.
    let since = changed(&file) - 2;
    assert!(!found(since).is_outdated);
    std::thread::sleep(Duration::from_millis(1100));
    std::fs::remove_file(at("two/config")).unwrap();
    assert!(found(since).is_outdated && found(since).told.whole);
}

#[test]
fn an_ssh_whose_file_names_what_only_it_can_make_out_is_seldom_a_tunnel() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let named = file.display().to_string();
    let found = |entry: &Entry| {
        let found = configured(entry, &relay(&shown(entry)).unwrap(), u64::MAX).unwrap();
        (found.told.whole, found.is_seldom)
    };
    let plain = entry(&["ssh", "-F", &named, "vps"]);
    for include in ["${HOME}/x", "%d/x", "~ana/x"] {
        std::fs::write(&file, format!("Include {include}\n")).unwrap();
        assert_eq!(found(&plain), (false, true), "{include}");
        assert_eq!(found(&entry(&["ssh", "-F", &named, "-R", "1080", "vps"])), (false, false), "{include}");
        assert_eq!(found(&Entry { is_cut: true, ..plain.clone() }), (false, false), "{include}");
    }
    std::fs::write(&file, format!("Include {named}\n")).unwrap();
    assert_eq!(found(&plain), (false, false), "it includes itself");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(found(&plain), (false, false), "it was named and is gone");
    // A user of whom this host knows no home.
    let mut strange = entry(&["ssh", "vps"]);
    strange.process.uid = Some(3_999_999_999);
    assert_eq!(found(&strange), (false, true));
}

#[test]
fn a_process_whose_arguments_are_not_all_known_does_not_tell_all() {
    let folder = tempfile::tempdir().unwrap();
    let (frpc, nginx) = (folder.path().join("frpc.toml"), folder.path().join("nginx.conf"));
    std::fs::write(&frpc, "serverAddr = \"x\"\n").unwrap();
    std::fs::write(&nginx, "events { }\n").unwrap();
    let found = |arguments: &[&str], is_cut| {
        let entry = Entry { is_cut, ..entry(arguments) };
        let found = configured(&entry, &relay(&shown(&entry)).unwrap(), u64::MAX).unwrap();
        (found.told.whole, found.astray.is_some(), found.vague.is_some())
    };
    let (frpc, nginx) = (frpc.display().to_string(), nginx.display().to_string());
    // An ssh without a host connects to nobody, if that is all.
    for (arguments, is_whole) in
        [(&["ssh", "-V"][..], true), (&["frpc", "-c", &frpc], true), (&["nginx", "-c", &nginx], false)]
    {
        let (whole, astray, vague) = found(arguments, false);
        assert!(whole == is_whole && (whole || (astray && vague)), "{arguments:?}");
        assert_eq!(found(arguments, true), (false, false, false), "{arguments:?}");
    }
}

#[test]
fn an_nginx_runs_by_what_was_there_when_its_oldest_worker_came() {
    let worker = |pid, title: &str, since| {
        let mut entry = entry(&[title]);
        (entry.process.pid, entry.process.parent, entry.since) = (pid, Some(1_000_000), since);
        entry
    };
    let mut master = entry(&["nginx: master process nginx"]);
    (master.process.pid, master.process.parent, master.since) = (1_000_000, Some(1), 10);
    let of = |program: &str, workers: &[Entry]| {
        let all: Vec<Entry> = workers.iter().chain([&master]).cloned().collect();
        let programs = all.iter().map(|it| (it.process.pid, program.to_owned())).collect();
        Workers::of(&all, &programs).since(&master, program)
    };
    let (old, new) = (worker(1, "nginx: worker process", 20), worker(2, "nginx: worker process", 30));
    let leaving = worker(3, "nginx: worker process is shutting down", 15);
    assert_eq!(of("nginx", &[]), 10);
    assert_eq!(of("nginx", &[old.clone(), new.clone(), leaving]), 20, "one that died was replaced");
    assert_eq!(of("haproxy", &[old.clone(), new.clone()]), 30);
    assert_eq!(of("frpc", &[old, new]), 10, "a reload leaves no trace");
}

#[test]
fn a_folder_from_which_a_site_is_taken_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let sites = folder.path().join("sites");
    std::fs::create_dir(&sites).unwrap();
    let (main, site) = (folder.path().join("nginx.conf"), sites.join("panel"));
    std::fs::write(&main, "http { include sites/*; }").unwrap();
    std::fs::write(&site, "server { listen 80; }").unwrap();
    let age = || {
        let mut age = Age::default();
        let argv = ["nginx", "-c", main.to_str().unwrap()].map(str::to_owned);
        nginx::instructions(&View::own().unwrap(), &argv, &mut age).unwrap();
        age
    };
    let before = age();
    std::thread::sleep(Duration::from_millis(1100));
    std::fs::remove_file(&site).unwrap();
    assert_ne!(age(), before);
}

#[test]
fn a_proxy_that_nobody_reads_may_lead_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("traefik");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let Some(traefik) = start(program.to_str().unwrap(), &["60"]) else { return };
    let pid = traefik.0.id();
    let started = Instant::now();
    let vague = || look(&mut Table::default(), &BTreeSet::new(), &BTreeSet::new()).unwrap().vague;
    while !vague().contains(&(pid, None)) {
        assert!(started.elapsed().as_secs() < 10);
    }
}

#[test]
fn a_proxy_is_as_vague_as_its_configuration() {
    let told = |vague: Option<&[u16]>, is_outdated| {
        let vague = vague.map(|ports| ports.iter().copied().collect());
        let told = Understood::default();
        let found =
            Configured { file: PathBuf::new(), told, astray: None, vague, is_outdated, is_seldom: false };
        vague_ports(0, "nginx", Some(&found)).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(told(Some(&[]), false), []);
    assert_eq!(told(Some(&[80, 81]), false), [Some(80), Some(81)]);
    assert_eq!(told(None, false), [None], "not all of it could be read");
    assert_eq!(told(Some(&[]), true), [None], "it may run by another one");
    assert_eq!(vague_ports(0, "nginx", None).into_iter().collect::<Vec<_>>(), [None]);
}

#[test]
fn an_idle_forwarder_is_found_with_its_socket() {
    let port = free_port();
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork");
    let Some(socat) = start("socat", &[&listen, "TCP:127.0.0.1:18789"]) else { return };
    let routes = routes_of(socat.0.id());
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!(routes[0].listens, [([127, 0, 0, 1], port).into()]);
    assert_eq!(routes[0].to_port, 18789);
}

#[test]
fn a_running_nginx_is_found_by_its_master_and_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (port, at) = (free_port(), folder.path().display());
    let text = format!(
        "daemon off; pid {at}/pid; error_log stderr; events {{ }}
         http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p;
         fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; include {at}/*.site; }}"
    );
    let site = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:18789; }}
         location /x {{ proxy_pass http://192.0.2.7:18789; }} }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("panel.site"), site).unwrap();
    let Some(nginx) = start("nginx", &["-c", &file.display().to_string()]) else { return };
    let routes = routes_of(nginx.0.id());
    assert_eq!(routes.len(), 1, "only what is carried to this host: {routes:?}");
    assert_eq!(routes[0].listens, [([127, 0, 0, 1], port).into()]);
    assert_eq!(routes[0].source, RouteSource::File(file));
    assert_eq!(routes[0].text, "proxy_pass http://127.0.0.1:18789");
    // Once it has set its title, the arguments are in that alone; workers have no routes of their own.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(routes_of(nginx.0.id()), routes);
    let all = look(&mut Table::default(), &BTreeSet::new(), &BTreeSet::new()).unwrap().routes;
    assert_eq!(all.iter().filter(|route| route.listens == routes[0].listens).count(), 1);
}

#[test]
fn a_proxy_to_an_own_address_is_told_only_if_the_address_is_known() {
    let port = free_port();
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork");
    let Some(socat) = start("socat", &[&listen, "TCP:192.0.2.7:18789"]) else { return };
    let pid = socat.0.id();
    let own = BTreeSet::from(["192.0.2.7".parse().unwrap()]);
    let started = Instant::now();
    let found = |own| {
        look(&mut Table::default(), &BTreeSet::new(), own)
            .unwrap()
            .routes
            .into_iter()
            .any(|route| route.pid == pid)
    };
    while !found(&own) {
        assert!(started.elapsed().as_secs() < 10);
    }
    assert!(!found(&BTreeSet::new()));
}

#[test]
fn what_may_be_a_guest_of_this_host_may_lead_back_to_it() {
    let address = |interface: &str, address: &str, prefix| InterfaceAddress {
        interface: interface.to_owned(),
        index: None,
        address: address.parse().unwrap(),
        prefix,
        tunnel: false,
    };
    let own = vec![
        address("lo", "127.0.0.1", 8),
        address("eth0", "192.0.2.7", 24),
        address("docker0", "172.17.0.1", 16),
        address("eth0", "2001:db8::7", 64),
    ];
    let known = Snapshot { interfaces: Observation::Seen(own), ..Snapshot::default() };
    let leads = |text: &str, known: &Snapshot| leads_on(&Target::parse(text).unwrap(), known);
    for guest in ["172.17.0.2:18789", "192.0.2.8:80", "[::ffff:172.17.0.2]:80", "[2001:db8::9]:80"] {
        assert!(leads(guest, &known), "{guest}");
    }
    for other in ["localhost:3000", "127.0.0.2:3000", "192.0.2.7:3000", "198.51.100.4:80", "[2001:db9::1]:80"]
    {
        assert!(!leads(other, &known), "{other}");
    }
    assert!(leads("198.51.100.4:80", &Snapshot::default()), "which networks those are is not known");

    // Only who says all of it, and leads to no such place, is taken at its word; where it leads here counts anyway.
    let taken = |whole, targets: &[&str]| {
        let instruction = |text: &&str| Instruction {
            listens: Vec::new(),
            target: Target::parse(text).unwrap(),
            text: String::new(),
        };
        let running = Understood { instructions: targets.iter().map(instruction).collect(), whole };
        let mut told = Instructions::default();
        take_in(&mut told, &mut Vec::new(), 900, running, &own_addresses(&known), &known);
        (told.outspoken.contains(&900), told.routes.iter().map(|it| it.to_port).collect::<Vec<_>>())
    };
    assert_eq!(taken(true, &["localhost:3000", "198.51.100.4:80"]), (true, vec![3000]));
    assert_eq!(taken(true, &["192.0.2.7:18789", "172.17.0.2:8080"]), (false, vec![18789]));
    assert_eq!(taken(false, &["localhost:3000"]), (false, vec![3000]));
}

/// What leads to a container, or to another host, is no port that a packet filter of loopback holds.
#[test]
fn a_port_is_accounted_for_only_if_all_that_it_takes_stays_on_this_host() {
    let told = |ports: &[(&str, u16)], astray: Option<BTreeSet<u16>>| {
        let instruction = |(host, port): &(&str, u16)| Instruction {
            listens: vec![([0, 0, 0, 0], *port).into()],
            target: Target { host: (*host).to_owned(), port: 18789 },
            text: String::new(),
        };
        let instructions = ports.iter().map(instruction).collect();
        let told = Understood { instructions, whole: false };
        let found = Configured {
            file: PathBuf::new(),
            told,
            astray,
            vague: None,
            is_outdated: false,
            is_seldom: false,
        };
        found.accounted(&BTreeSet::from(["192.0.2.7".parse().unwrap()])).into_iter().collect::<Vec<_>>()
    };
    let here = [("127.0.0.1", 8088), ("192.0.2.7", 8089)];
    assert_eq!(told(&here, Some(BTreeSet::new())), [8088, 8089]);
    assert_eq!(told(&here, Some(BTreeSet::from([8089]))), [8088]);
    assert_eq!(told(&here, None), [0; 0]);
    for elsewhere in ["172.17.0.2", "bot.internal", "192.0.2.8"] {
        let both = [("127.0.0.1", 8088), ("127.0.0.1", 8089), (elsewhere, 8088)];
        assert_eq!(told(&both, Some(BTreeSet::new())), [8089], "{elsewhere}");
    }
}
