//! One process in detail, as `/proc` shows it.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use super::procfs::Pid;

/// The most bytes of a command line or an environment that are read: a tenant can make them megabytes long.
const MAX_TEXT: u64 = 64 << 10;

/// What can be said of a process at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Its controlling terminal's device number; 0 when it has none.
    pub tty: i32,
    /// The process group in the foreground of that terminal; -1 when it has none.
    pub foreground: i32,
    /// Whether it runs or is about to, rather than waits for something.
    pub busy: bool,
    /// Its name, up to 15 bytes.
    pub name: String,
    /// The file of its program; none when it may not be looked at.
    pub exe: Option<PathBuf>,
    /// Its command line.
    pub argv: Vec<String>,
    /// Whether its environment has one of the marks that were asked for.
    pub marked: bool,
    /// Whether another process traces it.
    pub traced: bool,
    /// Processor time of it and of those children that have ended.
    pub cpu: Duration,
    /// Bytes of memory that it shares with no file: what it would give back by ending.
    pub memory: u64,
}

/// Those of `pids` that are there, zombies left out. `marks` are beginnings of lines (`NAME=`) of an environment.
pub fn processes(pids: &[Pid], marks: &[&str]) -> Vec<Process> {
    pids.iter().filter_map(|pid| process(pid.as_raw_nonzero().get(), marks)).collect()
}

fn process(pid: i32, marks: &[&str]) -> Option<Process> {
    let mut process = parse_stat(&String::from_utf8_lossy(&read(pid, "stat")?))?;
    process.pid = pid;
    process.exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let argv = read(pid, "cmdline").unwrap_or_default();
    process.argv = lines(&argv).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
    let environ = read(pid, "environ").unwrap_or_default();
    process.marked = lines(&environ).any(|line| marks.iter().any(|mark| line.starts_with(mark.as_bytes())));
    let status = read(pid, "status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse::<u64>().ok());
    process.traced = field("TracerPid:").unwrap_or(0) != 0;
    process.memory = ["RssAnon:", "RssShmem:", "VmSwap:"].into_iter().filter_map(field).sum::<u64>() << 10;
    Some(process)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(&[0]).unwrap_or(text).split(|byte| *byte == 0)
}

fn read(pid: i32, file: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/{file}")).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
    Some(text)
}

/// `pid (comm) state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime …`
/// (proc_pid_stat(5)).
fn parse_stat(stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let state = *fields.first()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
    let word = |at: usize| number(at).and_then(|number| i32::try_from(number).ok());
    let ticks: i64 = (11..15).map(number).sum::<Option<i64>>()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Process {
        parent: word(1)?,
        group: word(2)?,
        session: word(3)?,
        tty: word(4)?,
        foreground: word(5)?,
        busy: state == "R",
        name: head.split_once(" (")?.1.to_owned(),
        cpu: Duration::from_micros(u64::try_from(ticks).ok()?.saturating_mul(1_000_000) / per_second),
        ..Process::default()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_line_of_the_kernels() {
        let line = "25611 (a) (b) S 25593 25611 25612 34816 25805 4194304 2058 7733 0 10 100 200 6 2 20 0 1 0 1119427 5398528";
        let process = parse_stat(line).unwrap();
        assert_eq!((process.parent, process.group, process.session), (25593, 25611, 25612));
        assert_eq!((process.tty, process.foreground, process.busy), (34816, 25805, false));
        assert_eq!(process.name, "a) (b");
        assert_eq!(process.cpu, Duration::from_micros(308 * 1_000_000 / rustix::param::clock_ticks_per_second()));
        assert_eq!(parse_stat("1 (x) Z 1 1 1 0 -1 0 0 0 0 0 1 1 1 1"), None);
        assert_eq!(parse_stat("1 (x) S 1 1"), None);
    }

    #[test]
    fn a_child_of_ours() {
        let mut child = Command::new("sleep").arg("1000").env("HOODY_TEST_MARK", "1").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let marks = ["HOODY_TEST_MARK="];
        // Between fork and exec it is still us.
        let seen = (0..1000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            processes(&[pid], &marks).pop().filter(|process| process.name == "sleep" && process.marked)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let seen = seen.unwrap();
        assert_eq!(seen.argv, ["sleep", "1000"]);
        assert!(seen.exe.unwrap().is_absolute());
        assert!(!seen.traced && seen.memory > 0);
        assert_eq!(processes(&[pid], &marks), []);
    }
}
