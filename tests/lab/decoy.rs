//! A gateway's double that starts at once: for what a watcher does, over and over, a real gateway
//! would take half a minute each time. It is the one of `guardian drill`.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;

use crate::host::{Host, User};
use crate::relay::up;
use crate::running::Running;

/// A user's decoy at these addresses. `watchdog`: a shell that starts it again whenever it ends.
pub(crate) struct Decoy {
    pub(crate) user: User,
    pub(crate) at: SocketAddr,
}

impl Decoy {
    pub(crate) fn start(&self, host: &Host) -> Running {
        up(host, self.launch(host), self.at.port())
    }

    /// The same without waiting until it listens: a watcher may end it before anybody sees it.
    pub(crate) fn launch(&self, host: &Host) -> Running {
        self.furnish(host);
        let mut command = Host::command("/mnt/lab/decoy/node");
        command.arg0("openclaw-gateway").args(["drill-decoy", &self.at.to_string()]);
        host.start(self.user, &mut command)
    }

    /// The same, started again by a shell whenever it ends.
    pub(crate) fn watched(&self, host: &Host, pause: &str) -> Running {
        self.furnish(host);
        host.write(
            "/mnt/lab/decoy/watchdog.sh",
            &format!(
                "while :; do (exec -a openclaw-gateway /mnt/lab/decoy/node drill-decoy {}); sleep {pause}; done\n",
                self.at
            ),
        );
        let mut command = Host::command("bash");
        command.arg("/mnt/lab/decoy/watchdog.sh");
        up(host, host.start(self.user, &mut command), self.at.port())
    }

    /// A copy of the program, for the watcher knows its own file and leaves it alone; and what a
    /// gateway has in its user's home.
    pub(crate) fn furnish(&self, host: &Host) {
        let bind = if self.at.ip().is_loopback() { "loopback" } else { "lan" };
        let state = format!("{}/.openclaw", self.user.home());
        let config = format!(
            r#"{{"gateway":{{"port":{},"bind":"{bind}","auth":{{"mode":"token","token":"a-decoys-token"}}}}}}"#,
            self.at.port()
        );
        host.run(User::Root, &["mkdir", "-p", "-m", "755", "/mnt/lab/decoy"]);
        if !host.path("/mnt/lab/decoy/node").exists() {
            host.run(User::Root, &["cp", "/mnt/bin/guardian", "/mnt/lab/decoy/node"]);
        }
        let script = format!(
            "mkdir -p {state} && chmod 700 {state} && printf %s '{config}' > {state}/openclaw.json && \
             chmod 600 {state}/openclaw.json"
        );
        host.run(self.user, &["sh", "-c", &script]);
    }
}
