//! What this process uses.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

/// What this process uses at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// Resident memory, bytes.
    pub rss: u64,
    /// Bytes that the allocator has handed out.
    pub heap: u64,
    /// Open descriptors.
    pub fds: u64,
    /// The most descriptors this process may have.
    pub fd_limit: u64,
    /// Processor time so far, in seconds.
    pub cpu_seconds: f64,
}

impl Resources {
    /// For when nobody can tell: nothing is used, and nothing is left.
    pub fn unknown() -> Self {
        Self { rss: 0, heap: heap_bytes(), fds: 0, fd_limit: 1, cpu_seconds: 0.0 }
    }
}

/// Reads them from `/proc/self` and from the allocator.
///
/// # Errors
/// When `/proc` is not there, or no descriptor is left to read it with.
pub fn resources() -> io::Result<Resources> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    // The directory listing holds the descriptor that lists it.
    let fds = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64;
    let fd_limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Ok(Resources { rss: pages * rustix::param::page_size() as u64, heap: heap_bytes(), fds, fd_limit, cpu_seconds: cpu_seconds()? })
}

/// Fields 14 and 15 of `/proc/self/stat`, user and system time in ticks (proc_pid_stat(5)).
fn cpu_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?.1;
    let ticks: u64 = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    #[allow(clippy::cast_precision_loss)]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes that the C allocator has handed out, from its arenas and as mappings of their own.
pub fn heap_bytes() -> u64 {
    // SAFETY: mallinfo2 takes no argument, takes the allocator's own locks and returns plain numbers.
    #[allow(unsafe_code)]
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// Bytes that an unprivileged writer can still store on the file system of `path`.
///
/// # Errors
/// When `path` is not there.
pub fn free_disk(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The memory of this host, and how much of it is used for nothing at all, in bytes (sysinfo(2)).
pub fn memory() -> (u64, u64) {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit);
    (info.totalram * unit, info.freeram * unit)
}

/// How many processes have been running or waiting for a disk on this host, on average over 1, 5 and 15 minutes (getloadavg(3)).
pub fn load() -> [f64; 3] {
    // A fixed point number with 16 bits behind the point (sysinfo(2), SI_LOAD_SHIFT).
    #[allow(clippy::cast_precision_loss)]
    rustix::system::sysinfo().loads.map(|load| load as f64 / 65536.0)
}

/// Raises the soft limit on open descriptors to the hard one: each websocket costs two. Returns what holds now.
pub fn raise_fd_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Refused means the old limit stays; health reports descriptors running out either way.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_plausible() {
        let before = resources().unwrap();
        let ballast = vec![1_u8; 128 << 20];
        let after = resources().unwrap();
        assert!(before.rss > 100_000 && before.fds >= 3 && before.fds < before.fd_limit);
        assert!(after.cpu_seconds >= before.cpu_seconds && after.cpu_seconds < 100_000.0);
        assert!(after.heap >= before.heap + (64 << 20), "{before:?} {after:?}");
        drop(ballast);
    }

    #[test]
    fn the_hosts_memory() {
        let (all, free) = memory();
        assert!(all > 64 << 20 && free > 0 && free < all, "{all} {free}");
    }

    #[test]
    fn disk() {
        assert!(free_disk(Path::new("/")).unwrap() > 0);
        assert!(free_disk(Path::new("/no/such/path")).is_err());
    }
}
