//! One owner at a time per directory.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// An exclusive lock on a directory, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock(#[allow(dead_code, reason = "held for its drop")] File);

impl DirLock {
    /// Takes the lock file `.lock` in `dir`.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it; else what the file system says.
    pub fn try_take(dir: &Path) -> io::Result<Self> {
        let file = open(dir)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self(file))
    }

    /// The same, but waits for another holder; `waiting` is called before that. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn take(dir: &Path, waiting: impl FnOnce()) -> io::Result<Self> {
        match Self::try_take(dir) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => waiting(),
            taken => return taken,
        }
        let file = open(dir)?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        Ok(Self(file))
    }
}

fn open(dir: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(dir.join(".lock"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::try_take(dir.path()).unwrap();
        assert_eq!(DirLock::try_take(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert!(crate::sys::comes_true(|| DirLock::try_take(dir.path()).is_ok()));
    }
}
