//! Disk quotas of users: quotactl_fd(2), which takes a directory instead of a device (Linux 5.14).

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// The unit of block limits in `struct dqblk`, bytes: `QIF_DQBLKSIZE` of linux/quota.h.
const BLOCK: u64 = 1024;

/// What a file that is not empty takes at least.
const SMALLEST: u64 = 4096;

/// As many files as anybody may have: an editor with a few extensions, whatever the limit.
const FEWEST: u64 = 20_000;

/// Sets the most bytes that files of `uid` may take on the file system of `dir`; none means no limit. Rounded down to whole KiB, but
/// not to none. With it goes a limit on the number of files, which what holds something does not come to: empty ones take no bytes, and
/// use up the file system all the same.
///
/// # Errors
/// `Unsupported` when the file system keeps no quotas of users, or the kernel is older than 5.14; `PermissionDenied` without
/// `CAP_SYS_ADMIN`; `ReadOnlyFilesystem` when the mount we see is read-only.
pub fn set_user_quota(dir: &Path, uid: u32, limit: Option<u64>) -> io::Result<()> {
    let hard = limit.map_or(0, |bytes| (bytes / BLOCK).max(1));
    let mut block = libc::dqblk { dqb_bhardlimit: hard, dqb_ihardlimit: files(limit), dqb_valid: libc::QIF_LIMITS, ..none() };
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

/// The most files for a limit in bytes; 0 is no limit.
fn files(limit: Option<u64>) -> u64 {
    limit.map_or(0, |bytes| (bytes / SMALLEST).max(FEWEST))
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
    fn files_are_counted_too() {
        assert_eq!(files(None), 0);
        assert_eq!(files(Some(1)), FEWEST);
        assert_eq!(files(Some(5 << 30)), 1_310_720);
    }

    #[test]
    fn a_file_system_without_quotas_says_so() {
        // procfs has none anywhere.
        assert_eq!(quota_used(Path::new("/proc"), 0).unwrap(), None);
        assert_eq!(set_user_quota(Path::new("/proc"), 0, Some(1)).unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert!(quota_used(Path::new("/no/such/directory"), 0).is_err());
    }
}
