//! Refuses single ioctls to this process and to all that it starts (seccomp(2)). For what no unit property can say: systemd's filters know
//! the numbers of system calls, not their arguments.

use std::io;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SYS_ioctl, sock_filter, sock_fprog,
};

/// `AUDIT_ARCH_*` of the machine that this is built for (linux/audit.h); others than these are not filtered.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
/// The same.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
/// The same.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// Where in `struct seccomp_data` (seccomp(2)) the number of the call is.
const NUMBER: u32 = 0;
/// The architecture.
const ARCH: u32 = 4;
/// The lower half of the second argument, which is all that ioctl looks at.
const REQUEST: u32 = 24;

/// From now on each of `requests` is answered `ENOTTY`, as by a file that knows no such thing.
///
/// # Errors
/// When the process may still gain privileges by an exec (`PR_SET_NO_NEW_PRIVS` is not set), or the kernel has no such filters.
pub fn refuse_ioctls(requests: &[u32]) -> io::Result<()> {
    let Some(architecture) = ARCHITECTURE else { return Ok(()) };
    let mut program = program(architecture, requests);
    let Ok(len) = u16::try_from(program.len()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let program = sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which both belong to a vector that lives to the end of this function.
    #[allow(unsafe_code)]
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn program(architecture: u32, requests: &[u32]) -> Vec<sock_filter> {
    let load = |offset| sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset };
    let equal = |value, jt, jf| sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt, jf, k: value };
    let answer = |value| sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: value };
    // Other architectures' calls are none at all: `SystemCallArchitectures=native`.
    let mut program = vec![load(ARCH), equal(architecture, 1, 0), answer(SECCOMP_RET_ALLOW)];
    program.extend([load(NUMBER), equal(SYS_ioctl as u32, 1, 0), answer(SECCOMP_RET_ALLOW), load(REQUEST)]);
    for request in requests {
        program.extend([equal(*request, 0, 1), answer(SECCOMP_RET_ERRNO | libc::ENOTTY as u32)]);
    }
    program.push(answer(SECCOMP_RET_ALLOW));
    program
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::io::{Errno, ioctl_fionread};

    #[test]
    fn one_request_is_refused_and_no_other() {
        let (read, write) = std::io::pipe().unwrap();
        // A filter is its thread's own.
        let filtered = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            // FIONREAD (asm-generic/ioctls.h)
            refuse_ioctls(&[0x541b, 1]).unwrap();
            let others = rustix::io::ioctl_fionbio(&write, false);
            (ioctl_fionread(&read), others)
        });
        let (refused, others) = filtered.join().unwrap();
        assert!(refused == Err(Errno::NOTTY) && others.is_ok(), "{refused:?} {others:?}");
        let (read, _write) = std::io::pipe().unwrap();
        assert_eq!(ioctl_fionread(&read), Ok(0), "elsewhere all is as it was");
    }
}
