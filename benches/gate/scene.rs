//! A folder with everything that the proxies need, and the proxies.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::HOST;
use crate::peers::nginx;
use crate::process::Process;
use crate::watcher::Watcher;

pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) token: String,
    _watcher: Watcher,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("www")).unwrap();
        fs::write(path.join("www/1k"), vec![b'x'; 1024]).unwrap();
        fs::write(path.join("www/100k"), vec![b'x'; 100 * 1024]).unwrap();
        // Whoever runs nginx as root runs its workers as somebody else.
        Command::new("chmod").args(["-R", "a+rX"]).arg(path).status().unwrap();
        let watcher = Watcher::at(&path.join("run"));
        let mut scene = Self { folder, token: String::new(), _watcher: watcher };
        fs::write(scene.config("none"), "").unwrap();
        let made = scene.guardian("none").args(["token", "new", "bench"]).output().unwrap();
        String::from_utf8(made.stdout).unwrap().trim().clone_into(&mut scene.token);
        scene
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What a request of the owner's shows.
    pub(crate) fn right(&self) -> Vec<String> {
        vec![format!("Host: {HOST}"), format!("Authorization: Bearer {}", self.token)]
    }

    /// The server behind the proxies.
    pub(crate) fn origin(&self, core: &str, at: SocketAddr) -> Process {
        let root = self.path().join("www");
        let server = format!(
            "sendfile on; open_file_cache max=10; server {{ listen {at}; root {}; }}",
            root.display()
        );
        Process::on(core, &mut nginx(self.path(), &format!("origin-{}", at.port()), &server))
    }

    /// nginx, doing the same job as the gate.
    pub(crate) fn nginx(&self, name: &str, at: SocketAddr, to: SocketAddr) -> Process {
        let token = &self.token;
        let server = format!(
            "map_hash_bucket_size 256; map $http_authorization $authed {{ default 0; \"~^Bearer {token}$\" 1; }}\n\
             map $http_upgrade $conn {{ default upgrade; \"\" \"\"; }}\n\
             limit_req_zone $binary_remote_addr zone=rl:10m rate=1000000r/s; upstream app {{ server {to}; keepalive 128;\n\
             keepalive_requests 100000000; }}\n\
             server {{ listen {at} default_server backlog=4096; return 421; }}\n\
             server {{ listen {at}; server_name {HOST}; allow 127.0.0.0/8; deny all; limit_req zone=rl burst=100000 nodelay;\n\
             client_header_timeout 10s; if ($authed = 0) {{ return 401; }} proxy_http_version 1.1;\n\
             proxy_set_header Connection $conn; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Authorization \"\";\n\
             location / {{ proxy_pass http://app; }} }}"
        );
        Process::on("0", &mut nginx(self.path(), name, &server))
    }

    pub(crate) fn gate(&self, name: &str, at: SocketAddr, to: SocketAddr) -> Process {
        let policy = format!(
            "[gate]\nlisten = [\"{at}\"]\ngateway = \"{to}\"\nhosts = [\"{HOST}\"]\n\
             rate = {{ per_second = 1000000, burst = 1000000 }}\nrate_of_all = {{ per_second = 1000000, burst = 1000000 }}\n"
        );
        fs::write(self.config(name), policy).unwrap();
        Process::on("0", self.guardian(name).arg("gate"))
    }

    fn config(&self, name: &str) -> std::path::PathBuf {
        self.path().join(format!("{name}.toml"))
    }

    fn guardian(&self, policy: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guardian"));
        command
            .env("GUARDIAN_STATE_DIR", self.path().join("state"))
            .env("GUARDIAN_RUNTIME_DIR", self.path().join("run"))
            .env("GUARDIAN_CONFIG", self.config(policy));
        command
    }
}
