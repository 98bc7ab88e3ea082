//! Other programs that do the same job, and the origin behind all of them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::HOST;
use crate::process::{Process, free, up};

pub(crate) fn nginx(folder: &Path, name: &str, body: &str) -> Command {
    let file = folder.join(format!("{name}.conf"));
    let text = format!(
        "daemon off; master_process off; pid {f}/{name}.pid; error_log {f}/{name}.err;\n\
         events {{ worker_connections 10000; multi_accept on; }}\n\
         http {{ access_log off; keepalive_timeout 300s; keepalive_requests 100000000; tcp_nodelay on;\n\
         client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u;\n\
         scgi_temp_path {f}/s; {body} }}\n",
        f = folder.display()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file);
    command
}

/// Another program that does the same job, where it is installed.
fn other(
    name: &'static str,
    at: SocketAddr,
    folder: &Path,
    text: &str,
    begin: &[&str],
) -> Option<(&'static str, SocketAddr, Process)> {
    let there = Command::new(name).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    there.ok()?;
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, text).unwrap();
    let mut command = Command::new(name);
    // Of one core each, too.
    command.args(begin).arg(file).env("GOMAXPROCS", "1").env("XDG_DATA_HOME", folder);
    let process = Process::on("0", &mut command);
    up(at);
    Some((name, at, process))
}

/// `HAProxy` and Caddy: source, rate where it can, host and token, and connections to the origin kept.
pub(crate) fn others(
    folder: &Path,
    token: &str,
    origin: SocketAddr,
) -> Vec<(&'static str, SocketAddr, Process)> {
    let (haproxy, caddy) = (free(), free());
    let text = format!(
        "global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n timeout connect 5s\n timeout client 75s\n\
         timeout server 600s\n timeout http-request 10s\n http-reuse always\nfrontend f\n bind {haproxy} backlog 4096\n\
         stick-table type ip size 100k expire 30s store http_req_rate(1s)\n http-request track-sc0 src\n\
         http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000 }}\n\
         http-request deny deny_status 403 unless {{ src 127.0.0.0/8 }}\n\
         http-request deny deny_status 404 unless {{ hdr(host) -i {HOST} }}\n\
         http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {token}\" }}\n\
         http-request del-header authorization\n http-request set-header X-Forwarded-For %[src]\n\
         default_backend b\nbackend b\n server s {origin}\n"
    );
    let haproxy = other("haproxy", haproxy, folder, &text, &["-f"]);
    let text = format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://{HOST}:{port} {{\n bind 127.0.0.1\n\
         @stranger not remote_ip 127.0.0.0/8\n respond @stranger 403\n\
         @unknown not header Authorization \"Bearer {token}\"\n respond @unknown 401\n\
         reverse_proxy {origin} {{\n header_up -Authorization\n}}\n}}\n",
        port = caddy.port()
    );
    let caddy = other("caddy", caddy, folder, &text, &["run", "--adapter", "caddyfile", "--config"]);
    [haproxy, caddy].into_iter().flatten().collect()
}
