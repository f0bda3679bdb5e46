use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;

fn dir(path: &Path) -> File {
    File::open(path).unwrap()
}

fn copied(from: &Path, to: &Path, rule: Rule, withheld: u32) -> io::Result<()> {
    fs::create_dir(to).unwrap();
    copy(dir(from).as_fd(), dir(to).as_fd(), rule, withheld)
}

#[test]
fn a_copy_is_the_same_and_nothing_outside_is_touched() {
    let top = tempfile::tempdir().unwrap();
    let (from, to, outside) = (top.path().join("from"), top.path().join("to"), top.path().join("outside"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::write(&outside, "outside").unwrap();
    fs::write(from.join("a/b/file"), "text").unwrap();
    fs::set_permissions(from.join("a/b/file"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink(&outside, from.join("a/link")).unwrap();
    symlink("..", from.join("a/up")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.join("a/socket")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    dir(&from.join("a/b/file")).set_modified(old).unwrap();
    dir(&from.join("a")).set_modified(old).unwrap();
    copied(&from, &to, Rule::Tenants, 0).unwrap();

    let meta = fs::metadata(to.join("a/b/file")).unwrap();
    assert_eq!((fs::read_to_string(to.join("a/b/file")).unwrap().as_str(), meta.mode() & 0o7777), ("text", 0o750));
    assert_eq!((meta.modified().unwrap(), fs::metadata(to.join("a")).unwrap().modified().unwrap()), (old, old));
    assert_eq!((fs::read_link(to.join("a/link")).unwrap(), fs::read_link(to.join("a/up")).unwrap()), (outside, "..".into()));
    assert!(!to.join("a/socket").exists());
    // Given to whom it belongs already: nothing changes, and links are not followed.
    let own = rustix::process::geteuid().as_raw();
    if rustix::process::getegid().as_raw() == own {
        give(dir(&to).as_fd(), own, Rule::Tenants).unwrap();
    }
}

#[test]
fn holes_stay_holes() {
    let top = tempfile::tempdir().unwrap();
    let (from, to) = (top.path().join("from"), top.path().join("to"));
    let (source, target) = (File::create(&from).unwrap(), File::create(&to).unwrap());
    let size = 1 << 40;
    if source.set_len(size).is_err() {
        return; // the file system has no files as large as that
    }
    source.write_all_at(b"begin", 0).unwrap();
    source.write_all_at(b"end", size - 3).unwrap();
    copy_bytes(File::open(&from).unwrap(), &target, size).unwrap();
    let meta = fs::metadata(&to).unwrap();
    assert!(meta.len() == size && meta.blocks() < 1024, "{} blocks", meta.blocks());
    let mut end = [0; 5];
    File::open(&to).unwrap().read_exact_at(&mut end, size - 5).unwrap();
    assert_eq!(&end, b"\0\0end");
}

#[test]
fn templates_hold_nothing_that_somebody_else_could_have_put_there() {
    let top = tempfile::tempdir().unwrap();
    let from = top.path().join("from");
    fs::create_dir_all(from.join("d")).unwrap();
    let file = from.join("d/file");
    fs::write(&file, "").unwrap();
    let mut number = 0;
    let mut attempt = |rule, withheld| {
        number += 1;
        copied(&from, &top.path().join(number.to_string()), rule, withheld).map_err(|e| e.to_string())
    };
    for (path, mode) in [(&from, 0o755), (&from.join("d"), 0o755), (&file, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    attempt(Rule::Operators, 0).unwrap();
    for (mode, said) in [(0o666, "writable"), (0o620, "writable"), (0o4755, "setuid"), (0o2755, "setuid")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let error = attempt(Rule::Operators, 0).unwrap_err();
        assert!(error.starts_with("d/file: ") && error.contains(said), "{error}");
        attempt(Rule::Tenants, 0o6022).unwrap();
    }
    let made = fs::metadata(top.path().join(format!("{number}/d/file"))).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o755);
}

#[test]
fn deep_trees_are_refused_rather_than_followed_for_ever() {
    let top = tempfile::tempdir().unwrap();
    let (from, to) = (top.path().join("from"), top.path().join("to"));
    fs::create_dir(&from).unwrap();
    let mut at = OwnedFd::from(dir(&from));
    for _ in 0..MOST_DEEP + 10 {
        mkdirat(&at, c"d", Mode::RWXU).unwrap();
        at = open_dir(at.as_fd(), c"d").unwrap();
    }
    drop(at);
    // A tree as deep as this takes as many descriptors.
    let result = copied(&from, &to, Rule::Tenants, 0);
    assert!(result.is_err());
    super::super::super::wipe::empty(&from).unwrap();
    super::super::super::wipe::empty(&to).unwrap();
}
