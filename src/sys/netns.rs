//! Network namespaces of other processes: opening, telling apart, entering.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, open, openat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Pid;

/// One process, held: what is read through it is of this process, or an error, never of a later one with the same id.
#[derive(Debug)]
pub struct ProcessDir(OwnedFd);

impl ProcessDir {
    /// Takes hold of a process.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn open(pid: Pid) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(format!("/proc/{}", pid.as_raw_nonzero()), flags, Mode::empty())?))
    }

    /// Takes hold of this very process.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn own() -> io::Result<Self> {
        Ok(Self(open("/proc/self", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Its line of `/proc/PID/cgroup` for the unified hierarchy, such as `/system.slice/x.service`; empty when there is none.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn control_group(&self) -> io::Result<String> {
        let file = openat(&self.0, "cgroup", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let text = io::read_to_string(std::fs::File::from(file))?;
        Ok(text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned())
    }

    /// Its network namespace.
    ///
    /// # Errors
    /// When the process has ended, or is not ours to look into.
    pub fn network_namespace(&self) -> io::Result<OwnedFd> {
        self.namespace("ns/net")
    }

    /// Its user namespace.
    ///
    /// # Errors
    /// When the process has ended, or is not ours to look into.
    pub fn user_namespace(&self) -> io::Result<OwnedFd> {
        self.namespace("ns/user")
    }

    fn namespace(&self, name: &str) -> io::Result<OwnedFd> {
        Ok(openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// Whether both descriptors mean one namespace. Both must be of namespaces: only their numbers are compared.
///
/// # Errors
/// As fstat(2).
pub fn same_namespace(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// The user namespace whose root rules over `namespace`.
///
/// # Errors
/// `PermissionDenied` when it is out of our sight; as ioctl_ns(2).
pub fn owning_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument, touches no memory of ours and fails with ENOTTY on anything but a namespace.
    #[allow(unsafe_code)]
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us (close-on-exec), and nobody else knows of it.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls `work` on a thread of its own inside the network namespace `namespace`, and waits for it. The thread ends with `work`, so no
/// other code ever runs in there; sockets that `work` makes stay in the namespace for ever.
///
/// # Errors
/// As setns(2), or when no thread can be started; `work`'s own result is inside.
pub fn within_network_namespace<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let inside = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })?;
        match inside.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn own_namespaces() {
        let own = ProcessDir::own().unwrap();
        let net = own.network_namespace().unwrap();
        let user = own.user_namespace().unwrap();
        assert!(same_namespace(net.as_fd(), own.network_namespace().unwrap().as_fd()).unwrap());
        assert!(!same_namespace(net.as_fd(), user.as_fd()).unwrap());
        let by_id = ProcessDir::open(rustix::process::getpid()).unwrap();
        assert!(same_namespace(net.as_fd(), by_id.network_namespace().unwrap().as_fd()).unwrap());
        assert!(owning_user_namespace(std::fs::File::open("/dev/null").unwrap().as_fd()).is_err());
    }

    #[test]
    fn an_ended_process_is_an_error() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let held = ProcessDir::open(pid).unwrap();
        child.wait().unwrap();
        assert!(held.control_group().is_err() && held.network_namespace().is_err());
        assert!(ProcessDir::open(pid).is_err());
    }

    #[test]
    fn a_file_cannot_be_entered() {
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert!(within_network_namespace(&file, || ()).is_err());
    }
}
