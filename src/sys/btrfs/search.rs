//! Which subvolumes lie within a directory: by the file system's own list, so that no path of anybody's is walked.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::fstat;

use super::{FIRST, READ, WRITE, control, look_up, request, subvolume_id};

/// `BTRFS_ROOT_TREE_OBJECTID` and `BTRFS_ROOT_REF_KEY` (linux/btrfs_tree.h): a parent's entry for a subvolume in it.
const ROOT_TREE: u64 = 1;
const ROOT_REF: u32 = 156;

/// Bytes of `struct btrfs_ioctl_search_header`, and of what follows it up to a name.
const HEADER: usize = 32;

/// The most subvolumes that are looked for within one directory.
const MOST: usize = 1 << 20;

/// `struct btrfs_ioctl_search_args`.
#[repr(C)]
struct SearchArguments {
    tree: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transid: u64,
    max_transid: u64,
    min_type: u32,
    max_type: u32,
    items: u32,
    unused: u32,
    reserved: [u64; 4],
    buffer: [u8; 3992],
}

/// The ids of all subvolumes below the directory `dir`, each after the one that it lies in. Not of `dir` itself.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`; when `dir` is of no btrfs.
pub fn nested_subvolumes(dir: BorrowedFd<'_>) -> io::Result<Vec<u64>> {
    let tree = subvolume_id(dir)?;
    let inode = fstat(dir)?.st_ino;
    let mut found = Vec::new();
    // Of the subvolume that `dir` is in, only what lies below `dir`; of each that is found there, everything.
    let below = if inode == FIRST { None } else { Some(look_up(dir, tree, inode)?.1) };
    for (child, parent) in children(dir, tree)? {
        let inside = match &below {
            None => true,
            // One that is gone by now, or lies deeper than the kernel can say, and perhaps is somebody else's: whoever deletes what is in here
            // will be told of one that was left.
            Some(below) => look_up(dir, tree, parent).is_ok_and(|(_, path)| path.as_bytes().starts_with(below.as_bytes())),
        };
        if inside {
            found.push(child);
        }
    }
    let mut next = 0;
    while let Some(tree) = found.get(next).copied() {
        found.extend(children(dir, tree)?.into_iter().map(|(child, _)| child));
        if found.len() > MOST {
            return Err(io::Error::other("too many subvolumes"));
        }
        next += 1;
    }
    Ok(found)
}

/// The subvolumes directly in the subvolume `tree`: their ids, and the inodes of the directories that they are in.
fn children(fd: BorrowedFd<'_>, tree: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let mut arguments = SearchArguments {
            tree: ROOT_TREE,
            min_object: tree,
            max_object: tree,
            min_offset: from,
            max_offset: u64::MAX,
            min_transid: 0,
            max_transid: u64::MAX,
            min_type: ROOT_REF,
            max_type: ROOT_REF,
            items: u32::MAX,
            unused: 0,
            reserved: [0; 4],
            buffer: [0; 3992],
        };
        // SAFETY: BTRFS_IOC_TREE_SEARCH reads and writes one `struct btrfs_ioctl_search_args`.
        #[allow(unsafe_code)]
        unsafe {
            control(fd, request::<SearchArguments>(READ | WRITE, 17), &mut arguments)?;
        }
        let page = parse(&arguments.buffer, arguments.items).ok_or(io::ErrorKind::InvalidData)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        let Some(next) = last.checked_add(1) else { return Ok(found) };
        from = next;
        found.extend(page);
        if found.len() > MOST {
            return Err(io::Error::other("too many subvolumes"));
        }
    }
}

/// The items of one answer: `struct btrfs_ioctl_search_header`, whose offset is the subvolume's id, then `struct btrfs_root_ref`, which
/// begins with the directory's inode.
fn parse(mut buffer: &[u8], items: u32) -> Option<Vec<(u64, u64)>> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_ne_bytes);
    let mut found = Vec::new();
    for _ in 0..items {
        let (header, rest) = buffer.split_at_checked(HEADER)?;
        let length = u32::from_ne_bytes(header[28..32].try_into().ok()?);
        let (data, rest) = rest.split_at_checked(length as usize)?;
        // On the disk, and therefore in little-endian order.
        let parent = u64::from_le_bytes(data.get(..8)?.try_into().ok()?);
        found.push((number(&header[16..24])?, parent));
        buffer = rest;
    }
    Some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_and_a_short_buffer_is_not() {
        assert_eq!(request::<SearchArguments>(READ | WRITE, 17), 0xd000_9411);
        let mut buffer = Vec::new();
        for (id, parent, name) in [(260_u64, 256_u64, "a"), (261, 300, "some name")] {
            buffer.extend([7_u64, 257, id].iter().flat_map(|number| number.to_ne_bytes()));
            buffer.extend([ROOT_REF, 18 + name.len() as u32].iter().flat_map(|number| number.to_ne_bytes()));
            buffer.extend(parent.to_le_bytes());
            buffer.extend([0; 8]);
            buffer.extend((name.len() as u16).to_le_bytes());
            buffer.extend(name.bytes());
        }
        assert_eq!(parse(&buffer, 2).unwrap(), [(260, 256), (261, 300)]);
        assert_eq!(parse(&buffer, 0).unwrap(), []);
        assert_eq!(parse(&buffer[..buffer.len() - 1], 2), None);
    }
}
