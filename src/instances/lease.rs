//! The right to use a running instance.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::instance::{Instance, Status};
use super::machine::Event;
use crate::launch::Connector;
use crate::model::{AbsolutePath, ExtensionJob, InstanceId, InstanceState, Port};
use crate::sys::Stream;

/// While it is held the instance counts as used; the last one dropped starts the idle clock.
pub struct Lease {
    instance: Arc<Instance>,
    generation: u64,
    connector: Arc<dyn Connector>,
}

impl Lease {
    pub(super) fn new(instance: Arc<Instance>, generation: u64, connector: Arc<dyn Connector>) -> Self {
        Self { instance, generation, connector }
    }

    /// One more on the same run, for whoever needs it longer.
    #[must_use]
    pub fn another(&self) -> Self {
        self.instance.tell(Event::LeaseTaken);
        Self::new(Arc::clone(&self.instance), self.generation, Arc::clone(&self.connector))
    }

    /// Which instance.
    pub fn id(&self) -> &InstanceId {
        &self.instance.id
    }

    /// Which run of it: connections of an earlier run are of no use for a later one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Waits until its run is known to have ended, for `patience` at most; whether it has.
    pub async fn ended(&self, patience: Duration) -> bool {
        let mut follow = self.instance.follow();
        let over = |status: &Status| status.generation != self.generation || status.state != InstanceState::Running;
        tokio::time::timeout(patience, follow.wait_for(over)).await.is_ok_and(|status| status.is_ok())
    }

    /// A way to connect to its engine, good without the lease for as long as this run lasts; it holds nothing of the run.
    pub fn connect_engine(&self) -> impl Fn() -> BoxFuture<'static, io::Result<Stream>> + Send + Sync + use<> {
        let connector = Arc::downgrade(&self.connector);
        move || {
            let connector = connector.upgrade();
            Box::pin(async move { connector.ok_or(io::ErrorKind::NotConnected)?.engine().await })
        }
    }

    /// Begins a job on the instance's extensions; see [`Connector::extensions`].
    ///
    /// # Errors
    /// When the instance cannot be reached.
    pub async fn extensions(&self, job: ExtensionJob) -> io::Result<Stream> {
        self.connector.extensions(job).await
    }

    /// Has VS Code remember a workspace file as it is now; see [`Connector::remember_workspace`].
    ///
    /// # Errors
    /// When that cannot be done, or takes long.
    pub async fn remember_workspace(&self, path: AbsolutePath, key: i32) -> io::Result<()> {
        self.connector.remember_workspace(path, key).await
    }

    /// A way to connect to `port` on its loopback, good as [`Self::connect_engine`]'s is.
    pub fn connect_port(&self, port: Port) -> impl Fn() -> BoxFuture<'static, io::Result<Stream>> + Send + Sync + use<> {
        let connector = Arc::downgrade(&self.connector);
        move || {
            let connector = connector.upgrade();
            Box::pin(async move { connector.ok_or(io::ErrorKind::NotConnected)?.port(port).await })
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.instance.tell(Event::LeaseDropped);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.instance.id).field("generation", &self.generation).finish_non_exhaustive()
    }
}
