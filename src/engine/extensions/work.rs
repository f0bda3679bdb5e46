//! One job, done inside the instance: by the engine's own command line, in the same directories as the running editor, which
//! watches them and notices. Blocking: whoever calls has a thread for it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::installed::{entries, installed, read_json};
use super::languages;
use crate::model::{AbsolutePath, ExtensionId, ExtensionJob, ExtensionNews, ExtensionSpec, FailureReason};
use crate::sys::{self, DirLock};

/// How long the engine may take for one job: a large extension over a slow line.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How long the next piece of a VSIX may take to come.
const PIECE_DEADLINE: Duration = Duration::from_secs(150);

/// The most bytes of one piece of a VSIX.
const MAX_PIECE: u32 = 1 << 20;

/// The most bytes of a line that are passed on, and the most lines that are kept to tell why something failed.
const MAX_LINE: usize = 400;
const KEPT_LINES: usize = 20;

/// Where an engine keeps its things, and how it is run: taken from the command line of the running one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// node.
    node: PathBuf,
    /// `server-main.js`.
    main: PathBuf,
    extensions: PathBuf,
    user_data: PathBuf,
    server_data: PathBuf,
    /// The whole environment; none means this process's own.
    env: Option<Vec<(OsString, OsString)>>,
}

impl Place {
    /// From the command line of an engine, as [`argv`](super::super::argv) makes it.
    pub fn of(argv: &[OsString], env: Option<Vec<(OsString, OsString)>>) -> Option<Self> {
        let option = |name: &str| {
            let at = argv.iter().position(|argument| argument == name)?;
            argv.get(at + 1).map(PathBuf::from)
        };
        Some(Self {
            node: argv.first()?.into(),
            main: argv.iter().map(Path::new).find(|argument| argument.ends_with("out/server-main.js"))?.to_owned(),
            extensions: option("--extensions-dir")?,
            user_data: option("--user-data-dir")?,
            server_data: option("--server-data-dir")?,
            env,
        })
    }

    /// Where VS Code keeps what it remembers.
    pub(in super::super) fn user_data(&self) -> &Path {
        &self.user_data
    }

    /// Extensions that came with the engine.
    fn built_in(&self) -> PathBuf {
        self.main.ancestors().nth(2).unwrap_or(Path::new("/")).join("extensions")
    }

    /// Where VSIX files are kept while they are installed, and where the lock is.
    fn workshop(&self) -> PathBuf {
        self.user_data.join("hoody-vsix")
    }

    fn command(&self, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(&self.main).args(arguments);
        command.arg("--extensions-dir").arg(&self.extensions).arg("--user-data-dir").arg(&self.user_data);
        command.arg("--server-data-dir").arg(&self.server_data);
        // Telemetry is off in the running editor as well; a deprecation of node's is nobody's concern here.
        command.args(["--telemetry-level", "off", "--disable-telemetry"]).env("NODE_NO_WARNINGS", "1");
        if let Some(env) = &self.env {
            command.env_clear().envs(env.iter().cloned()).env("NODE_NO_WARNINGS", "1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::isolate(&mut command);
        command
    }
}

/// Does `job`, tells of it on `peer`, and ends with it. A peer that has gone away stops nothing that has begun.
pub fn work(place: &Place, job: ExtensionJob, peer: UnixStream) {
    let mut peer = Peer(BufReader::new(peer));
    let news = match place.run(job, &mut peer) {
        Ok(news) => news,
        Err(Failure { reason, message }) => ExtensionNews::Failed { reason, message },
    };
    peer.tell(&news);
}

struct Peer(BufReader<UnixStream>);

impl Peer {
    fn tell(&self, news: &ExtensionNews) {
        if let Ok(mut line) = serde_json::to_vec(news) {
            line.push(b'\n');
            // Whoever asked may have gone; the work goes on.
            let _ = self.0.get_ref().write_all(&line);
        }
    }

    /// Takes the pieces of a file. None when they end before their end.
    fn receive(&mut self, mut into: File) -> io::Result<Option<()>> {
        self.0.get_ref().set_read_timeout(Some(PIECE_DEADLINE))?;
        loop {
            let mut length = [0; 4];
            match self.0.read_exact(&mut length) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            let length = u32::from_be_bytes(length);
            if length == 0 {
                into.flush()?;
                return Ok(Some(()));
            }
            if length > MAX_PIECE || io::copy(&mut self.0.by_ref().take(length.into()), &mut into)? < length.into() {
                return Ok(None);
            }
        }
    }
}

struct Failure {
    reason: FailureReason,
    message: String,
}

impl Failure {
    fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(FailureReason::Other, error.to_string())
    }
}

impl Place {
    fn run(&self, job: ExtensionJob, peer: &mut Peer) -> Result<ExtensionNews, Failure> {
        match job {
            ExtensionJob::List { sizes } => {
                let extensions = installed(&self.extensions, &self.built_in(), sizes)?;
                Ok(ExtensionNews::Listed { extensions })
            }
            ExtensionJob::Install { spec, from } => {
                let _turn = self.turn()?;
                self.install_spec(&spec, from.as_ref(), peer)
            }
            ExtensionJob::InstallFile => {
                let file = self.receive(peer)?;
                let _turn = self.turn()?;
                self.install(file.path().as_os_str(), None, peer)
            }
            ExtensionJob::Preinstall { specs, from } => {
                let _turn = self.turn()?;
                self.preinstall(&specs, from.as_ref(), peer)
            }
            ExtensionJob::Remove { id } => {
                let _turn = self.turn()?;
                self.remove(&id, peer)
            }
        }
    }

    /// One job that changes something at a time: the engine's command line reads the list, changes it and writes it back.
    fn turn(&self) -> io::Result<DirLock> {
        sys::create_private_dir(&self.workshop())?;
        DirLock::take(&self.workshop(), || {})
    }

    /// The VSIX that the peer sends; gone when dropped, however the job ends.
    fn receive(&self, peer: &mut Peer) -> Result<tempfile::NamedTempFile, Failure> {
        sys::create_private_dir(&self.workshop())?;
        self.sweep();
        let file = tempfile::Builder::new().prefix("upload-").suffix(".vsix").tempfile_in(self.workshop())?;
        match peer.receive(file.reopen()?)? {
            Some(()) => Ok(file),
            None => Err(Failure::new(FailureReason::Unusable, "the upload was cut off")),
        }
    }

    /// Removes what a job has left that was killed. The age tells it from one that is under way.
    fn sweep(&self) {
        for entry in fs::read_dir(self.workshop()).into_iter().flatten().flatten() {
            let old = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
            let uploaded = entry.path().extension().is_some_and(|extension| extension == "vsix");
            if uploaded && old.is_some_and(|age| age > DEADLINE + PIECE_DEADLINE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Goes on when one fails, and tells of the first that has.
    fn preinstall(&self, specs: &[ExtensionSpec], from: Option<&AbsolutePath>, peer: &Peer) -> Result<ExtensionNews, Failure> {
        let path = self.workshop().join("preinstalled.json");
        let known = read_json(&path).unwrap_or_default();
        let mut done: Vec<String> = known.as_array().into_iter().flatten().filter_map(|spec| Some(spec.as_str()?.to_owned())).collect();
        let mut failure = None;
        for spec in specs {
            let name = spec.to_string().to_ascii_lowercase();
            if done.contains(&name) {
                continue;
            }
            match self.install_spec(spec, from, peer) {
                Ok(_) => done.push(name),
                Err(e) => failure = failure.or(Some(Failure::new(e.reason, format!("{spec}: {}", e.message)))),
            }
            sys::write_atomic(&path, serde_json::json!(done).to_string().as_bytes())?;
        }
        failure.map_or(Ok(ExtensionNews::Done { id: None, version: None }), Err)
    }

    fn install_spec(&self, spec: &ExtensionSpec, from: Option<&AbsolutePath>, peer: &Peer) -> Result<ExtensionNews, Failure> {
        let Some(directory) = from else { return self.install(OsStr::new(&spec.to_string()), Some(spec), peer) };
        let file = find_in(directory.as_path(), spec)
            .map_err(|e| Failure::new(FailureReason::Other, format!("the directory of extensions cannot be read: {e}")))?
            .ok_or_else(|| Failure::new(FailureReason::NotFound, format!("there is no VSIX of {spec}")))?;
        self.install(file.as_os_str(), Some(spec), peer)
    }

    fn install(&self, what: &OsStr, wanted: Option<&ExtensionSpec>, peer: &Peer) -> Result<ExtensionNews, Failure> {
        let before = entries(&self.extensions)?;
        // Without it the engine keeps an older or a newer version that is there.
        let lines = self.call(&[OsStr::new("--install-extension"), what, OsStr::new("--force")], peer)?;
        let after = entries(&self.extensions)?;
        let is_new =
            |stamp: u64, id: &str, version: &str| !before.iter().any(|old| old.stamp == stamp && old.id == id && old.version == version);
        let found = match wanted {
            Some(spec) => after.iter().find(|entry| entry.id.eq_ignore_ascii_case(spec.id.as_str())),
            None => after.iter().filter(|entry| entry.from_file).find(|entry| is_new(entry.stamp, &entry.id, &entry.version)),
        };
        let Some(entry) = found else {
            // The engine's own answer to one that came with it: nothing to do. And to a gallery that sends another than asked for.
            return match wanted {
                Some(spec) if self.is_built_in(&spec.id) => Ok(ExtensionNews::Done { id: Some(spec.id.to_string()), version: None }),
                _ => Err(Failure::new(FailureReason::Unusable, last_words(&lines))),
            };
        };
        languages::refresh(&self.extensions, &self.user_data)?;
        Ok(ExtensionNews::Done { id: Some(entry.id.clone()), version: Some(entry.version.clone()) })
    }

    fn is_built_in(&self, id: &ExtensionId) -> bool {
        installed(Path::new("/nonexistent"), &self.built_in(), false).is_ok_and(|all| all.iter().any(|one| one.id == *id))
    }

    fn remove(&self, id: &ExtensionId, peer: &Peer) -> Result<ExtensionNews, Failure> {
        // As the list has it: upper and lower case mean the same, but not to everybody.
        let find = || Ok::<_, Failure>(entries(&self.extensions)?.into_iter().find(|entry| entry.id.eq_ignore_ascii_case(id.as_str())));
        let Some(entry) = find()? else {
            return Err(if self.is_built_in(id) {
                Failure::new(FailureReason::BuiltIn, format!("{id} belongs to the editor"))
            } else {
                Failure::new(FailureReason::NotFound, format!("{id} is not installed"))
            });
        };
        let lines = self.call(&[OsStr::new("--uninstall-extension"), OsStr::new(&entry.id)], peer)?;
        if find()?.is_some() {
            return Err(Failure::new(FailureReason::Other, last_words(&lines)));
        }
        languages::refresh(&self.extensions, &self.user_data)?;
        Ok(ExtensionNews::Done { id: Some(entry.id), version: None })
    }

    /// Runs the engine's command line and passes on what it says. Gives its lines.
    fn call(&self, arguments: &[&OsStr], peer: &Peer) -> Result<Vec<String>, Failure> {
        let mut child = self.command(arguments).spawn()?;
        let lines = follow(&mut child, peer);
        let status = child.wait()?;
        let Some(lines) = lines else { return Err(Failure::new(FailureReason::Other, "it took too long")) };
        if status.success() { Ok(lines) } else { Err(Failure::new(reason(&lines), last_words(&lines))) }
    }
}

/// Passes on the lines of `child` until it ends. One that takes too long is killed, with all that it has started; then none.
fn follow(child: &mut Child, peer: &Peer) -> Option<Vec<String>> {
    let (sender, lines) = channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|p| Box::new(p) as _), child.stderr.take().map(|p| Box::new(p) as _)];
    for pipe in pipes.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.by_ref().take(16 << 10).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(MAX_LINE).collect();
                line.clear();
                if !text.is_empty() && sender.send(text).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let end = Instant::now() + DEADLINE;
    let mut kept: Vec<String> = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                peer.tell(&ExtensionNews::Line { text: text.clone() });
                if kept.len() == KEPT_LINES {
                    kept.remove(0);
                }
                kept.push(text);
            }
            Err(RecvTimeoutError::Disconnected) => return Some(kept),
            Err(RecvTimeoutError::Timeout) => {
                let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
                if let Some(group) = group {
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                return None;
            }
        }
    }
}

/// What the engine's words mean; they are the same for every gallery.
fn reason(lines: &[String]) -> FailureReason {
    let said = |words: &str| lines.iter().any(|line| line.contains(words));
    if said("' not found.") || said("Can't find") {
        FailureReason::NotFound
    } else if said("Invalid vsix")
        || said("not a zip file")
        || said("code: 'Extract'")
        || said("package.json")
        || said("not compatible")
        || said("Cannot uninstall")
    {
        FailureReason::Unusable
    } else {
        FailureReason::Other
    }
}

/// The line that says most: not a stack, and not that something failed, but why.
fn last_words(lines: &[String]) -> String {
    let telling = |line: &&String| {
        !line.starts_with([' ', '\t', '}', '{'])
            && !line.starts_with("Failed Installing")
            && !line.starts_with("Make sure")
            && !line.starts_with("Installing extension")
    };
    let line = lines.iter().rev().find(telling).or(lines.last());
    line.map_or("the editor did not say why", |line| line.trim_start_matches("Error: ")).trim_end_matches('.').to_owned()
}

/// The VSIX of `spec` in `directory`: `PUBLISHER.NAME-VERSION.vsix`, the highest version when none is asked for.
fn find_in(directory: &Path, spec: &ExtensionSpec) -> io::Result<Option<PathBuf>> {
    let id = spec.id.key();
    let mut best: Option<(Vec<u64>, PathBuf)> = None;
    for entry in fs::read_dir(directory)?.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        let version = name.strip_suffix(".vsix").and_then(|name| name.strip_prefix(&id)?.strip_prefix('-')).map(str::to_owned);
        let Some(version) = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit())) else { continue };
        match &spec.version {
            Some(wanted) if *wanted == version => return Ok(Some(path)),
            Some(_) => {}
            None => {
                let number = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0)).collect();
                if best.as_ref().is_none_or(|(highest, _)| *highest < number) {
                    best = Some((number, path));
                }
            }
        }
    }
    Ok(best.map(|(_, path)| path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
