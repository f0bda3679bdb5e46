//! Quota groups of btrfs. A subvolume has one of level 0 with its own number. One of level 1 holds those of several: here, all subvolumes
//! of one user, with the user's number.
//!
//! With simple quotas (Linux 6.7) a subvolume that somebody makes within another is put into the groups of that one. With full ones it is
//! not.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::{READ, WRITE, control, nested_subvolumes, request, subvolume_id};

/// `BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA`.
const ENABLE_SIMPLE: u64 = 4;

/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const MAX_REFERENCED: u64 = 1;

/// `struct btrfs_ioctl_qgroup_limit_args`.
#[repr(C)]
struct LimitArguments {
    group: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved: [u64; 2],
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct InfoArguments {
    devices: [u64; 2],
    id: [u8; 16],
    rest: [u8; 992],
}

/// Which quotas a file system keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotas {
    /// None; also what is not btrfs.
    Off,
    /// Each extent counts for the subvolume that wrote it.
    Simple,
    /// Each extent counts for all that refer to it.
    Full,
}

/// What a group has and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupUse {
    /// Bytes in use, as of the last transaction.
    pub used: u64,
    /// The most bytes; none means no limit.
    pub limit: Option<u64>,
}

/// The number of the group of level 1 for `user`.
fn group_of(user: u32) -> u64 {
    1 << 48 | u64::from(user)
}

/// Which quotas the file system of `fd` keeps.
pub fn quotas(fd: BorrowedFd<'_>) -> Quotas {
    let Ok(dir) = groups_dir(fd) else { return Quotas::Off };
    let read = |name| fs::read_to_string(dir.join(name)).unwrap_or_default();
    match (read("enabled").trim(), read("mode").trim()) {
        ("1", "squota") => Quotas::Simple,
        ("1", _) => Quotas::Full,
        _ => Quotas::Off,
    }
}

/// What the group of `user` has on the file system of `fd`; none when there is no such group. Needs no rights.
pub fn group_use(fd: BorrowedFd<'_>, user: u32) -> Option<GroupUse> {
    let dir = groups_dir(fd).ok()?.join(format!("1_{user}"));
    let number = |name| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
    let limited = number("limit_flags").is_some_and(|flags| flags & MAX_REFERENCED != 0);
    Some(GroupUse { used: number("referenced")?, limit: number("max_referenced").filter(|_| limited) })
}

fn groups_dir(fd: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let mut arguments = InfoArguments { devices: [0; 2], id: [0; 16], rest: [0; 992] };
    // SAFETY: BTRFS_IOC_FS_INFO reads and writes one `struct btrfs_ioctl_fs_info_args`.
    #[allow(unsafe_code)]
    unsafe {
        control(fd, request::<InfoArguments>(READ, 31), &mut arguments)?;
    }
    let hex: String = arguments.id.iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Ok(PathBuf::from(format!("/sys/fs/btrfs/{uuid}/qgroups")))
}

/// Has the file system keep simple quotas from now on. What is on it already counts for nobody.
///
/// # Errors
/// `InvalidInput` when the kernel has none; without `CAP_SYS_ADMIN`.
pub fn enable_simple_quotas(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut arguments = [ENABLE_SIMPLE, 0];
    // SAFETY: BTRFS_IOC_QUOTA_CTL reads and writes one `struct btrfs_ioctl_quota_ctl_args`: two of `__u64`.
    #[allow(unsafe_code)]
    unsafe {
        control(fd, request::<[u64; 2]>(READ | WRITE, 40), &mut arguments)
    }
}

/// By these whoever makes a subvolume or a snapshot may say himself which groups it is in: none at all, or a neighbour's. Without them it is
/// in those of the subvolume that it lies in. `BTRFS_IOC_SNAP_CREATE_V2` and `BTRFS_IOC_SUBVOL_CREATE_V2`.
pub const WAYS_OUT_OF_A_GROUP: [u32; 2] = [0x5000_9417, 0x5000_9418];

/// Puts the subvolume `home`, and all within it, into the group of `user`, which may have `limit` bytes; none means no limit.
///
/// # Errors
/// When the file system keeps no quotas; without `CAP_SYS_ADMIN`.
pub fn limit_group(home: BorrowedFd<'_>, user: u32, limit: Option<u64>) -> io::Result<()> {
    let group = group_of(user);
    let exists = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    let mut create = [1, group];
    // SAFETY: BTRFS_IOC_QGROUP_CREATE reads one `struct btrfs_ioctl_qgroup_create_args`: two of `__u64`.
    #[allow(unsafe_code)]
    exists(unsafe { control(home, request::<[u64; 2]>(WRITE, 42), &mut create) })?;
    let own = subvolume_id(home)?;
    for id in std::iter::once(own).chain(nested_subvolumes(home)?) {
        let mut assign = [1, id, group];
        // SAFETY: BTRFS_IOC_QGROUP_ASSIGN reads one `struct btrfs_ioctl_qgroup_assign_args`: three of `__u64`.
        #[allow(unsafe_code)]
        let assigned = exists(unsafe { control(home, request::<[u64; 3]>(WRITE, 41), &mut assign) });
        match assigned {
            // Gone meanwhile; the kernel then says either.
            Err(e) if id != own && matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {}
            other => other?,
        }
    }
    // All bits set is "no limit" (kernel, qgroup.c: CLEAR_VALUE).
    let max_referenced = limit.unwrap_or(u64::MAX);
    let mut arguments = LimitArguments { group, flags: MAX_REFERENCED, max_referenced, max_exclusive: 0, reserved: [0; 2] };
    // SAFETY: BTRFS_IOC_QGROUP_LIMIT reads one `struct btrfs_ioctl_qgroup_limit_args`, whatever its number says of the direction.
    #[allow(unsafe_code)]
    unsafe {
        control(home, request::<LimitArguments>(READ, 43), &mut arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_header() {
        assert_eq!(request::<LimitArguments>(READ, 43), 0x8030_942b);
        assert_eq!(request::<InfoArguments>(READ, 31), 0x8400_941f);
        assert_eq!(request::<[u64; 2]>(READ | WRITE, 40), 0xc010_9428);
        assert_eq!(group_of(2_000_300_000) >> 48, 1);
    }
}
