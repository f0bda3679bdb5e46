//! Subvolumes of btrfs: the requests of linux/btrfs.h that are needed, and no more. What they mean is in btrfs-subvolume(8) and
//! Documentation/filesystems/btrfs of btrfs-progs.

mod quota;
mod search;

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{fstat, fstatfs};

pub use quota::{GroupUse, Quotas, WAYS_OUT_OF_A_GROUP, enable_simple_quotas, group_use, limit_group, quotas};
pub use search::nested_subvolumes;

/// `BTRFS_SUPER_MAGIC` (linux/magic.h).
const MAGIC: u32 = 0x9123_683e;

/// `BTRFS_FIRST_FREE_OBJECTID`: the inode number of every subvolume's own directory.
const FIRST: u64 = 256;

/// `BTRFS_SUBVOL_RDONLY` and `BTRFS_SUBVOL_SPEC_BY_ID`.
const READ_ONLY: u64 = 1 << 1;
const BY_ID: u64 = 1 << 4;

/// `_IOW`, `_IOR` and `_IOWR` of asm-generic/ioctl.h, with `BTRFS_IOCTL_MAGIC`.
const fn request<T>(direction: u32, number: u32) -> u32 {
    direction << 30 | (size_of::<T>() as u32) << 16 | 0x94 << 8 | number
}

const WRITE: u32 = 1;
const READ: u32 = 2;

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolumeArguments {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    /// A name with its NUL, or the eight bytes of an id.
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct LookupArguments {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// One request.
///
/// # Safety
/// `number` has to be one that takes a pointer to a `T`, and writes nowhere else.
#[allow(unsafe_code)]
unsafe fn control<T>(fd: BorrowedFd<'_>, number: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call; the caller vouches for the rest.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::Ioctl::from(number), std::ptr::from_mut(argument)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn volume(name: &OsStr, fd: i64, flags: u64) -> io::Result<VolumeArguments> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > 255 || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let mut arguments = VolumeArguments { fd, transid: 0, flags, unused: [0; 4], name: [0; 4040] };
    arguments.name[..bytes.len()].copy_from_slice(bytes);
    Ok(arguments)
}

/// Whether `fd` is of a btrfs.
pub fn is_btrfs(fd: impl AsFd) -> bool {
    // The type's width and sign are the architecture's own.
    fstatfs(fd).is_ok_and(|stat| stat.f_type as u32 == MAGIC)
}

/// Whether the directory `fd` is a subvolume.
pub fn is_subvolume(fd: impl AsFd) -> bool {
    fstat(&fd).is_ok_and(|stat| stat.st_ino == FIRST) && is_btrfs(fd)
}

/// Makes an empty subvolume in the directory `parent`; as mkdir(2) with mode 0777 less the umask.
///
/// # Errors
/// As mkdir(2), and when `parent` is of no btrfs.
pub fn create_subvolume(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let mut arguments = volume(name, 0, 0)?;
    // SAFETY: BTRFS_IOC_SUBVOL_CREATE_V2 reads one `struct btrfs_ioctl_vol_args_v2`.
    #[allow(unsafe_code)]
    unsafe {
        control(parent, request::<VolumeArguments>(WRITE, 24), &mut arguments)
    }
}

/// Makes a snapshot of the subvolume `source` in the directory `parent`. What is in subvolumes within it does not come along: empty
/// directories are in their places, with the inode number 2.
///
/// # Errors
/// `CrossesDevices` when they are not of one file system; `PermissionDenied` when `source` is somebody else's and we may not override that.
pub fn snapshot_subvolume(source: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &OsStr, read_only: bool) -> io::Result<()> {
    let mut arguments = volume(name, source.as_raw_fd().into(), if read_only { READ_ONLY } else { 0 })?;
    // SAFETY: BTRFS_IOC_SNAP_CREATE_V2 reads one `struct btrfs_ioctl_vol_args_v2`, whose `fd` is open for the whole call.
    #[allow(unsafe_code)]
    unsafe {
        control(parent, request::<VolumeArguments>(WRITE, 23), &mut arguments)
    }
}

/// Makes a subvolume one that nobody can write to, or one that can be written to again.
///
/// # Errors
/// When it is no subvolume, or not ours.
pub fn seal_subvolume(subvolume: BorrowedFd<'_>, sealed: bool) -> io::Result<()> {
    let mut flags = if sealed { READ_ONLY } else { 0 };
    // SAFETY: BTRFS_IOC_SUBVOL_SETFLAGS reads one `__u64`.
    #[allow(unsafe_code)]
    unsafe {
        control(subvolume, request::<u64>(WRITE, 26), &mut flags)
    }
}

/// Deletes the subvolume with this id, with everything in it but other subvolumes, for which it fails. `fd` is anything on that file system.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`; when there are subvolumes within it.
pub fn delete_subvolume(fd: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let mut arguments = VolumeArguments { fd: 0, transid: 0, flags: BY_ID, unused: [0; 4], name: [0; 4040] };
    arguments.name[..8].copy_from_slice(&id.to_ne_bytes());
    // SAFETY: BTRFS_IOC_SNAP_DESTROY_V2 reads one `struct btrfs_ioctl_vol_args_v2`; with BTRFS_SUBVOL_SPEC_BY_ID, the id where else a
    // name is.
    #[allow(unsafe_code)]
    unsafe {
        control(fd, request::<VolumeArguments>(WRITE, 63), &mut arguments)
    }
}

/// The id of the subvolume that `fd` lies in.
///
/// # Errors
/// When it is of no btrfs.
pub fn subvolume_id(fd: BorrowedFd<'_>) -> io::Result<u64> {
    look_up(fd, 0, FIRST).map(|(tree, _)| tree)
}

/// Opens the subvolume with this id on the file system of `fd`, wherever it is.
///
/// # Errors
/// When there is none; without `CAP_DAC_READ_SEARCH`.
pub fn open_subvolume(fd: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    /// `struct file_handle` with a `struct btrfs_fid` (fs/btrfs/export.h) up to its generation, which is not compared when it is 0.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        object: [u8; 8],
        tree: [u8; 8],
        generation: u32,
    }
    // `FILEID_BTRFS_WITHOUT_PARENT` (linux/exportfs.h).
    let mut handle = Handle { bytes: 20, kind: 0x4d, object: FIRST.to_ne_bytes(), tree: id.to_ne_bytes(), generation: 0 };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: open_by_handle_at(2) reads as many bytes of the handle as it says it has, which it does have.
    #[allow(unsafe_code)]
    let opened = unsafe { libc::syscall(libc::SYS_open_by_handle_at, fd.as_raw_fd(), std::ptr::from_mut(&mut handle), flags) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and its numbers fit.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(opened as i32) })
}

/// When a subvolume was made here, in seconds of the epoch.
///
/// # Errors
/// When `fd` is of no btrfs.
pub fn subvolume_made(fd: BorrowedFd<'_>) -> io::Result<u64> {
    /// Where in `struct btrfs_ioctl_get_subvol_info_args` the seconds of `otime` are.
    const MADE: usize = 392 / 8;
    let mut arguments = [0_u64; 63];
    // SAFETY: BTRFS_IOC_GET_SUBVOL_INFO writes one `struct btrfs_ioctl_get_subvol_info_args`: 504 bytes, aligned to eight.
    #[allow(unsafe_code)]
    unsafe {
        control(fd, request::<[u64; 63]>(READ, 60), &mut arguments)?;
    }
    Ok(arguments[MADE])
}

/// The tree, and the path in it, of a directory's inode; tree 0 means the one that `fd` lies in.
fn look_up(fd: BorrowedFd<'_>, tree: u64, object: u64) -> io::Result<(u64, OsString)> {
    let mut arguments = LookupArguments { tree, object, name: [0; 4080] };
    // SAFETY: BTRFS_IOC_INO_LOOKUP reads and writes one `struct btrfs_ioctl_ino_lookup_args`.
    #[allow(unsafe_code)]
    unsafe {
        control(fd, request::<LookupArguments>(READ | WRITE, 18), &mut arguments)?;
    }
    let name = CStr::from_bytes_until_nul(&arguments.name).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((arguments.tree, OsString::from_vec(name.to_bytes().to_vec())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn requests_are_those_of_the_header() {
        // From linux/btrfs.h, compiled.
        assert_eq!(request::<VolumeArguments>(WRITE, 24), 0x5000_9418);
        assert_eq!(request::<LookupArguments>(READ | WRITE, 18), 0xd000_9412);
        assert_eq!(request::<u64>(WRITE, 26), 0x4008_941a);
    }

    #[test]
    fn another_file_system_says_so() {
        let proc = File::open("/proc").unwrap();
        assert!(!is_btrfs(&proc) && !is_subvolume(&proc));
        assert!(subvolume_id(proc.as_fd()).is_err());
        assert!(create_subvolume(proc.as_fd(), OsStr::new("x")).is_err());
        assert_eq!(quotas(proc.as_fd()), Quotas::Off);
    }

    #[test]
    fn names_are_names() {
        for name in ["", "a/b", "..", "a\0b", &"x".repeat(256)] {
            let result = volume(OsStr::new(name), 0, 0);
            assert_eq!(result.is_ok(), name == "..", "{name:?}: the kernel refuses that one");
        }
    }
}
