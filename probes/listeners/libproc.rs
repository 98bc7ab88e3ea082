//! What macOS tells of processes and their descriptors: libproc(3), and one sysctl(3).
//!
//! The functions return 0 where they fail, and the error is in `errno`.

use std::ffi::CStr;
use std::io;

use super::fields::u32_at;
use super::socket_fdinfo;

/// A list that grows between being measured and being read is asked for again, this often.
const ATTEMPTS: u32 = 5;

/// More processes, or descriptors of one, than a Mac has: 64 MiB.
const LIMIT: usize = 64 << 20;

/// `PROC_PIDFDSOCKETINFO`, which libc does not name.
const PROC_PIDFDSOCKETINFO: libc::c_int = 3;

/// All processes, whoever runs them.
pub(crate) fn process_ids() -> io::Result<Vec<u32>> {
    /// `PROC_ALL_PIDS`.
    const ALL: u32 = 1;
    let bytes = grown(|buffer, length| {
        // SAFETY: `buffer` points to `length` writable bytes, of which the call writes a part.
        unsafe { libc::proc_listpids(ALL, 0, buffer.cast(), length) }
    })?;
    let mut pids: Vec<u32> = (0..bytes.len() / 4).filter_map(|nth| u32_at(&bytes, nth * 4)).collect();
    // The kernel pads the list with zeroes.
    pids.retain(|pid| *pid != 0);
    pids.sort_unstable();
    Ok(pids)
}

/// The descriptors of a process that are sockets.
pub(crate) fn sockets(pid: u32) -> io::Result<Vec<i32>> {
    /// Bytes of `struct proc_fdinfo`: the descriptor, and its type.
    const ENTRY: usize = 8;
    let Ok(pid) = libc::c_int::try_from(pid) else { return Err(io::ErrorKind::NotFound.into()) };
    let bytes = grown(|buffer, length| {
        // SAFETY: `buffer` points to `length` writable bytes, of which the call writes a part.
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, buffer.cast(), length) }
    })?;
    let entry = |nth: usize| {
        let kind = u32_at(&bytes, nth * ENTRY + 4)?;
        let fd = u32_at(&bytes, nth * ENTRY)?;
        (kind == libc::PROX_FDTYPE_SOCKET as u32).then_some(fd.cast_signed())
    };
    Ok((0..bytes.len() / ENTRY).filter_map(entry).collect())
}

/// `struct socket_fdinfo` of a descriptor.
pub(crate) fn socket_info(pid: u32, fd: i32) -> io::Result<[u8; socket_fdinfo::SIZE]> {
    let Ok(pid) = libc::c_int::try_from(pid) else { return Err(io::ErrorKind::NotFound.into()) };
    let mut bytes = [0_u8; socket_fdinfo::SIZE];
    let size = libc::c_int::try_from(bytes.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `bytes` has `size` writable bytes, and the call writes no more.
    let written =
        unsafe { libc::proc_pidfdinfo(pid, fd, PROC_PIDFDSOCKETINFO, bytes.as_mut_ptr().cast(), size) };
    if written == size { Ok(bytes) } else { Err(failure(written)) }
}

/// The value of a sysctl that is a list.
pub(crate) fn sysctl(name: &CStr) -> io::Result<Vec<u8>> {
    for _ in 0..ATTEMPTS {
        let mut length = 0;
        // SAFETY: without a buffer the call only writes the length.
        let measured = unsafe {
            libc::sysctlbyname(name.as_ptr(), std::ptr::null_mut(), &raw mut length, std::ptr::null_mut(), 0)
        };
        if measured != 0 {
            return Err(io::Error::last_os_error());
        }
        if length > LIMIT {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut bytes = vec![0_u8; length];
        // SAFETY: `bytes` has `length` writable bytes, and the call writes no more.
        let read = unsafe {
            libc::sysctlbyname(
                name.as_ptr(),
                bytes.as_mut_ptr().cast(),
                &raw mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        if read == 0 {
            bytes.truncate(length);
            return Ok(bytes);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ENOMEM) {
            return Err(error);
        }
    }
    Err(io::ErrorKind::OutOfMemory.into())
}

/// A list that fits its buffer: one that fills it may have been cut.
fn grown(call: impl Fn(*mut u8, libc::c_int) -> libc::c_int) -> io::Result<Vec<u8>> {
    let needed = call(std::ptr::null_mut(), 0);
    let mut room =
        usize::try_from(needed).ok().filter(|needed| *needed > 0).ok_or_else(|| failure(needed))?;
    for _ in 0..ATTEMPTS {
        // Room for what comes in between.
        room += room / 4 + 256;
        if room > LIMIT {
            break;
        }
        let mut bytes = vec![0_u8; room];
        let length = libc::c_int::try_from(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let written = call(bytes.as_mut_ptr(), length);
        let Some(filled) = usize::try_from(written).ok().filter(|filled| *filled > 0) else {
            return Err(failure(written));
        };
        if filled < room {
            bytes.truncate(filled);
            return Ok(bytes);
        }
    }
    Err(io::ErrorKind::OutOfMemory.into())
}

/// What a call that returned this has failed of. Nothing written and no error is a process that has
/// ended, or a descriptor that has been closed.
fn failure(written: libc::c_int) -> io::Error {
    let error = io::Error::last_os_error();
    if written > 0 || error.raw_os_error() == Some(0) { io::ErrorKind::NotFound.into() } else { error }
}

/// The process or the descriptor has gone in the meantime.
pub(crate) fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EBADF | libc::ENOTCONN | libc::EINVAL))
}
