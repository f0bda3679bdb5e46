//! The engine as a child: its files, its output, its end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::proto::place::DATA;
use crate::proto::{AgentAnswer, LOG_LINES};
use crate::sys;

/// The most bytes of one line that are remembered; a longer one is cut. The journal gets all of it.
const MAX_LINE: usize = 400;

/// What systemd tells its own child, and what the engine's terminals have no use for (systemd.exec(5)).
const SYSTEMDS_OWN: &[&str] = &[
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "NOTIFY_SOCKET",
    "SYSTEMD_EXEC_PID",
];

/// The engine's last lines of output.
#[derive(Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    /// As they are at this moment, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Makes the directories that the engine expects in `home`, and what a fresh one starts with.
pub(super) fn prepare(home: &Path) -> io::Result<()> {
    let failed = |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("cannot prepare {}: {e}", path.display()));
    let data = home.join(DATA);
    for path in [data.clone(), data.join("user-data"), data.join("user-data/User"), data.join("user-data/Machine"), data.join("extensions")]
    {
        sys::create_private_dir(&path).map_err(|e| failed(&path, e))?;
    }
    let extensions = data.join("extensions");
    crate::engine::seed_extensions(&extensions).map_err(|e| failed(&extensions, e))?;
    for (name, content) in crate::engine::seed_files() {
        let path = data.join("user-data").join(name);
        if !path.exists() {
            sys::write_atomic(&path, content.as_bytes()).map_err(|e| failed(&path, e))?;
        }
    }
    Ok(())
}

/// Our own environment without what is between systemd and us: what the engine has, and its command line gets.
pub(super) fn own_env() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_none_or(|name| !SYSTEMDS_OWN.contains(&name))).collect()
}

/// The engine, running.
pub(super) struct Running {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    tail: Tail,
    kills_before: u64,
}

/// The engine, ended.
pub(super) struct Ended {
    pub(super) code: u8,
    pub(super) answer: AgentAnswer,
}

impl Running {
    pub(super) fn spawn(argv: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in SYSTEMDS_OWN {
            command.env_remove(name);
        }
        let kills_before = out_of_memory_kills().unwrap_or(0);
        let mut child =
            command.spawn().map_err(|e| io::Error::new(e.kind(), format!("cannot run {}: {e}", Path::new(program).display())))?;
        let tail = Tail::default();
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(follow(pipe, tail.clone())?);
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(follow(pipe, tail.clone())?);
        }
        Ok(Self { child, readers, tail, kills_before })
    }

    /// What it prints, as it prints it.
    pub(super) fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Ended {
        let status = self.child.wait();
        // What it started may hold the pipes open for days: only a reader that is done already is worth waiting for. Its last
        // words are in the pipe by now, so that one turn of the scheduler is nearly always enough.
        for _ in 0..200 {
            if self.readers.iter().all(JoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let killed = status.as_ref().is_ok_and(|status| status.signal() == Some(libc::SIGKILL));
        let out_of_memory = killed && out_of_memory_kills().unwrap_or(0) > self.kills_before;
        let log = self.tail.lines();
        let words = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        Ended { code: exit_code(status.as_ref().ok()), answer: AgentAnswer::Ended { status: words, out_of_memory, log } }
    }
}

/// Our own exit status: the engine's, or 128 and the signal's number, as a shell would say it. Never 0, because an engine that
/// ends by itself was not meant to.
fn exit_code(status: Option<&ExitStatus>) -> u8 {
    let Some(status) = status else { return 1 };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1).max(1)
}

/// Passes what comes out of `pipe` on to our own output, which is the journal, and remembers the last lines.
fn follow(pipe: impl Read + Send + 'static, tail: Tail) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("output".to_owned()).stack_size(64 << 10).spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A program that never ends its line must not fill our memory: what is longer comes in pieces.
            match pipe.by_ref().take(16 << 10).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let _ = io::stderr().write_all(&line);
            let text = String::from_utf8_lossy(&line);
            let text: String = text.trim_end().chars().take(MAX_LINE).collect();
            if !text.is_empty() {
                tail.push(text);
            }
        }
    })
}

/// How often the kernel has killed something of our control group for want of memory (cgroup v2, `memory.events`).
fn out_of_memory_kills() -> Option<u64> {
    let events = fs::read_to_string(super::usage::control_group()?.join("memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(script: &str) -> (u8, String, Vec<String>) {
        let argv: Vec<OsString> = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
        let ended = Running::spawn(&argv).unwrap().wait();
        match ended.answer {
            AgentAnswer::Ended { status, log, .. } => (ended.code, status, log),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_end_is_told_with_its_last_lines() {
        let (code, status, log) = run("for i in $(seq 60); do echo line $i; done; exit 7");
        assert_eq!((code, status.as_str()), (7, "exit status: 7"));
        assert_eq!((log.len(), log.last().unwrap().as_str()), (LOG_LINES, "line 60"));
        let (code, status, _) = run("kill -9 $$");
        assert_eq!(code, 137);
        assert!(status.contains('9'), "{status}");
        assert_eq!(run("exit 0").0, 1, "an engine that ends by itself has failed");
    }

    #[test]
    fn a_grandchild_that_holds_the_output_delays_nothing() {
        let (code, _, log) = run("sleep 60 & echo last words; kill -TERM $!; exit 3");
        assert_eq!((code, log), (3, vec!["last words".to_owned()]));
    }

    #[test]
    fn a_home_is_prepared_once() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let settings = fs::read_dir(dir.path().join(DATA).join("user-data/User")).unwrap().count();
        prepare(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(DATA).join("user-data/User")).unwrap().count(), settings);
    }
}
