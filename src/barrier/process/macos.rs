//! Processes of macOS: libproc(3) to see them, and a signal by audit token, which the kernel
//! delivers only to the program that was looked at.

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;

use super::table::{Entry, Table};
use super::{Look, Plea, Sent};

/// `PROC_ALL_PIDS`.
const ALL: u32 = 1;

/// `PROC_PIDUNIQIDENTIFIERINFO`, which libc does not name.
const UNIQUE: c_int = 17;

/// `SZOMB` of `<sys/proc.h>`.
const ZOMBIE: u32 = 5;

/// More processes than a Mac has.
const PROCESSES: usize = 262_144;

/// A program that is replaced by exec(2) just then is looked at again, this often.
const ATTEMPTS: u32 = 3;

/// `struct proc_uniqidentifierinfo` of xnu's `proc_info_private.h`, said there to be API.
#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueInfo {
    _uuid: [u8; 16],
    unique: u64,
    _parent_unique: u64,
    version: i32,
    _original_parent_version: i32,
    _reserved: [u64; 2],
}

const _: () = assert!(size_of::<UniqueInfo>() == 56);

/// `audit_token_t` of `<mach/message.h>`: the sixth word is the pid, the eighth its version.
type AuditToken = [u32; 8];

/// Start times are kept as they were: setting the clock does not move them.
pub(super) fn note_boot() {}

/// All processes that may be looked at.
pub(super) fn walk() -> Table {
    let mut pids = vec![0_i32; PROCESSES];
    let Ok(size) = c_int::try_from(size_of_val(pids.as_slice())) else { return Table::default() };
    // SAFETY: the kernel writes at most `size` bytes to a buffer of that size.
    let written = unsafe { libc::proc_listpids(ALL, 0, pids.as_mut_ptr().cast::<c_void>(), size) };
    pids.truncate(usize::try_from(written).unwrap_or(0) / size_of::<i32>());
    pids.into_iter()
        .filter_map(|pid| u32::try_from(pid).ok().filter(|pid| *pid > 0))
        .filter_map(|pid| match look(pid) {
            Look::There(entry) => Some(entry),
            Look::Gone | Look::Unknown(_) => None,
        })
        .collect()
}

/// Who has this number now.
pub(super) fn look(pid: u32) -> Look {
    let info: libc::proc_bsdinfo = match info(pid, libc::PROC_PIDTBSDINFO) {
        Ok(Some(info)) => info,
        Ok(None) => return Look::Gone,
        Err(failure) => return Look::Unknown(failure),
    };
    let name: Vec<u8> = info.pbi_comm.iter().map(|byte| byte.cast_unsigned()).chain([0]).collect();
    Look::There(Entry {
        pid,
        parent: info.pbi_ppid,
        birth: info.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(info.pbi_start_tvusec),
        started: info.pbi_start_tvsec,
        started_at_first: info.pbi_start_tvsec,
        uid: Some(info.pbi_uid),
        alive: info.pbi_status != ZOMBIE,
        kernel: false,
        name: CStr::from_bytes_until_nul(&name)
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
    })
}

/// A look has told it already.
pub(super) fn real_user(_: u32) -> Option<u32> {
    None
}

/// Signals the process that has this number and was born then; no other one.
pub(super) fn signal(pid: u32, birth: u64, plea: Plea) -> io::Result<Sent> {
    let signal = match plea {
        Plea::End => libc::SIGTERM,
        Plea::Kill => libc::SIGKILL,
    };
    for _ in 0..ATTEMPTS {
        let Some(pinned) = info::<UniqueInfo>(pid, UNIQUE)? else { return Ok(Sent::Gone) };
        match look(pid) {
            Look::There(entry) if entry.alive && entry.birth == birth => {}
            Look::There(_) | Look::Gone => return Ok(Sent::Gone),
            Look::Unknown(failure) => return Err(failure),
        }
        // Both looks were at one process, for a unique number is not given again before a reboot.
        match info::<UniqueInfo>(pid, UNIQUE)? {
            Some(again) if again.unique == pinned.unique => match send(pid, again.version, signal) {
                Ok(()) => return Ok(Sent::Yes),
                Err(failure) if failure.raw_os_error() == Some(libc::ESRCH) => {}
                Err(failure) => return Err(failure),
            },
            _ => return Ok(Sent::Gone),
        }
    }
    match look(pid) {
        Look::There(entry) if entry.alive && entry.birth == birth => Err(io::ErrorKind::Interrupted.into()),
        Look::Unknown(failure) => Err(failure),
        Look::There(_) | Look::Gone => Ok(Sent::Gone),
    }
}

/// By audit token where the system has the call (macOS 14.2 and later), else by number.
fn send(pid: u32, version: i32, signal: c_int) -> io::Result<()> {
    type Send = unsafe extern "C" fn(*const AuditToken, c_int) -> c_int;
    // SAFETY: the name ends with a zero, and looking for a symbol changes nothing.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"proc_signal_with_audittoken".as_ptr()) };
    if found.is_null() {
        let pid = c_int::try_from(pid).map_err(|_| io::ErrorKind::NotFound)?;
        // SAFETY: kill takes two numbers.
        return if unsafe { libc::kill(pid, signal) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        };
    }
    // SAFETY: libproc.h declares the symbol with this type, and it is there for the program's life.
    let call = unsafe { std::mem::transmute::<*mut c_void, Send>(found) };
    let token: AuditToken = [0, 0, 0, 0, 0, pid, 0, version.cast_unsigned()];
    // SAFETY: the token is readable for the length of the call.
    match unsafe { call(&raw const token, signal) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// What the kernel tells of a process in one of its fixed structures; none if there is no process.
fn info<T: Copy>(pid: u32, flavor: c_int) -> io::Result<Option<T>> {
    let pid = c_int::try_from(pid).map_err(|_| io::ErrorKind::NotFound)?;
    let size = c_int::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut info = MaybeUninit::<T>::zeroed();
    // SAFETY: the kernel writes at most `size` bytes to a buffer of that size.
    let written = unsafe { libc::proc_pidinfo(pid, flavor, 0, info.as_mut_ptr().cast::<c_void>(), size) };
    if written == size {
        // SAFETY: the kernel has filled it whole, and both structures are made of numbers.
        return Ok(Some(unsafe { info.assume_init() }));
    }
    let failure = io::Error::last_os_error();
    if failure.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(failure) }
}
