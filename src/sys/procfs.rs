//! Processes, as `/proc` shows them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

pub use rustix::process::Pid;
use rustix::process::{Signal, kill_process};

use super::tag::tag_of;

/// One reading of the process table: who is whose child, and in which session.
#[derive(Debug, Default)]
pub struct ProcessTable {
    rows: HashMap<i32, Row>,
}

#[derive(Debug)]
struct Row {
    parent: i32,
    session: i32,
}

impl ProcessTable {
    /// Reads `/proc` once.
    ///
    /// # Errors
    /// When `/proc` cannot be read, for want of descriptors for example. Processes that end meanwhile are left out.
    pub fn read() -> io::Result<Self> {
        let mut rows = HashMap::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            // The kernel cuts a name after 15 bytes, if need be in the middle of a character.
            let stat = match fs::read(format!("/proc/{pid}/stat")) {
                Ok(stat) => stat,
                Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(e) => return Err(e),
            };
            if let Some(row) = parse_stat(&String::from_utf8_lossy(&stat)) {
                rows.insert(pid, row);
            }
        }
        Ok(Self { rows })
    }

    /// Every live process that belongs to `root`: its descendants, whatever is in its session, and whatever was started with an
    /// environment that has a line (`NAME=value`) which `marks`, or with one of `tags` (see [`tag`](super::tag)); that finds what
    /// detached itself. Zombies do not count.
    pub fn members(&self, root: Option<Pid>, marks: impl Fn(&[u8]) -> bool, tags: &HashSet<u64>) -> Vec<Pid> {
        let root = root.map(|pid| pid.as_raw_nonzero().get());
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let belongs = |pid: i32, row: &Row| {
            root.is_some_and(|root| pid == root || row.session == root || self.descends(pid, root))
                || fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| environ.split(|b| *b == 0).any(&marks))
                || (!tags.is_empty() && tag_of(pid).is_some_and(|tag| tags.contains(&tag)))
        };
        self.rows.iter().filter(|(pid, row)| **pid != own && belongs(**pid, row)).filter_map(|(pid, _)| Pid::from_raw(*pid)).collect()
    }

    /// Every live process by the value of the line `name=…` in its environment, or else by that which `tags` has for its tag. One
    /// with neither has the value of the nearest ancestor with one, or else of its session's first process: a program can be started with no environment at all. Zombies do
    /// not count.
    pub fn by_mark(&self, name: &str, tags: &HashMap<u64, Vec<u8>>) -> HashMap<Vec<u8>, Vec<Pid>> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let mark = [name.as_bytes(), b"="].concat();
        let value = |pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let marked = environ.split(|b| *b == 0).find_map(|line| line.strip_prefix(&*mark)).map(<[u8]>::to_vec);
            marked.or_else(|| tags.get(&tag_of(*pid)?).cloned())
        };
        let marked: HashMap<i32, Vec<u8>> =
            self.rows.keys().filter(|pid| **pid != own).filter_map(|pid| Some((*pid, value(pid)?))).collect();
        let inherited = |pid: i32| {
            let mut at = pid;
            for _ in 0..self.rows.len() {
                if let Some(value) = marked.get(&at) {
                    return Some(value);
                }
                match self.rows.get(&at) {
                    Some(row) if row.parent > 1 && row.parent != own => at = row.parent,
                    _ => break,
                }
            }
            marked.get(&self.rows.get(&pid)?.session)
        };
        let mut groups: HashMap<Vec<u8>, Vec<Pid>> = HashMap::new();
        for pid in self.rows.keys().filter(|pid| **pid != own) {
            if let (Some(value), Some(pid)) = (inherited(*pid), Pid::from_raw(*pid)) {
                groups.entry(value.clone()).or_default().push(pid);
            }
        }
        groups
    }

    fn descends(&self, pid: i32, ancestor: i32) -> bool {
        let mut at = pid;
        // Bounded: a reading is not atomic, so reused numbers could in theory form a ring.
        for _ in 0..self.rows.len() {
            match self.rows.get(&at) {
                Some(row) if row.parent == ancestor => return true,
                Some(row) if row.parent > 1 => at = row.parent,
                _ => return false,
            }
        }
        false
    }
}

/// `pid (comm) state ppid pgrp session …`; comm may itself hold spaces and parentheses (proc_pid_stat(5)).
fn parse_stat(stat: &str) -> Option<Row> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    let session = fields.next()?.parse().ok()?;
    Some(Row { parent, session })
}

/// Sends `signal` to one process. A process that is gone already is no error.
///
/// # Errors
/// When the kernel refuses (another user's process).
pub fn signal(pid: Pid, signal: Signal) -> io::Result<()> {
    gone_is_fine(kill_process(pid, signal))
}

fn gone_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Command, Stdio};

    #[test]
    fn stat_with_a_wicked_name() {
        let row = parse_stat("12 (a) b (c) S 7 12 9 0 -1").unwrap();
        assert_eq!((row.parent, row.session), (7, 9));
        assert!(parse_stat("12 (a) Z 7 12 9 0").is_none());
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn who_has_no_environment_belongs_to_its_parent() {
        let value = format!("bare-{}", std::process::id());
        let script = "env -i sleep 1000 & echo $!; read _; kill $!";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("HOODY_TEST_BARE", &value);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let bare = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let groups = ProcessTable::read().unwrap().by_mark("HOODY_TEST_BARE", &HashMap::new());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(groups[value.as_bytes()].contains(&bare));
    }

    #[test]
    fn finds_what_detached_itself() {
        // setsid leaves the session, and the shell that started it ends: only the environment still tells. The detached shell reads
        // from a pipe of ours rather than become another program: a process has no environment to read in the middle of its exec.
        let marker = format!("HOODY_TEST_MARKER={}", std::process::id());
        let (name, value) = marker.split_once('=').unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0; setsid sh -c 'echo $$; read _ <&3' & wait $!"])
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let mut out = child.stdout.take().unwrap();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        let detached = Pid::from_raw(String::from_utf8(line).unwrap().parse().unwrap()).unwrap();
        let held = child.stdin.take();
        child.kill().unwrap();
        child.wait().unwrap();
        let members = ProcessTable::read().unwrap().members(None, |line| line == marker.as_bytes(), &HashSet::new());
        assert!(members.contains(&detached));
        let groups = ProcessTable::read().unwrap().by_mark(name, &HashMap::new());
        assert!(groups[value.as_bytes()].contains(&detached));
        for pid in members {
            signal(pid, Signal::KILL).unwrap();
        }
        drop(held);
    }
}
