use std::os::unix::fs::symlink;

use super::*;

fn read(path: &Path) -> Result<Content, Unread> {
    View::own().unwrap().read(path, 100, Links::Follow)
}

#[test]
fn a_regular_file_is_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x".repeat(100)).unwrap();
    assert_eq!(read(&file).unwrap().bytes.len(), 100);
    std::fs::write(&file, "x".repeat(101)).unwrap();
    assert!(matches!(read(&file), Err(Unread::TooLarge(100))));
    assert!(matches!(read(&folder.path().join("none")), Err(Unread::Absent)));
    assert!(matches!(read(&file.join("below")), Err(Unread::Absent)));
}

#[test]
fn devices_pipes_and_folders_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [Path::new("/dev/zero"), &pipe, folder.path()] {
        assert!(matches!(read(path), Err(Unread::NotAFile)), "{}", path.display());
    }
}

#[test]
fn links_are_followed_only_where_a_person_may_have_made_them() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "x").unwrap();
    symlink(&file, &link).unwrap();
    let view = View::own().unwrap();
    assert_eq!(view.read(&link, 9, Links::Follow).unwrap().bytes, b"x");
    assert!(view.read(&link, 9, Links::Refuse).is_err());
    assert!(view.metadata(&link).unwrap().is_symlink());
    symlink(folder.path(), folder.path().join("folder")).unwrap();
    let names = |path: &Path, links| view.names(path, 9, links);
    assert!(names(&folder.path().join("folder"), Links::Refuse).is_err());
    assert!(names(&folder.path().join("folder"), Links::Follow).is_ok());
    assert_eq!(names(folder.path(), Links::Refuse).unwrap(), ["file", "folder", "link"]);
}

#[test]
fn a_file_that_changes_has_another_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let view = View::own().unwrap();
    assert_eq!(view.stamp(&file), None);
    std::fs::write(&file, "one").unwrap();
    let first = view.stamp(&file).unwrap();
    assert_eq!(view.stamp(&file), Some(first));
    // The same size at the same time of modification: only the kernel's own time tells.
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&file, "two").unwrap();
    File::options().append(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_ne!(view.stamp(&file), Some(first));
}

/// A process with a file system of its own: the same path is another file there, and a link in
/// it leads to where that process would get.
#[cfg(target_os = "linux")]
#[test]
fn a_process_with_mounts_of_its_own_is_read_as_it_sees_itself() {
    use std::process::{Command, Stdio};
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: a mount namespace needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "outside").unwrap();
    let script = "mount -t tmpfs none \"$1\" && printf inside > \"$1/file\" \
        && ln -s \"$1/file\" \"$1/link\" && touch \"$1/ready\" && exec sleep 60";
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    let view = loop {
        let view = View::of(child.id()).unwrap();
        if view.metadata(&folder.path().join("ready")).is_ok() {
            break Some(view);
        }
        if started.elapsed().as_secs() > 10 {
            break None;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let inside = view.map(|view| {
        ["file", "link"].map(|name| view.read(&folder.path().join(name), 99, Links::Follow).unwrap().bytes)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(inside, Some([b"inside".to_vec(), b"inside".to_vec()]));
    assert_eq!(read(&file).unwrap().bytes, b"outside");
}

#[test]
fn the_view_of_a_process_that_hides_is_the_own_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for pid in [std::process::id(), u32::MAX] {
        let view = View::of(pid).unwrap();
        assert_eq!(view.read(&file, 9, Links::Follow).unwrap().bytes, b"x");
    }
}
