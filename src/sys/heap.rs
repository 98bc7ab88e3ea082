//! How the C library keeps this process's memory.

/// Has all threads share one heap. glibc gives each that ever asks one of its own, up to eight a core
/// (`mallopt(3)`), and what was freed in one is of no use in another: probes look in a dozen threads, and
/// the watcher at rest held 1.6 MiB more. Where there is no glibc nothing is to be done.
///
/// Before there are other threads.
pub(crate) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two numbers and keeps no pointer. It is called before other threads begin, and
        // glibc locks what it changes all the same.
        let taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        if taken != 1 {
            tracing::debug!("the C library keeps a heap for each thread");
        }
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #[test]
    fn it_is_taken_and_memory_goes_on_being_had() {
        super::share();
        let threads: Vec<_> =
            (0..8_u8).map(|value| std::thread::spawn(move || vec![value; 100_000])).collect();
        for (value, thread) in (0..).zip(threads) {
            assert!(thread.join().unwrap().iter().all(|it| *it == value));
        }
    }
}
