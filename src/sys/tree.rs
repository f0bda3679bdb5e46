//! What a directory takes on the disk, counted in somebody's tree who may have put anything there.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags, fstat, openat, statat, statx};
use rustix::io::Errno;

/// The unit of `st_blocks` (stat(3type)), whatever the file system's own blocks are.
const BLOCK: u64 = 512;

/// How a directory is opened: never through a link.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where counting ends.
#[derive(Clone, Copy, Debug)]
pub struct TreeLimits {
    /// The most names that are looked at.
    pub entries: u64,
    /// The most levels of directories; each holds a descriptor.
    pub depth: usize,
    /// The most time. Nothing ends a look at a file system that does not answer.
    pub time: Duration,
}

impl TreeLimits {
    /// Enough for a home with a few large projects in it; a tree of millions of files costs no more than this.
    pub const USUAL: Self = Self { entries: 2_000_000, depth: 200, time: Duration::from_secs(20) };
}

/// Counts one tree, and does so once at a time: a count that hangs is not joined by others.
#[derive(Debug, Default)]
pub struct TreeMeter {
    counting: AtomicBool,
}

impl TreeMeter {
    /// A meter at rest.
    pub const fn new() -> Self {
        Self { counting: AtomicBool::new(false) }
    }

    /// The bytes that are allocated below `root` and for it, and whether that is all: false when a limit was met or something could
    /// not be read. Blocks on the disk, in a thread that lets everything else go first.
    ///
    /// # Errors
    /// `ResourceBusy` while another count of this meter is under way; what the system says when `root` cannot be opened.
    pub fn measure(&self, root: &Path, limits: &TreeLimits) -> io::Result<(u64, bool)> {
        if self.counting.swap(true, Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let counted = std::thread::scope(|scope| {
            let walk = || {
                give_way();
                tree_use(root, limits)
            };
            let thread = std::thread::Builder::new().name("disk".to_owned()).spawn_scoped(scope, walk)?;
            thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        });
        self.counting.store(false, Ordering::SeqCst);
        counted
    }
}

/// See [`TreeMeter::measure`]. Follows no links, enters no other mounts (a btrfs subvolume is none), and shares a file with several names out among
/// them, so that one whose names are all here counts once and nothing has to be remembered.
fn tree_use(root: &Path, limits: &TreeLimits) -> io::Result<(u64, bool)> {
    let until = Instant::now() + limits.time;
    let root = openat(CWD, root, DIRECTORY | OFlags::PATH, Mode::empty())?;
    let mut walk = Walk { bytes: 0, complete: true, mount: mount_of(&root)?, stack: Vec::new() };
    walk.enter(&root)?;
    let mut entries = 0;
    while let Some((dir, device)) = walk.stack.last_mut() {
        let device = *device;
        let entry = match dir.read() {
            Some(Ok(entry)) => entry,
            Some(Err(_)) => {
                walk.complete = false;
                walk.stack.pop();
                continue;
            }
            None => {
                walk.stack.pop();
                continue;
            }
        };
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        entries += 1;
        if entries > limits.entries || Instant::now() > until {
            walk.complete = false;
            break;
        }
        walk.take(entry.file_name(), entry.file_type(), device, limits.depth);
    }
    Ok((walk.bytes, walk.complete))
}

struct Walk {
    bytes: u64,
    complete: bool,
    mount: u64,
    /// The directories that we are in, and the device each is on.
    stack: Vec<(Dir, u64)>,
}

impl Walk {
    fn enter(&mut self, directory: &OwnedFd) -> io::Result<()> {
        let directory = openat(directory, c".", DIRECTORY | OFlags::RDONLY, Mode::empty())?;
        // Of what is opened, not of what has the name by now.
        let stat = fstat(&directory)?;
        self.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK;
        self.stack.push((Dir::new(directory)?, stat.st_dev));
        Ok(())
    }

    fn take(&mut self, name: &CStr, kind: FileType, device: u64, most: usize) {
        let Some(at) = self.stack.last().and_then(|(dir, _)| dir.fd().ok()) else { return };
        if matches!(kind, FileType::Directory | FileType::Unknown) {
            // As a place at first: that asks nothing of what may be mounted there. (openat2(2) could refuse to leave the mount, but
            // systemd's RestrictSUIDSGID= takes it away.)
            match openat(at, name, DIRECTORY | OFlags::PATH, Mode::empty()) {
                Ok(directory) => {
                    let is_ours = mount_of(&directory).map(|mount| mount == self.mount);
                    self.complete &= match is_ours {
                        Ok(true) => self.stack.len() < most && self.enter(&directory).is_ok(),
                        Ok(false) => true,
                        Err(_) => false,
                    };
                    return;
                }
                // A link, or something else altogether.
                Err(Errno::NOTDIR | Errno::LOOP) => {}
                Err(Errno::NOENT) => return,
                Err(_) => {
                    self.complete = false;
                    return;
                }
            }
        }
        self.count(name, device);
    }

    fn count(&mut self, name: &CStr, device: u64) {
        let Some(at) = self.stack.last().and_then(|(dir, _)| dir.fd().ok()) else { return };
        match statat(at.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
            // A directory here was something else a moment ago.
            Ok(stat) if stat.st_dev == device && FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                #[allow(clippy::useless_conversion, reason = "its width differs between architectures")]
                let names = u64::try_from(stat.st_nlink).unwrap_or(1).max(1);
                self.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK / names;
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(_) => self.complete = false,
        }
    }
}

/// The number of the mount that an open place is in (Linux 5.8): the same for all subvolumes of a btrfs.
fn mount_of(place: &OwnedFd) -> io::Result<u64> {
    let stat = statx(place, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID)?;
    Ok(stat.stx_mnt_id)
}

/// Makes the calling thread the last one to get a processor or a disk. There is no way back without privileges: for a thread that
/// ends afterwards. What is refused is left as it is.
fn give_way() {
    /// `IOPRIO_WHO_PROCESS`, and `IOPRIO_CLASS_IDLE` in the upper bits (ioprio_set(2)).
    const WHO: libc::c_int = 1;
    const IDLE: libc::c_int = 3 << 13;
    // On Linux, 0 is the calling thread alone (setpriority(2), "C library/kernel differences").
    let _ = rustix::process::setpriority_process(None, 19);
    // SAFETY: ioprio_set takes three integers and touches no memory of ours.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO, 0, IDLE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    const LIMITS: TreeLimits = TreeLimits { entries: 10_000, depth: 100, time: Duration::from_secs(60) };

    fn file(path: &Path, kib: usize) {
        let mut file = fs::File::create(path).unwrap();
        file.write_all(&vec![7; kib << 10]).unwrap();
        file.sync_all().unwrap();
    }

    fn allocated(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().blocks() * BLOCK
    }

    #[test]
    fn what_is_there_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        file(&root.join("a/b/one"), 256);
        fs::hard_link(root.join("a/b/one"), root.join("another-name")).unwrap();
        fs::hard_link(root.join("a/b/one"), root.join("a/third")).unwrap();
        // A terabyte that is not there.
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        // What a tenant would like to be looked at.
        file(&dir.path().join("outside"), 1024);
        symlink("/", root.join("everything")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink(".", root.join("a/round")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), Mode::RUSR).unwrap();
        let names = ["", "a", "a/b", "a/b/one", "sparse", "everything", "out", "a/round", "pipe"];
        let expected: u64 = names.iter().map(|name| allocated(&root.join(name))).sum();
        let (bytes, complete) = tree_use(&root, &LIMITS).unwrap();
        assert!(complete && bytes.abs_diff(expected) < 3 && (256 << 10..1 << 20).contains(&bytes), "{bytes} {expected}");
    }

    #[test]
    fn another_mount_is_not_entered() {
        let place = |path: &str| openat(CWD, path, DIRECTORY | OFlags::PATH, Mode::empty()).unwrap();
        let root = place("/");
        let mut walk = Walk { bytes: 0, complete: true, mount: mount_of(&root).unwrap(), stack: Vec::new() };
        walk.enter(&root).unwrap();
        let (_, device) = walk.stack[0];
        for kind in [FileType::Directory, FileType::Unknown] {
            walk.take(c"proc", kind, device, 100);
            assert_eq!((walk.stack.len(), walk.complete), (1, true));
        }
        walk.take(c"usr", FileType::Directory, device, 100);
        assert_eq!(walk.stack.len(), 2);
    }

    #[test]
    fn limits_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().to_owned();
        for level in 0..150 {
            path.push(level.to_string());
            fs::create_dir(&path).unwrap();
        }
        let all = TreeLimits { depth: 1000, ..LIMITS };
        assert!(tree_use(dir.path(), &all).unwrap().1);
        assert!(!tree_use(dir.path(), &LIMITS).unwrap().1, "too deep");
        assert!(!tree_use(dir.path(), &TreeLimits { entries: 149, ..all }).unwrap().1, "too many");
        assert!(tree_use(dir.path(), &TreeLimits { entries: 150, ..all }).unwrap().1);
        assert!(!tree_use(dir.path(), &TreeLimits { time: Duration::ZERO, ..all }).unwrap().1, "too long");
        assert!(tree_use(&dir.path().join("nowhere"), &all).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
        // Root reads it all the same.
        let readable = fs::read_dir(&closed).is_ok();
        assert_eq!(tree_use(dir.path(), &LIMITS).unwrap().1, readable);
    }

    #[test]
    fn one_counts_at_a_time() {
        let (dir, meter) = (tempfile::tempdir().unwrap(), TreeMeter::new());
        assert!(meter.measure(dir.path(), &LIMITS).unwrap().1);
        meter.counting.store(true, Ordering::SeqCst);
        assert_eq!(meter.measure(dir.path(), &LIMITS).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        meter.counting.store(false, Ordering::SeqCst);
        assert!(meter.measure(&dir.path().join("nowhere"), &LIMITS).is_err() && meter.measure(dir.path(), &LIMITS).is_ok());
    }

    #[test]
    fn a_thread_gives_way_alone() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let inside = std::thread::spawn(move || {
            give_way();
            nice()
        });
        assert_eq!((inside.join().unwrap(), nice()), (19, before));
    }
}
