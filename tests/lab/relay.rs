//! What people put in front of a gateway: nginx, socat, ssh; and servers that only look like one.

use std::process::Command;
use std::time::Duration;

use crate::host::{Host, User};
use crate::running::Running;

const SOON: Duration = Duration::from_secs(20);

/// `socat LISTEN CONNECT`, listening on `port`, under another name if `program` is one.
pub(crate) fn socat(
    host: &Host,
    user: User,
    program: &str,
    port: u16,
    listen: &str,
    connect: &str,
) -> Running {
    let mut command = Host::command(program);
    command.args([listen, connect]);
    up(host, host.start(user, &mut command), port)
}

/// `socat` from an address of the host to a port of its loopback.
pub(crate) fn forward(host: &Host, port: u16, address: &str, to: u16) -> Running {
    let listen = format!("TCP4-LISTEN:{port},bind={address},fork,reuseaddr");
    socat(host, User::Root, "socat", port, &listen, &format!("TCP4:127.0.0.1:{to}"))
}

/// nginx with these directives in a `server` that has a `listen` on `port`.
pub(crate) fn nginx(host: &Host, port: u16, server: &str) -> Running {
    let folder = format!("/mnt/lab/nginx-{port}");
    host.run(User::Root, &["mkdir", "-p", "-m", "755", &folder]);
    let configuration = format!(
        "user web web;\nworker_processes 1;\ndaemon off;\npid {folder}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n\
         client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         server {{\n{server}\n}}\n}}\n"
    );
    let file = format!("{folder}/nginx.conf");
    host.write(&file, &configuration);
    let mut command = Host::command("nginx");
    command.args(["-e", "stderr", "-p", &folder, "-c", &file]);
    up(host, host.start(User::Root, &mut command), port)
}

/// Apache, which listens on `port`, with these modules beside what it cannot do without, and these sites.
pub(crate) fn apache(host: &Host, port: u16, modules: &[&str], sites: &str) -> Running {
    let folder = format!("/mnt/lab/apache-{port}");
    host.run(User::Root, &["install", "-d", "-m", "755", &folder, &format!("{folder}/pages")]);
    let load = |it: &&str| format!("LoadModule {it}_module /usr/lib/apache2/modules/mod_{it}.so");
    let modules: Vec<String> = ["mpm_event", "authz_core"].iter().chain(modules).map(load).collect();
    let modules = modules.join("\n");
    let configuration = format!(
        "{modules}\nServerName web\nListen 0.0.0.0:{port}\nUser web\nGroup web\nPidFile {folder}/pid\n\
         DefaultRuntimeDir {folder}\nErrorLog {folder}/log\nDocumentRoot {folder}/pages\n{sites}"
    );
    let file = format!("{folder}/apache.conf");
    host.write(&file, &configuration);
    let mut command = Host::command("/usr/sbin/apache2");
    command.args(["-f", &file, "-D", "FOREGROUND"]);
    up(host, host.start(User::Root, &mut command), port)
}

/// Caddy, which listens on `port`, with these sites.
pub(crate) fn caddy(host: &Host, port: u16, sites: &str) -> Running {
    let file = caddyfile(host, "first", sites);
    let mut command = Host::command("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", &file]).env("XDG_DATA_HOME", "/mnt/lab/caddy");
    up(host, host.start(User::Root, &mut command), port)
}

/// Caddy goes on with these sites, without a start.
pub(crate) fn reload_caddy(host: &Host, sites: &str) {
    host.run(
        User::Root,
        &["caddy", "reload", "--adapter", "caddyfile", "--config", &caddyfile(host, "next", sites)],
    );
}

/// Sites that are given a certificate by nobody but Caddy itself.
fn caddyfile(host: &Host, name: &str, sites: &str) -> String {
    let file = format!("/mnt/lab/caddy/{name}");
    host.run(User::Root, &["mkdir", "-p", "-m", "755", "/mnt/lab/caddy"]);
    host.write(&file, &format!("{{\n skip_install_trust\n local_certs\n}}\n{sites}\n"));
    file
}

/// Directives that hand everything, WebSockets too, to a port of loopback.
pub(crate) fn proxy_to(port: u16, more: &str) -> String {
    format!(
        "location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection \"upgrade\"; {more} }}"
    )
}

/// Directives by which a proxy says for whom it asks.
pub(crate) const FORWARDED: &str =
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Real-IP $remote_addr;";

/// `server.py MODE ADDRESS PORT [MORE...]` as another program than any gateway.
pub(crate) fn server(
    host: &Host,
    user: User,
    mode: &str,
    address: &str,
    port: u16,
    more: &[&str],
) -> Running {
    let mut command = Host::command("/usr/bin/python3");
    command.args(["/mnt/scripts/server.py", mode, address, &port.to_string()]).args(more);
    up(host, host.start(user, &mut command), port)
}

/// Any other server.
pub(crate) fn other(host: &Host, user: User, port: u16, program: &str, arguments: &[&str]) -> Running {
    let mut command = Host::command(program);
    command.args(arguments);
    up(host, host.start(user, &mut command), port)
}

/// An ssh server on port 22 of a host; `ssh_to` can log in as root.
pub(crate) fn sshd(host: &Host) -> Running {
    host.run(User::Root, &["install", "-d", "-m", "700", "/root/ssh"]);
    key(host, "/root/ssh/host");
    host.write(
        "/root/ssh/config",
        "ListenAddress 0.0.0.0\nHostKey /root/ssh/host\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin yes\nAuthorizedKeysFile /root/ssh/keys\nGatewayPorts yes\n",
    );
    other(host, User::Root, 22, "/usr/sbin/sshd", &["-D", "-e", "-f", "/root/ssh/config"])
}

/// A command that logs in from one host to the `sshd` of another, at `address`, and opens `tunnel`.
pub(crate) fn ssh_to(from: &Host, to: &Host, address: &str, tunnel: &[&str]) -> Command {
    from.run(User::Root, &["install", "-d", "-m", "700", "/root/ssh"]);
    key(from, "/root/ssh/key");
    let key = std::fs::read_to_string(from.path("/root/ssh/key.pub")).unwrap();
    to.write("/root/ssh/keys", &key);
    let mut command = Host::command("ssh");
    command
        .args(["-F", "none", "-i", "/root/ssh/key", "-N", "-o", "BatchMode=yes"])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "ExitOnForwardFailure=yes"])
        .args(tunnel)
        .arg(format!("root@{address}"));
    command
}

fn key(host: &Host, file: &str) {
    if !host.path(file).exists() {
        host.run(User::Root, &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
    }
}

/// Waits until a server listens.
pub(crate) fn up(host: &Host, mut server: Running, port: u16) -> Running {
    server.wait_until(&format!("port {port}"), SOON, || host.listens(port));
    server
}
