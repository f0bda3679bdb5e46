//! How an instance comes to run. The trait is the border behind which the production launcher (transient units, asked for
//! through the broker) and the embedded one (plain children) look the same; nothing above it knows which one is there.

mod error;
mod process;
mod systemd;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::{AbsolutePath, DiskAnswer, DiskJob, DiskUse, EndCause, ExtensionJob, InstanceId, Port, Usage};
use crate::sys::Stream;

pub use error::LaunchError;
pub use process::{ProcessLauncher, ProcessOptions};
pub use systemd::SystemdLauncher;

/// Starts, ends and reaches instances.
pub trait Launcher: Send + Sync + 'static {
    /// Spawns the engine of `id`. Comes back when it was spawned; whether it answers is the caller's to find out.
    ///
    /// # Errors
    /// When it cannot even be spawned.
    fn launch(&self, id: &InstanceId) -> BoxFuture<'_, Result<Launched, LaunchError>>;

    /// Ends everything that belongs to `id`. Comes back when nothing of it runs any more; nothing running is fine.
    ///
    /// # Errors
    /// When something of it will not end.
    fn stop(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// What is at `path` as the instance itself sees its files.
    ///
    /// # Errors
    /// When nobody can tell, for example because the file system does not answer.
    fn look(&self, id: &InstanceId, path: &AbsolutePath) -> BoxFuture<'_, io::Result<PathKind>>;

    /// What an earlier daemon has left: instances that run, and those that ended with nobody there to see it.
    ///
    /// # Errors
    /// When nobody can tell.
    fn adopt(&self) -> BoxFuture<'_, Result<Vec<(InstanceId, Left)>, LaunchError>>;

    /// All instances that have something: a process, files, an account.
    ///
    /// # Errors
    /// When nobody can tell.
    fn inventory(&self) -> BoxFuture<'_, Result<Vec<Known>, LaunchError>>;

    /// Forgets an instance that does not run; with `purge`, deletes its files.
    ///
    /// # Errors
    /// When it runs, when there is no such instance, or with what could not be deleted.
    fn remove(&self, id: &InstanceId, purge: bool) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// Where the files of `id` are, for people.
    fn files(&self, id: &InstanceId) -> PathBuf;

    /// Does a job on the files of an instance. Where it runs and must not, that is an error.
    ///
    /// # Errors
    /// When this launcher can do no such thing, or with what stands in the way.
    fn disk(&self, _id: &InstanceId, _job: DiskJob) -> BoxFuture<'_, Result<DiskAnswer, LaunchError>> {
        Box::pin(async { Err(LaunchError::Unsupported("snapshots and templates")) })
    }

    /// The configuration was read again: whoever keeps a copy reads it too.
    fn reload(&self) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// Gives `id` less of the processors and disks than others when they are short. Waits for no job on its files.
    ///
    /// # Errors
    /// When it does not work, or something else is being done to it.
    fn lower(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// Makes its processes stand still. Waits for no job on its files.
    ///
    /// # Errors
    /// When some of them may still run, or something else is being done to it.
    fn freeze(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// Lets processes go on that stood still; fine when they do not.
    ///
    /// # Errors
    /// When they may still stand still.
    fn thaw(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// Gives `id` its own share of the processors and disks back.
    ///
    /// # Errors
    /// When it does not work.
    fn raise(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// Whether processes can be made to stand still here.
    fn freezes(&self) -> bool;

    /// Pushes memory of `id` that nobody needs at the moment out of RAM, up to so many bytes, where that can be done.
    ///
    /// # Errors
    /// When it does not work.
    fn trim(&self, id: &InstanceId, bytes: u64) -> BoxFuture<'_, Result<(), LaunchError>>;

    /// The share of the last ten seconds, in percent, in which something has waited for memory that is short: on this host, or among the
    /// instances. None when nobody counts.
    fn memory_pressure(&self) -> Option<f32>;

    /// Whether instances go on when the daemon ends.
    fn outlives_daemon(&self) -> bool;

    /// Whether [`Self::look`] can tell without a running instance.
    fn sees_files_at_rest(&self) -> bool;
}

/// What is known of an instance that has something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub id: InstanceId,
    /// Its user, where it has one of its own.
    pub uid: Option<u32>,
    /// Its class, where there are classes.
    pub class: Option<String>,
    /// The engine it runs, or ran last.
    pub engine: Option<String>,
    /// Since when it runs; none when it does not, or when nobody has counted.
    pub since: Option<std::time::SystemTime>,
}

/// An instance that an earlier daemon has left.
#[derive(Debug)]
pub enum Left {
    /// It runs.
    Running {
        /// The way to it.
        launched: Launched,
        /// Whether its processes stand still.
        frozen: bool,
    },
    /// It has ended.
    Ended(EndCause),
    /// It is on its way up or down: to be asked again.
    Changing,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A directory, also through a link.
    Directory,
    /// Anything else.
    File,
    /// Nothing, or nothing the instance may see.
    Missing,
    /// Nobody can tell before the instance runs.
    Unknown,
}

/// An engine that was spawned.
pub struct Launched {
    /// How to reach it.
    pub connector: Arc<dyn Connector>,
    /// Resolves when it has ended, for whatever reason, and what it left behind was ended too.
    pub exit: BoxFuture<'static, Exit>,
}

/// How an engine ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Why.
    pub cause: EndCause,
    /// Its last lines of output, oldest first, for its owner.
    pub log: Vec<String>,
}

/// Ways into a running instance.
pub trait Connector: Send + Sync + 'static {
    /// Connects to the engine's socket.
    fn engine(&self) -> BoxFuture<'_, io::Result<Stream>>;

    /// Connects to `port` on the instance's own loopback, IPv4 or IPv6. Whoever answers there is of this instance.
    ///
    /// # Errors
    /// `PermissionDenied` when what listens there is not the instance's; anything else means that nobody answers.
    fn port(&self, port: Port) -> BoxFuture<'_, io::Result<Stream>>;

    /// Begins a job on the instance's extensions, inside it. What comes out is
    /// [`ExtensionNews`](crate::model::ExtensionNews), a line each; what is hung up on goes on.
    fn extensions(&self, job: ExtensionJob) -> BoxFuture<'_, io::Result<Stream>>;

    /// Has VS Code remember the workspace file at `path`, whose number is `key`, as it is now; see
    /// [`remember`](crate::engine::workspace::remember).
    ///
    /// # Errors
    /// When that cannot be done, or takes long.
    fn remember_workspace(&self, path: AbsolutePath, key: i32) -> BoxFuture<'_, io::Result<()>>;

    /// What it uses at this moment, and how much of that is the user's.
    ///
    /// # Errors
    /// When nobody can tell.
    fn usage(&self) -> BoxFuture<'_, io::Result<Usage>>;

    /// What its files take on the disk. May take half a minute; one at a time.
    ///
    /// # Errors
    /// When nobody can tell, or it is being counted already.
    fn disk(&self) -> BoxFuture<'_, io::Result<DiskUse>>;

    /// The last lines that it has printed, oldest first: text of whoever uses the instance.
    ///
    /// # Errors
    /// When nobody can tell, as where nobody keeps them.
    fn log(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// `usage` with what the kernel counts at this moment. Asks nothing of the instance, which may stand still.
    fn recount(&self, usage: Usage) -> Usage {
        usage
    }
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launched").finish_non_exhaustive()
    }
}
