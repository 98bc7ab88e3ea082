//! How the C library keeps this process's memory.

/// Has all threads share one heap. glibc gives each that ever asks one of its own, up to eight a core
/// (`mallopt(3)`), and what was freed in one is of no use in another: probes look in a dozen threads, and
/// the watcher at rest held 1.6 MiB more. Where there is no glibc nothing is to be done.
///
/// Before there are other threads.
pub(crate) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        set(libc::M_ARENA_MAX, 1);
    }
}

/// Has the heap keep up to two MiB of what was freed at its end, and grow by a quarter of one. By itself glibc gives
/// back all beyond an eighth, and a gate under load, whose need goes up and down by that, asked for it again two
/// hundred and fifty times a second, and the kernel for zeros: a twelfth of the gate's time.
///
/// Before there are other threads.
pub(crate) fn hold() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        set(libc::M_TRIM_THRESHOLD, 2 * 1024 * 1024);
        set(libc::M_TOP_PAD, 256 * 1024);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(option: libc::c_int, value: libc::c_int) {
    // SAFETY: mallopt takes two numbers and keeps no pointer. It is called before other threads begin, and
    // glibc locks what it changes all the same.
    let taken = unsafe { libc::mallopt(option, value) };
    if taken != 1 {
        tracing::debug!("the C library does not take option {option} of the heap");
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #[test]
    fn it_is_taken_and_memory_goes_on_being_had() {
        super::share();
        super::hold();
        let threads: Vec<_> =
            (0..8_u8).map(|value| std::thread::spawn(move || vec![value; 100_000])).collect();
        for (value, thread) in (0..).zip(threads) {
            assert!(thread.join().unwrap().iter().all(|it| *it == value));
        }
    }
}
