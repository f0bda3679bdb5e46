//! Trees of files: given to a user, and copied. By descriptors, entry by entry: no path is put together, no link followed, nothing
//! opened that is not a directory or a plain file.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, fstat, fstatvfs, futimens,
    ioctl_ficlone, mkdirat, openat, readlinkat, seek, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

/// How many directories may lie in one another.
const MOST_DEEP: usize = 4000;

/// A copy leaves one part in so many of the disk free. What the machine has on which the unit tests run is not their question.
const SPARE: u64 = if cfg!(test) { u64::MAX } else { 20 };

/// The inode number of the empty directory that a snapshot has where there was a subvolume (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
const EMPTY_SUBVOLUME: u64 = 2;

/// What may be in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// What a tenant may have: anything but devices.
    Tenants,
    /// What everybody of a class gets: only what is root's, what nobody else can change, and nothing that runs with somebody's rights.
    Operators,
}

/// Opens a directory of `parent`, which is no link.
pub(super) fn open_dir(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

fn refuse(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn check(stat: &Stat, kind: FileType, rule: Rule) -> io::Result<()> {
    if matches!(kind, FileType::BlockDevice | FileType::CharacterDevice) {
        return Err(refuse("a device has no place in a home"));
    }
    if rule == Rule::Operators {
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(refuse("in a template everything has to be root's"));
        }
        if kind == FileType::RegularFile && stat.st_mode & 0o6000 != 0 {
            return Err(refuse("it is setuid or setgid"));
        }
        if kind != FileType::Symlink && stat.st_mode & 0o022 != 0 {
            return Err(refuse("in a template nothing may be writable by others than root"));
        }
    }
    Ok(())
}

/// The names from a tree's top down to what is at hand, for messages.
#[derive(Default)]
struct Trail(Vec<CString>);

impl Trail {
    fn at(&self, name: &CStr, error: &io::Error) -> io::Error {
        let names = self.0.iter().map(CString::as_c_str).chain([name]).map(CStr::to_string_lossy);
        // Of a path as long as a tenant likes, the beginning.
        let path: String = names.collect::<Vec<_>>().join("/").chars().take(300).collect();
        io::Error::new(error.kind(), format!("{path}: {error}"))
    }
}

/// Gives `top`, and all in it, to the user and group `uid`, as far as it is not theirs. Nobody else may be able to reach it meanwhile.
///
/// # Errors
/// When something is in it that `rule` does not allow, or it is too deep.
pub(super) fn give(top: BorrowedFd<'_>, uid: u32, rule: Rule) -> io::Result<()> {
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)));
    check(&fstat(top)?, FileType::Directory, rule)?;
    let mut trail = Trail::default();
    let mut levels = vec![Dir::read_from(top)?];
    while let Some(dir) = levels.last_mut() {
        let Some(entry) = dir.read() else {
            levels.pop();
            trail.0.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        let dir = dir.fd()?;
        let one = || {
            let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let hole = kind == FileType::Directory && stat.st_ino == EMPTY_SUBVOLUME;
            if hole {
                // It cannot be given away, or written to.
                unlinkat(dir, name, AtFlags::REMOVEDIR)?;
                mkdirat(dir, name, Mode::RWXU)?;
            } else {
                check(&stat, kind, rule)?;
            }
            if hole || (stat.st_uid, stat.st_gid) != (uid, uid) {
                chownat(dir, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            (kind == FileType::Directory && !hole).then(|| open_dir(dir, name)).transpose()
        };
        let inner = one().map_err(|e: io::Error| trail.at(name, &e))?;
        if let Some(inner) = inner {
            if levels.len() >= MOST_DEEP {
                return Err(trail.at(name, &refuse("too many directories in one another")));
            }
            trail.0.push(name.to_owned());
            levels.push(Dir::new(inner)?);
        }
    }
    fchown(top, user, group)?;
    Ok(())
}

/// Copies what is in the directory `from` into the empty directory `to`: directories, plain files, links, with modes (less `withheld`) and
/// times, as the files of whoever runs this. Shares blocks where the file system can. Sockets and pipes are left out.
///
/// # Errors
/// As [`give`]; when the disk would become too full.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, rule: Rule, withheld: u32) -> io::Result<()> {
    struct Level {
        from: Dir,
        to: OwnedFd,
        stat: Stat,
    }
    let stat = fstat(from)?;
    check(&stat, FileType::Directory, rule)?;
    let mut trail = Trail::default();
    let mut levels = vec![Level { from: Dir::read_from(from)?, to: to.try_clone_to_owned()?, stat }];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.from.read() else {
            // Last: what was put into it has changed its time.
            finish(level.to.as_fd(), &level.stat, withheld)?;
            levels.pop();
            trail.0.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        let (from, to) = (level.from.fd()?, level.to.as_fd());
        let one = || {
            let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            check(&stat, kind, rule)?;
            match kind {
                FileType::Directory => {
                    let inner = open_dir(from, name)?;
                    mkdirat(to, name, Mode::RWXU)?;
                    return Ok(Some(Level { from: Dir::new(inner)?, to: open_dir(to, name)?, stat }));
                }
                FileType::RegularFile => copy_file(from, to, name, withheld)?,
                FileType::Symlink => {
                    symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
                    utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
                }
                _ => {}
            }
            Ok(None)
        };
        if let Some(inner) = one().map_err(|e: io::Error| trail.at(name, &e))? {
            if levels.len() >= MOST_DEEP {
                return Err(trail.at(name, &refuse("too many directories in one another")));
            }
            trail.0.push(name.to_owned());
            levels.push(inner);
        }
    }
    Ok(())
}

/// Copies a plain file of the directory `from` into the directory `to`.
pub(super) fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, withheld: u32) -> io::Result<()> {
    // Without waiting for the other end of a pipe that somebody has put there a moment ago.
    let source = openat(from, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&source)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refuse("not a file any more"));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    match ioctl_ficlone(&target, &source) {
        Ok(()) => {}
        // Not on this file system, not between these two, or not for this file.
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS | Errno::PERM) => {
            let room = fstatvfs(&target)?;
            let taken = stat.st_blocks.unsigned_abs().saturating_mul(512) / room.f_frsize.max(1);
            if room.f_bavail.saturating_sub(taken) < room.f_blocks / SPARE {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "the copy would leave less than 5 % of the disk free"));
            }
            copy_bytes(File::from(source), &File::from(target.try_clone()?), stat.st_size.unsigned_abs())?;
        }
        Err(e) => return Err(e.into()),
    }
    finish(target.as_fd(), &stat, withheld)
}

/// What is there of the first `length` bytes: holes stay holes, or a file could grow to a size that no disk has.
fn copy_bytes(source: File, mut target: &File, length: u64) -> io::Result<()> {
    target.set_len(length)?;
    let mut at = 0;
    loop {
        let data = match seek(&source, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) if data < length => data,
            // Nothing but a hole is left.
            Ok(_) | Err(Errno::NXIO) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        at = seek(&source, rustix::fs::SeekFrom::Hole(data))?.min(length);
        (&source).seek(SeekFrom::Start(data))?;
        target.seek(SeekFrom::Start(data))?;
        io::copy(&mut io::Read::take(&source, at - data), &mut target)?;
    }
}

fn finish(target: BorrowedFd<'_>, stat: &Stat, withheld: u32) -> io::Result<()> {
    fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777 & !withheld))?;
    futimens(target, &times(stat))?;
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanoseconds).unwrap_or(0) };
    Timestamps { last_access: time(stat.st_atime, stat.st_atime_nsec), last_modification: time(stat.st_mtime, stat.st_mtime_nsec) }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
