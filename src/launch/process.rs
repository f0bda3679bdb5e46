//! The embedded launcher: instances are plain children of this process, each in a session of its own. No root, no systemd.
//!
//! Every instance has a directory `instances/ID` (0700) with `user-data`, `extensions` and `run/vscode.sock`. The children run as
//! the same user as the daemon and share its files and network; what keeps tenants apart is the other launcher's business.

mod belonging;
mod output;
mod ports;
mod spawner;
mod usage;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{Connector, Exit, Known, LaunchError, Launched, Launcher, Left, PathKind};
use crate::engine::extensions::{Place, work};
use crate::engine::workspace::remember;
use crate::engine::{self, Engine, ServerDirs, ServerOptions};
use crate::model::{AbsolutePath, DiskUse, EndCause, ExtensionJob, Gallery, InstanceId, Port, Usage};
use crate::sys::{self, Dir, Pid, Stream, TreeLimits, TreeMeter};
use belonging::{Belonging, end_all};
use output::{Lines, OutputTail};
use ports::OwnPorts;
use spawner::Spawner;
use usage::{Members, tag_of};

/// The environment variable by which every process of an instance is known, however far it detached itself. One that has written
/// over its environment has its tag still.
const MARKER: &str = "HOODY_CODE_INSTANCE_DIR";

/// The name of the engine's socket in `run`.
const SOCKET: &str = "vscode.sock";

/// The most bytes of a unix socket's address (unix(7): 108 with the closing NUL).
const MAX_SOCKET_PATH: usize = 107;

/// How long the file system may take to say what is at a path: a dead network mount never does.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// What the embedded launcher needs to know.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// The engine to run.
    pub engine: Engine,
    /// Holds a directory per instance.
    pub instances_dir: PathBuf,
    /// What the engine is told.
    pub server: ServerOptions,
    /// Where extensions come from.
    pub gallery: Gallery,
}

/// The embedded launcher.
pub struct ProcessLauncher {
    options: ProcessOptions,
    spawner: Spawner,
    /// The main process of each instance that was launched and has not been reaped.
    running: Arc<Mutex<std::collections::HashMap<InstanceId, (Pid, SystemTime)>>>,
    members: Arc<Members>,
}

impl ProcessLauncher {
    /// Takes over `instances_dir`: makes it, and ends what an earlier daemon that was killed has left running there.
    ///
    /// # Errors
    /// When the directory cannot be made or leftovers do not end.
    pub async fn new(options: ProcessOptions) -> Result<Self, LaunchError> {
        let prepare = |source| LaunchError::Prepare { path: options.instances_dir.clone(), source };
        sys::create_private_dir(&options.instances_dir).map_err(prepare)?;
        end_all(Belonging::Below(options.instances_dir.clone())).await?;
        let spawner = Spawner::start(tokio::runtime::Handle::current()).map_err(prepare)?;
        Ok(Self { options, spawner, running: Arc::default(), members: Arc::default() })
    }

    fn directory(&self, id: &InstanceId) -> PathBuf {
        self.options.instances_dir.join(id.as_str())
    }

    async fn launch_now(&self, id: InstanceId) -> Result<Launched, LaunchError> {
        let dir = self.directory(&id);
        let run = dir.join("run");
        prepare_directories(&dir)?;
        let prepare = |source| LaunchError::Prepare { path: run.clone(), source };
        match std::fs::remove_file(run.join(SOCKET)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(prepare(e)),
            _ => {}
        }
        let run_dir = Dir::open(&run).map_err(prepare)?;
        let command = self.command(&dir, &run);
        let place = place(&command);
        let program = PathBuf::from(command.get_program());
        let spawned = self.spawner.spawn(command).await.ok_or(LaunchError::Closed)?;
        let mut child = spawned.map_err(|source| LaunchError::Spawn { program, source })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            lock(&self.running).insert(id.clone(), (pid, SystemTime::now()));
        }
        let ports = OwnPorts::of(Belonging::Instance(pid, dir.clone()));
        let main = Main { pid, dir: dir.clone(), members: Arc::clone(&self.members) };
        let tail = OutputTail::follow(&id, child.stdout.take(), child.stderr.take());
        let connector = Arc::new(ProcessConnector { run: run_dir, ports, place, main, meter: Arc::default(), lines: tail.lines() });
        let running = Arc::clone(&self.running);
        let exit = async move {
            let status = child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string());
            if let Err(e) = end_all(Belonging::Instance(pid, dir)).await {
                tracing::error!(instance = %id, "{e}");
            }
            lock(&running).remove(&id);
            let log = tail.finish().await;
            Exit { cause: EndCause::Crashed { status }, log }
        };
        Ok(Launched { connector, exit: Box::pin(exit) })
    }

    fn command(&self, dir: &Path, run: &Path) -> std::process::Command {
        let socket = run.join(SOCKET);
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        // A deep data directory does not fit into a socket's address: then the child, whose working directory is `run`, binds a
        // relative one.
        let fits = socket.as_os_str().len() <= MAX_SOCKET_PATH;
        let (socket, cwd) = if fits { (socket, home) } else { (PathBuf::from(SOCKET), run.to_owned()) };
        let dirs = ServerDirs {
            socket: &socket,
            user_data: &dir.join("user-data"),
            extensions: &dir.join("extensions"),
            server_data: &dir.join("user-data"),
        };
        let argv = engine::argv(&self.options.engine, &dirs, &self.options.server);
        let mut command = std::process::Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().envs(engine::env(&self.options.engine)).envs(self.options.gallery.env());
        command.env(MARKER, dir).current_dir(cwd);
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        sys::isolate(&mut command);
        sys::tag(&mut command, tag_of(dir));
        self.members.note(dir);
        command
    }
}

impl Launcher for ProcessLauncher {
    fn launch(&self, id: &InstanceId) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        Box::pin(self.launch_now(id.clone()))
    }

    fn stop(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let pid = lock(&self.running).get(id).map(|(pid, _)| *pid);
        Box::pin(end_all(Belonging::Instance(pid, self.directory(id))))
    }

    fn look(&self, _id: &InstanceId, path: &AbsolutePath) -> BoxFuture<'_, io::Result<PathKind>> {
        let path = path.as_path().to_owned();
        Box::pin(async move {
            let found = timeout(LOOK_DEADLINE, tokio::fs::metadata(path)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            match found {
                Ok(meta) if meta.is_dir() => Ok(PathKind::Directory),
                Ok(_) => Ok(PathKind::File),
                Err(e) if is_absence(&e) => Ok(PathKind::Missing),
                Err(e) => Err(e),
            }
        })
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<(InstanceId, Left)>, LaunchError>> {
        // Children do not outlive their daemon; what one that was killed has left was ended when this one came up.
        Box::pin(async { Ok(Vec::new()) })
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Vec<Known>, LaunchError>> {
        let dir = self.options.instances_dir.clone();
        let engine = self.options.engine.id().to_owned();
        Box::pin(async move {
            let listing = tokio::task::spawn_blocking(move || inventory(&dir, &engine));
            let mut known = listing.await.map_err(io::Error::other).and_then(|listed| listed).map_err(LaunchError::Look)?;
            let running = lock(&self.running);
            for one in &mut known {
                one.since = running.get(&one.id).map(|(_, since)| *since);
            }
            Ok(known)
        })
    }

    fn remove(&self, id: &InstanceId, purge: bool) -> BoxFuture<'_, Result<(), LaunchError>> {
        let dir = self.directory(id);
        Box::pin(async move {
            if !dir.is_dir() {
                return Err(LaunchError::NotRunning);
            }
            if purge {
                let path = dir.clone();
                let deleted = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await.map_err(io::Error::other);
                return deleted.and_then(|deleted| deleted).map_err(|source| LaunchError::Delete { path: dir, source });
            }
            Ok(())
        })
    }

    fn files(&self, id: &InstanceId) -> PathBuf {
        self.directory(id)
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }

    fn lower(&self, _id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }

    fn freeze(&self, _id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Err(LaunchError::Unsupported("processes that stand still")) })
    }

    fn thaw(&self, _id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }

    fn raise(&self, _id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }

    fn freezes(&self) -> bool {
        false
    }

    fn trim(&self, _id: &InstanceId, _bytes: u64) -> BoxFuture<'_, Result<(), LaunchError>> {
        // Without a control group of its own there is nothing to ask the kernel for.
        Box::pin(async { Ok(()) })
    }

    fn memory_pressure(&self) -> Option<f32> {
        sys::memory_pressure(Path::new("/proc/pressure/memory"))
    }

    fn outlives_daemon(&self) -> bool {
        false
    }

    fn sees_files_at_rest(&self) -> bool {
        true
    }
}

fn inventory(dir: &Path, engine: &str) -> io::Result<Vec<Known>> {
    let names = std::fs::read_dir(dir)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let known = |id| Known { id, uid: None, class: None, engine: Some(engine.to_owned()), since: None };
    Ok(names.filter_map(|name| name.parse().ok()).map(known).collect())
}

/// Whether an error means that nothing is there for this user, rather than that nobody can tell.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidFilename
    ) || error.raw_os_error() == Some(libc::ELOOP)
}

struct ProcessConnector {
    run: Dir,
    ports: OwnPorts,
    /// None when the engine's command line is not what we know.
    place: Option<Place>,
    main: Main,
    meter: Arc<TreeMeter>,
    lines: Lines,
}

/// What is needed to look at all processes of an instance.
struct Main {
    pid: Option<Pid>,
    dir: PathBuf,
    members: Arc<Members>,
}

/// Where the engine's own command line finds what the engine does, marked as a process of the same instance.
fn place(engine: &std::process::Command) -> Option<Place> {
    let argv: Vec<_> = std::iter::once(engine.get_program()).chain(engine.get_args()).map(Into::into).collect();
    let env = engine.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    Place::of(&argv, Some(env))
}

impl Connector for ProcessConnector {
    fn engine(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.run.connect(SOCKET))
    }

    fn port(&self, port: Port) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.ports.connect(port))
    }

    fn extensions(&self, job: ExtensionJob) -> BoxFuture<'_, io::Result<Stream>> {
        let place = self.place.clone();
        Box::pin(async move {
            let place = place.ok_or(io::ErrorKind::Unsupported)?;
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            // The thread lives as long as the child that it waits for: the kernel takes its end for the parent's.
            std::thread::Builder::new().name("extensions".to_owned()).spawn(move || work(&place, job, theirs))?;
            Stream::from_fd(ours.into())
        })
    }

    fn remember_workspace(&self, path: AbsolutePath, key: i32) -> BoxFuture<'_, io::Result<()>> {
        let place = self.place.clone();
        let work = move || remember(&place.ok_or(io::ErrorKind::Unsupported)?, &path, key);
        Box::pin(async { timeout(LOOK_DEADLINE, tokio::task::spawn_blocking(work)).await?.map_err(io::Error::other)? })
    }

    fn usage(&self) -> BoxFuture<'_, io::Result<Usage>> {
        let (members, dir, pid) = (Arc::clone(&self.main.members), self.main.dir.clone(), self.main.pid);
        // Aside: on a busy host this is thousands of small files.
        let counting = tokio::task::spawn_blocking(move || members.usage(&dir, pid));
        Box::pin(async move { counting.await.map_err(io::Error::other)? })
    }

    fn disk(&self) -> BoxFuture<'_, io::Result<DiskUse>> {
        let (meter, dir) = (Arc::clone(&self.meter), self.main.dir.clone());
        let counting = tokio::task::spawn_blocking(move || meter.measure(&dir, &TreeLimits::USUAL));
        Box::pin(async move {
            let (bytes, complete) = counting.await.map_err(io::Error::other)??;
            Ok(DiskUse { bytes, complete })
        })
    }

    fn log(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        Box::pin(async { Ok(self.lines.now()) })
    }
}

fn prepare_directories(dir: &Path) -> Result<(), LaunchError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LaunchError::Prepare { path, source }
    };
    let user_data = dir.join("user-data");
    for path in
        [dir.to_owned(), user_data.clone(), user_data.join("User"), user_data.join("Machine"), dir.join("extensions"), dir.join("run")]
    {
        sys::create_private_dir(&path).map_err(failed(&path))?;
    }
    let extensions = dir.join("extensions");
    engine::seed_extensions(&extensions).map_err(failed(&extensions))?;
    for (name, content) in engine::seed_files() {
        let path = dir.join("user-data").join(name);
        if !path.exists() {
            sys::write_atomic(&path, content.as_bytes()).map_err(failed(&path))?;
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
