//! Disk quotas of users: quotactl_fd(2), which takes a directory instead of a device (Linux 5.14).

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// The unit of block limits in `struct dqblk`, bytes: `QIF_DQBLKSIZE` of linux/quota.h.
const BLOCK: u64 = 1024;

/// The least number of files that goes with a limit: a small one is still enough for a project with its packages.
const FILES: u64 = 1 << 16;

/// Bytes of a limit for each file that may be there: files without content take none, and a file system has only so many.
const BYTES_PER_FILE: u64 = 4096;

/// Sets the most bytes that files of `uid` may take on the file system of `dir`, and how many they may be; none means no limit. Rounded
/// down to whole KiB, but not to none.
///
/// # Errors
/// `Unsupported` when the file system keeps no quotas of users, or the kernel is older than 5.14; `PermissionDenied` without
/// `CAP_SYS_ADMIN`; `ReadOnlyFilesystem` when the mount we see is read-only.
pub fn set_user_quota(dir: &Path, uid: u32, limit: Option<u64>) -> io::Result<()> {
    let hard = limit.map_or(0, |bytes| (bytes / BLOCK).max(1));
    let files = limit.map_or(0, |bytes| (bytes / BYTES_PER_FILE).max(FILES));
    let mut block = libc::dqblk { dqb_bhardlimit: hard, dqb_ihardlimit: files, dqb_valid: libc::QIF_LIMITS, ..none() };
    control(dir, libc::Q_SETQUOTA, uid, &mut block)
}

/// The bytes that files of `uid` take on the file system of `dir`, and the most they may; 0 is no limit. None when the file system
/// keeps no quotas of users, or the kernel is older than 5.14.
///
/// # Errors
/// When `dir` cannot be opened, or `uid` is not ours and we lack `CAP_SYS_ADMIN`.
pub fn quota_used(dir: &Path, uid: u32) -> io::Result<Option<(u64, u64)>> {
    let mut block = none();
    match control(dir, libc::Q_GETQUOTA, uid, &mut block) {
        Ok(()) => Ok(Some((block.dqb_curspace, block.dqb_bhardlimit.saturating_mul(BLOCK)))),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(e) => Err(e),
    }
}

fn none() -> libc::dqblk {
    libc::dqblk {
        dqb_bhardlimit: 0,
        dqb_bsoftlimit: 0,
        dqb_curspace: 0,
        dqb_ihardlimit: 0,
        dqb_isoftlimit: 0,
        dqb_curinodes: 0,
        dqb_btime: 0,
        dqb_itime: 0,
        dqb_valid: 0,
    }
}

fn control(dir: &Path, command: libc::c_int, uid: u32, block: &mut libc::dqblk) -> io::Result<()> {
    let dir = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let command = libc::QCMD(command, libc::USRQUOTA);
    // SAFETY: the descriptor is open for the whole call, and both commands read or write one `struct dqblk` at the last argument, which
    // is a live, exclusive reference to exactly that.
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(libc::SYS_quotactl_fd, dir.as_raw_fd(), command, uid, std::ptr::from_mut(block)) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Quotas are off; the file system knows none, or the kernel does not; it knows some, but not of users (fs/quota/quota.c).
        Some(libc::ESRCH | libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        _ => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_quotas_says_so() {
        // procfs has none anywhere.
        assert_eq!(quota_used(Path::new("/proc"), 0).unwrap(), None);
        assert_eq!(set_user_quota(Path::new("/proc"), 0, Some(1)).unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert!(quota_used(Path::new("/no/such/directory"), 0).is_err());
    }
}
