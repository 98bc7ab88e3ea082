//! Takes a system call away from a program, as a sandbox or a hardened kernel would.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the system refuses, with EPERM.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// `socket(AF_NETLINK, ..., NETLINK_SOCK_DIAG)`: the kernel's list of sockets.
    SocketTable,
    /// `listen`: a listener of one's own.
    Listen,
}

/// Makes `command` start without what is refused.
pub(crate) fn refuse(command: &mut Command, refusal: Refusal) {
    let filter = program(refusal);
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || install(&filter));
    }
}

/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K` of `linux/bpf_common.h`.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const NETLINK_SOCK_DIAG: u32 = 4;

fn program(refusal: Refusal) -> Vec<libc::sock_filter> {
    // Offsets in `struct seccomp_data`: the call's number, then its arguments of 8 bytes each.
    let (number, first, third) = (0, 16, 32);
    let mut conditions = match refusal {
        Refusal::SocketTable => vec![
            (number, u32::try_from(libc::SYS_socket).unwrap()),
            (first, u32::try_from(libc::AF_NETLINK).unwrap()),
            (third, NETLINK_SOCK_DIAG),
        ],
        Refusal::Listen => vec![(number, u32::try_from(libc::SYS_listen).unwrap())],
    };
    let mut steps = Vec::new();
    while !conditions.is_empty() {
        let (offset, value) = conditions.remove(0);
        // Where a condition does not hold, jump over the rest and the refusal.
        let rest = u8::try_from(2 * conditions.len() + 1).unwrap();
        steps.push(libc::sock_filter { code: LOAD, jt: 0, jf: 0, k: offset });
        steps.push(libc::sock_filter { code: EQUAL, jt: 0, jf: rest, k: value });
    }
    let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
    steps.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: refused });
    steps.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW });
    steps
}

fn install(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: plain numbers; the kernel copies the filter, which outlives the call and is not written to.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
        ]
    };
    if results == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}
