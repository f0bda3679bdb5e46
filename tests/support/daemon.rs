//! A daemon in a directory of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::http::{Response, exchange, request};
use super::{DEADLINE, eventually};

pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    dir: tempfile::TempDir,
    log: Arc<Mutex<String>>,
    said: Arc<Mutex<String>>,
}

impl Daemon {
    /// A daemon over `engine`, configured by `config` (TOML).
    pub(crate) fn start(engine: &Path, config: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), engine, config, |_| {})
    }

    /// The same with a last word on the command.
    pub(crate) fn start_with(engine: &Path, config: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), engine, config, adjust)
    }

    /// The same in a directory that an earlier daemon has used.
    pub(crate) fn start_in(dir: tempfile::TempDir, engine: &Path, config: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        Self::launch(dir, engine, config, |command| {
            command.args(["--listen", "127.0.0.1:0", "--auth", "none"]);
            adjust(command);
        })
    }

    /// One that asks for a password.
    pub(crate) fn with_login(engine: &Path, config: &str) -> Self {
        Self::with_login_in(tempfile::tempdir().expect("a directory"), engine, config)
    }

    /// The same in a directory that an earlier daemon has used.
    pub(crate) fn with_login_in(dir: tempfile::TempDir, engine: &Path, config: &str) -> Self {
        Self::launch(dir, engine, config, |command| {
            command.args(["--listen", "127.0.0.1:0"]);
        })
    }

    /// One that is told everything else by `adjust`. The first address that it says is the one that is asked.
    pub(crate) fn launch(dir: tempfile::TempDir, engine: &Path, config: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        let file = dir.path().join("config.toml");
        std::fs::write(&file, config).expect("a configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        command.arg("serve").arg("--data-dir").arg(dir.path().join("data")).arg("--config").arg(&file).arg("--engine").arg(engine);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        adjust(&mut command);
        let mut child = command.spawn().expect("the daemon starts");
        let log = Arc::<Mutex<String>>::default();
        let mut errors = BufReader::new(child.stderr.take().expect("stderr"));
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut line = String::new();
            while errors.read_line(&mut line).is_ok_and(|n| n > 0) {
                sink.lock().expect("log").push_str(&line);
                line.clear();
            }
        });
        let mut out = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let address = line.trim().split_once("://").and_then(|(_, rest)| rest.trim_end_matches('/').parse().ok());
        let Some(address) = address else {
            let _ = child.wait();
            panic!("no URL but {line:?}; log: {}", log.lock().expect("log"));
        };
        // Keep the pipe open: the daemon may print more.
        let said = Arc::new(Mutex::new(line.clone()));
        let sink = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|n| n > 0) {
                sink.lock().expect("said").push_str(&line);
                line.clear();
            }
        });
        Self { child, address, dir, log, said }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// The most memory that it has ever had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub(crate) fn instance_dir(&self, id: &str) -> PathBuf {
        self.data().join("instances").join(id)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the daemon accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[])
    }

    /// A request as curl would send it, on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        request(self.address, method, path, headers, b"")
    }

    /// Begins a GET and leaves the answer to be read, or not.
    pub(crate) fn begin(&self, path: &str) -> BufReader<TcpStream> {
        exchange(self.address, format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes())
    }

    /// The headers that the fake engine saw of a request for its `/headers` at `path`, in order.
    pub(crate) fn seen_headers(&self, path: &str, headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let answer = self.send("GET", path, headers).json();
        let raw: Vec<String> = serde_json::from_value(answer["raw"].clone()).expect("the raw headers");
        raw.chunks(2).map(|pair| (pair[0].to_ascii_lowercase(), pair[1].clone())).collect()
    }

    /// What `…/status` says of an instance.
    pub(crate) fn status(&self, id: &str) -> serde_json::Value {
        self.get(&format!("/i/{id}/api/v1/code/status")).json()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// What it has printed: its addresses, and the password that it made.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("said").clone()
    }

    pub(crate) fn wait_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text).then_some(()));
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        eventually("the daemon ends", || self.child.try_wait().expect("wait"))
    }

    /// Ends it as systemd would, and gives its directory back.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.signal("TERM");
        let status = self.wait_exit();
        assert!(status.success(), "{status}: {}", self.log());
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }

    /// Ends it as nobody should.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }

    /// The processes that belong to an instance, by the mark in their environment.
    pub(crate) fn processes(&self, id: &str) -> Vec<i32> {
        processes_of(&self.instance_dir(id))
    }
}

/// The processes that were started for the instance in `dir`.
pub(crate) fn processes_of(dir: &Path) -> Vec<i32> {
    let marker = format!("HOODY_CODE_INSTANCE_DIR={}", dir.display());
    let table = hoody_code::sys::ProcessTable::read().expect("/proc");
    table
        .members(None, |line| line == marker.as_bytes(), &std::collections::HashSet::new())
        .iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_some() {
            return;
        }
        self.signal("TERM");
        let deadline = std::time::Instant::now() + DEADLINE;
        while self.child.try_wait().ok().flatten().is_none() {
            if std::time::Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}", self.log());
        }
    }
}
