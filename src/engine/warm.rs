//! Starts an engine once, when it is added, so that V8's compile cache is there for every later start.
//!
//! It proves at the same time that the engine starts and serves its page. The cache's keys are paths relative to the cache, so
//! it survives the entry's rename.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::command::{self, ServerDirs, ServerOptions, ServerUser};
use super::error::EngineError;
use super::installed::{CACHE_DIR, Engine};

/// The script node loads first.
pub(super) const PRELOAD: &str = include_str!("preload.cjs");
/// A start takes a quarter of a second; this is for a machine that does a hundred other things.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a node that was just written may be held open for writing by somebody.
const BUSY_DEADLINE: Duration = Duration::from_secs(5);
/// How often the socket, or a busy file, is tried.
const POLL: Duration = Duration::from_millis(20);
/// How much of the engine's output an error shows.
const LOG_TAIL: usize = 2000;
/// Way more than the page has.
const MAX_PAGE: u64 = 1 << 20;

/// What `node --version` prints, such as `v24.21.0`.
///
/// # Errors
/// When it does not run or prints something else.
pub fn node_version(node: &Path) -> Result<String, EngineError> {
    let bad = |reason: String| EngineError::BadNode { node: node.to_owned(), reason };
    let began = Instant::now();
    let output = loop {
        match Command::new(node).arg("--version").env_clear().stdin(Stdio::null()).output() {
            // A file written a moment ago is busy while a child forked meanwhile still holds its descriptor, until that child's exec.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && began.elapsed() < BUSY_DEADLINE => std::thread::sleep(POLL),
            other => break other.map_err(|error| bad(error.to_string()))?,
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && text.starts_with('v') && text.len() < 64 {
        Ok(text)
    } else {
        Err(bad(format!("--version gave {text:?}, {}", output.status)))
    }
}

/// Writes the preload script and makes the empty cache directory of the entry at `dir`.
pub(crate) fn write_preload(dir: &Path) -> Result<(), EngineError> {
    for name in ["hoody", CACHE_DIR] {
        let path = dir.join(name);
        fs::create_dir_all(&path).map_err(EngineError::io("create", &path))?;
    }
    let path = dir.join("hoody/preload.cjs");
    fs::write(&path, PRELOAD).map_err(EngineError::io("write", &path))
}

/// Starts `engine` with throw-away directories, fetches its page, lets it write its cache and ends it, all within a minute.
///
/// # Errors
/// [`EngineError::Warm`] with the end of its output when it does not start, does not serve, or leaves no cache.
pub fn warm(engine: &Engine) -> Result<(), EngineError> {
    let scratch =
        tempfile::Builder::new().prefix("hoody-warm-").tempdir().map_err(EngineError::io("create", Path::new("temporary directory")))?;
    let dir = scratch.path();
    let deadline = Instant::now() + DEADLINE;
    run(engine, dir, deadline).map_err(|reason| EngineError::Warm { reason, log: log_tail(&dir.join("log")) })?;
    let cache = engine.dir().join(CACHE_DIR);
    let filled = fs::read_dir(&cache).is_ok_and(|mut items| items.next().is_some());
    if filled { Ok(()) } else { Err(EngineError::Warm { reason: "it wrote no compile cache".into(), log: String::new() }) }
}

fn run(engine: &Engine, dir: &Path, deadline: Instant) -> Result<(), String> {
    let socket = dir.join("s");
    let mut group = Group::start(engine, dir, &socket).map_err(|error| format!("cannot start node: {error}"))?;
    let stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(_) => group.tick(deadline, "its socket")?,
        }
    };
    fetch_page(stream, deadline)?;
    group.signal(Signal::USR2);
    while !group.ended() {
        if Instant::now() > deadline {
            return Err("timed out while it wrote its compile cache".into());
        }
        std::thread::sleep(POLL);
    }
    let status = group.end().map_err(|error| format!("cannot wait for node: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("node ended with {status}")) }
}

fn fetch_page(mut stream: UnixStream, deadline: Instant) -> Result<(), String> {
    let mut exchange = || -> io::Result<Vec<u8>> {
        let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
        stream.set_read_timeout(Some(left))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n")?;
        let mut page = Vec::new();
        (&stream).take(MAX_PAGE).read_to_end(&mut page)?;
        Ok(page)
    };
    let page = exchange().map_err(|error| format!("cannot fetch its page: {error}"))?;
    if page.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        let line = page.split(|byte| *byte == b'\r').next().unwrap_or_default();
        Err(format!("its page came with {:?}", String::from_utf8_lossy(line)))
    }
}

/// A process group that is gone when this is.
struct Group {
    child: Child,
    pid: Pid,
    reaped: bool,
}

impl Group {
    fn start(engine: &Engine, dir: &Path, socket: &Path) -> io::Result<Self> {
        let log = File::create(dir.join("log"))?;
        let [user_data, extensions, server_data] = ["user", "extensions", "server"].map(|name| dir.join(name));
        let dirs = ServerDirs { socket, user_data: &user_data, extensions: &extensions, server_data: &server_data };
        let argv = command::argv(engine, &dirs, &ServerOptions::default());
        let user = ServerUser {
            home: dir,
            name: "nobody".as_ref(),
            shell: Path::new("/bin/sh"),
            path: None,
            lang: None,
            timezone: None,
            runtime_dir: Some(dir),
        };
        let child = Command::new(engine.node())
            .args(argv.iter().skip(1))
            .env_clear()
            .envs(command::env_for(engine, &user))
            .env(command::WARM_VARIABLE, "1")
            // Its own sockets go to the temporary directory of whoever adds, which may have a long name.
            .env("TMPDIR", dir)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        Ok(Self { child, pid, reaped: false })
    }

    /// Waits a moment, unless it ended or time is up.
    fn tick(&self, deadline: Instant, what: &str) -> Result<(), String> {
        if self.ended() {
            return Err(format!("it ended before {what} was there"));
        }
        if Instant::now() > deadline {
            return Err(format!("timed out waiting for {what}"));
        }
        std::thread::sleep(POLL);
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // It has not been reaped, so the id is still its own.
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Whether the leader has ended. It is left unreaped so that the group's id cannot become somebody else's.
    fn ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(rustix::process::waitid(WaitId::Pid(self.pid), options), Ok(Some(_)))
    }

    /// Kills what is left of the group and reaps the leader.
    fn end(&mut self) -> io::Result<std::process::ExitStatus> {
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.end();
        }
    }
}

fn log_tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL)..]).trim().to_owned()
}
