//! State folders of a test's own, and the disks and users that tests need.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::paths::Paths;

/// A state folder that goes with the test.
pub(crate) struct Scratch {
    _folder: tempfile::TempDir,
    /// What is in it.
    pub(crate) paths: Paths,
}

impl Scratch {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Other users of the same test pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let paths = Paths { state: folder.path().join("state"), runtime: folder.path().join("state/run") };
        fs::create_dir(&paths.state).unwrap();
        fs::set_permissions(&paths.state, fs::Permissions::from_mode(0o755)).unwrap();
        Self { _folder: folder, paths }
    }

    /// The names in the state folder, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.paths.state).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

/// Says what is not tested here and why; in a lab where all must be tested it fails.
pub(crate) fn leave_out(why: &str) {
    assert_ne!(std::env::var("GUARDIAN_LAB").as_deref(), Ok("required"), "left out: {why}");
    eprintln!("left out: {why}");
}

/// Runs a test on a disk of 64 KiB, with something that fills it to the last byte.
pub(crate) fn on_a_full_disk(test: impl Fn(&Scratch, &dyn Fn()) + Send + Sync + 'static) {
    system::on_a_small_disk(move |scratch| {
        let full = scratch.paths.state.join("full");
        test(scratch, &|| {
            use std::io::Write as _;
            let mut file = fs::File::create(&full).unwrap();
            while file.write(&[0; 512]).is_ok_and(|written| written > 0) {}
        });
    });
}

/// Runs a test on a disk that nobody can write to.
pub(crate) fn on_a_read_only_disk(test: impl Fn(&Scratch) + Send + Sync + 'static) {
    system::on_a_small_disk(move |scratch| {
        system::make_read_only(&scratch.paths.state);
        test(scratch);
    });
}

/// Runs a test as root made it ready, and as a user who is not root.
pub(crate) fn as_nobody(prepare: impl Fn(&Scratch), test: impl Fn(&Scratch) + Send + Sync + 'static) {
    system::as_nobody(prepare, test);
}

#[cfg(target_os = "linux")]
mod system {
    use std::path::Path;
    use std::thread;

    use nix::mount::{MsFlags, mount, umount};
    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::Uid;

    use super::{Scratch, leave_out};

    /// A tmpfs in a mount namespace that only this thread has; it goes with the thread.
    pub(super) fn on_a_small_disk(test: impl Fn(&Scratch) + Send + Sync + 'static) {
        if !Uid::effective().is_root() {
            return leave_out("only root can mount a small disk");
        }
        let body = move || {
            let scratch = Scratch::new();
            let none = None::<&str>;
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(none, &scratch.paths.state, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=755"))
                .unwrap();
            test(&scratch);
            umount(&scratch.paths.state).unwrap();
        };
        thread::spawn(body).join().unwrap();
    }

    pub(super) fn make_read_only(folder: &Path) {
        let none = None::<&str>;
        mount(none, folder, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).unwrap();
    }

    pub(super) fn as_nobody(prepare: impl Fn(&Scratch), test: impl Fn(&Scratch) + Send + Sync + 'static) {
        const NOBODY: libc::c_long = 65534;
        if !Uid::effective().is_root() {
            return leave_out("only root can become another user");
        }
        let scratch = Scratch::new();
        prepare(&scratch);
        let body = move || {
            // SAFETY: the system call takes numbers alone. Unlike the function of the C library it
            // changes this thread and no other, and the thread ends with the test.
            let done = unsafe { libc::syscall(libc::SYS_setresuid, -1, NOBODY, -1) };
            assert_eq!(done, 0);
            test(&scratch);
            scratch
        };
        // Handed back, so that root takes the folder away.
        drop(thread::spawn(body).join().unwrap());
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    use super::{Scratch, leave_out};

    pub(super) fn on_a_small_disk(_: impl Fn(&Scratch) + Send + Sync + 'static) {
        leave_out("needs a mount namespace");
    }

    pub(super) fn make_read_only(_: &Path) {}

    pub(super) fn as_nobody(_: impl Fn(&Scratch), _: impl Fn(&Scratch) + Send + Sync + 'static) {
        leave_out("needs a user for one thread alone");
    }
}
