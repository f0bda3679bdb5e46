//! A number that every process of a family carries and that none of them loses by accident.
//!
//! It is the soft limit on file locks, `RLIMIT_LOCKS`: the kernel has enforced nothing by it since 2.4.25 (getrlimit(2)), hands it down
//! through every fork and exec, and shows it of every process. An environment does not do: daemons write their titles over it.

use std::fs;
use std::io;
use std::process::Command;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Makes `command` carry `tag`, with all that comes of it. Where a hard limit is lower, it carries none.
pub fn tag(command: &mut Command, tag: u64) {
    use std::os::unix::process::CommandExt;
    let prepare = move || -> io::Result<()> {
        let mut limit = getrlimit(Resource::Locks);
        limit.current = Some(tag);
        let _ = setrlimit(Resource::Locks, limit);
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: the closure makes two bare system calls, takes no
    // lock and allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// The tag of a process; none when it has none, or is gone.
pub(super) fn tag_of(pid: i32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

/// `Max file locks   SOFT   HARD   locks` (proc_pid_limits(5)); `unlimited` is no number.
fn parse(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks "))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_line_of_the_kernels() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let text = |soft: &str| format!("{head}Max file locks            {soft}            unlimited            locks     \n");
        assert_eq!((parse(&text("unlimited")), parse(&text("4611686018427387905"))), (None, Some(4_611_686_018_427_387_905)));
        assert_eq!(parse(head), None);
    }

    #[test]
    fn children_of_children_carry_it() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "env -i sh -c 'echo $$; read _'"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        tag(&mut shell, 0x4000_0000_0000_0001);
        let mut child = shell.spawn().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let found = tag_of(line.trim().parse().unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(found, Some(0x4000_0000_0000_0001));
        assert_eq!(tag_of(1 << 30), None);
    }
}
