//! What the macOS kernel tells anyone about any process (xnu `proc_info.c`: no check of the caller).

use std::ffi::{CStr, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// `PROC_PIDT_SHORTBSDINFO`.
pub(super) struct ShortInfo {
    pub(super) parent: u32,
    pub(super) uid: u32,
    pub(super) name: String,
}

/// Parent, effective user and short name; none if the process has vanished.
pub(super) fn short_info(pid: u32) -> Option<ShortInfo> {
    let pid = c_int::try_from(pid).ok()?;
    let mut info = std::mem::MaybeUninit::<libc::proc_bsdshortinfo>::zeroed();
    let size = c_int::try_from(size_of::<libc::proc_bsdshortinfo>()).ok()?;
    // SAFETY: the kernel writes at most `size` bytes to a buffer of that size.
    let written = unsafe {
        libc::proc_pidinfo(pid, libc::PROC_PIDT_SHORTBSDINFO, 0, info.as_mut_ptr().cast::<c_void>(), size)
    };
    if written != size {
        return None;
    }
    // SAFETY: the buffer was zeroed and the kernel has filled it whole; any bytes are a valid value.
    let info = unsafe { info.assume_init() };
    Some(ShortInfo { parent: info.pbsi_ppid, uid: info.pbsi_uid, name: text(&info.pbsi_comm) })
}

/// The file that the process runs, by the kernel's own reckoning.
pub(super) fn executable(pid: u32) -> Option<PathBuf> {
    let pid = c_int::try_from(pid).ok()?;
    let mut path = vec![0u8; usize::try_from(libc::PROC_PIDPATHINFO_MAXSIZE).ok()?];
    let size = u32::try_from(path.len()).ok()?;
    // SAFETY: the kernel writes at most `size` bytes to a buffer of that size.
    let written = unsafe { libc::proc_pidpath(pid, path.as_mut_ptr().cast::<c_void>(), size) };
    path.truncate(usize::try_from(written).ok().filter(|written| *written > 0)?);
    Some(OsString::from_vec(path).into())
}

/// A name in a fixed field, which ends at the first zero if it has one.
fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|byte| byte.cast_unsigned()).chain([0]).collect();
    CStr::from_bytes_until_nul(&bytes).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
