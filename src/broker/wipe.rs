//! `hoody-code-broker wipe`: empties a home. It runs as the tenant whose home it is, bound to [`DIR`], so that nothing a tenant
//! has put there can make it delete anything else, and so that no process of ours needs the right to delete other users' files.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

/// Where the home is seen by this program.
pub(super) const DIR: &str = "/home/user";

/// Empties the home; `arguments` are none.
pub fn run(arguments: &[OsString]) -> ExitCode {
    if !arguments.is_empty() || rustix::process::geteuid().is_root() {
        eprintln!("hoody-code-broker wipe: runs in a unit of its own, as the user whose home is emptied");
        return ExitCode::FAILURE;
    }
    match empty(Path::new(DIR)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Deletes everything in `dir`, also what its owner has locked himself out of, and however deep it is: what is in a directory there is
/// moved up first, so that no path is long, no descriptor is kept, and nothing is walked recursively.
pub(super) fn empty(dir: &Path) -> io::Result<()> {
    unlock(dir);
    let mut moved = 0;
    loop {
        let (mut progress, mut result) = (false, Ok(()));
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if let Err(e) = delete(dir, &entry, &mut moved, &mut progress) {
                result = Err(io::Error::new(e.kind(), format!("{}: {e}", entry.path().display())));
            }
        }
        // What was moved up while the directory was read may not have been seen.
        if !progress {
            return result;
        }
    }
}

/// Deletes one entry of `top`, whose own directories end up in `top`.
fn delete(top: &Path, entry: &DirEntry, moved: &mut u64, progress: &mut bool) -> io::Result<()> {
    let path = entry.path();
    // The kind of the entry itself: links are not followed.
    if !entry.file_type()?.is_dir() {
        return fs::remove_file(&path).inspect(|()| *progress = true);
    }
    if fs::remove_dir(&path).is_ok() {
        *progress = true;
        return Ok(());
    }
    unlock(&path);
    let mut result = Ok(());
    for child in fs::read_dir(&path)? {
        let child = child?;
        let from = child.path();
        let done = if child.file_type()?.is_dir() { raise(top, &from, moved) } else { fs::remove_file(&from) };
        match done {
            Ok(()) => *progress = true,
            Err(e) => result = Err(e),
        }
    }
    result.and_then(|()| fs::remove_dir(&path)).inspect(|()| *progress = true)
}

/// Deletes the directory `from` when it is empty, moves it into `top` when it is not.
fn raise(top: &Path, from: &Path, moved: &mut u64) -> io::Result<()> {
    if fs::remove_dir(from).is_ok() {
        return Ok(());
    }
    // Its entry ".." changes.
    unlock(from);
    loop {
        let to = top.join(format!(".wiped-{moved}"));
        *moved += 1;
        if to.symlink_metadata().is_err() {
            return fs::rename(from, to);
        }
    }
}

/// Where that does not work, what comes next says so.
fn unlock(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn everything_goes_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let (home, outside) = (dir.path().join("home"), dir.path().join("outside"));
        fs::create_dir_all(home.join("a/b/c")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        fs::write(home.join("a/b/c/file"), "").unwrap();
        fs::write(home.join(".wiped-0"), "").unwrap();
        symlink(&outside, home.join("a/b/link")).unwrap();
        symlink(&outside, home.join("link")).unwrap();
        fs::set_permissions(home.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o000)).unwrap();
        empty(&home).unwrap();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn what_is_deeper_than_a_path_may_be_long_goes_too() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        // From the inside out, because no path reaches that far.
        let name = "n".repeat(200);
        for _ in 0..100 {
            let around = dir.path().join("around");
            fs::create_dir(&around).unwrap();
            if home.exists() {
                fs::rename(&home, around.join(&name)).unwrap();
            }
            fs::rename(&around, &home).unwrap();
            fs::write(home.join("file"), "").unwrap();
        }
        empty(&home).unwrap();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    }
}
