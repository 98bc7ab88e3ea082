//! A gateway's double that serves thousands at once and shares its sockets; `double.py` says how.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;

use crate::decoy::Decoy;
use crate::host::{Host, User};
use crate::relay::up;
use crate::running::Running;

/// Ana's double, once it listens; what a gateway has at home is there.
pub(crate) fn double(host: &Host, mode: &str, at: SocketAddr, more: &[&str]) -> Running {
    Decoy { user: User::Ana, at }.furnish(host);
    let mut command = Host::command("/usr/bin/python3");
    command
        .arg0("openclaw-gateway")
        .args(["/mnt/scripts/double.py", mode, &at.ip().to_string(), &at.port().to_string()])
        .args(more);
    up(host, host.start(User::Ana, &mut command), at.port())
}

/// An innocent program of root's out of `double.py`.
pub(crate) fn innocent(host: &Host, arguments: &[&str]) -> Running {
    let mut command = Host::command("/usr/bin/python3");
    command.arg("/mnt/scripts/double.py").args(arguments);
    host.start(User::Root, &mut command)
}
