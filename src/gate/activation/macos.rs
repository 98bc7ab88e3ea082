//! `launch_activate_socket(3)`, with the name `Listeners` in the property list.

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::RawFd;
use std::{io, ptr, slice};

use socket2::Socket;

const NAME: &CStr = c"Listeners";

unsafe extern "C" {
    // launch.h; in libSystem, which every program is linked with.
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
}

pub(super) fn descriptors() -> io::Result<Vec<RawFd>> {
    let (mut fds, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the name is a C string, and both places are valid for writing.
    let failed = unsafe { launch_activate_socket(NAME.as_ptr(), &raw mut fds, &raw mut count) };
    match failed {
        0 if fds.is_null() => Ok(Vec::new()),
        0 => {
            // SAFETY: on success it points to `count` descriptors.
            let descriptors = unsafe { slice::from_raw_parts(fds, count) }.to_vec();
            // SAFETY: the caller frees what the call has allocated.
            unsafe { libc::free(fds.cast()) };
            Ok(descriptors)
        }
        // Not started by launchd, or without such a socket.
        libc::ESRCH | libc::ENOENT => Ok(Vec::new()),
        other => Err(io::Error::from_raw_os_error(other)),
    }
}

/// launchd hands over none but listening sockets under this key, unless `SockPassive` says otherwise;
/// one that does not listen takes no connection.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere the system is asked")]
pub(super) fn listens(_: &Socket) -> io::Result<bool> {
    Ok(true)
}
