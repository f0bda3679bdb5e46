//! All instances, and the way to a lease on one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::drain::DrainState;
use super::error::AcquireError;
use super::lease::Lease;
use super::machine::{Action, Event, Machine};
use super::starter;
use crate::launch::{Connector, LaunchError, Launcher, PathKind};
use crate::model::{AbsolutePath, FailureCause, InstanceId, InstanceState};

/// What the registry needs to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most instances that run or start at the same time.
    pub max_running: usize,
    /// The most starts in flight. Read once, at the start of the daemon.
    pub max_starting: usize,
    /// The time an engine has to answer after it was launched.
    pub start_timeout: Duration,
}

/// How many instances are remembered before those at rest are forgotten; a forgotten one is as good as a stopped one.
const MOST_REMEMBERED: usize = 4096;

/// How long a stop is waited for, after the launcher has asked, waited and killed.
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// All instances. Cheap to clone.
#[derive(Clone)]
pub struct Instances(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) launcher: Arc<dyn Launcher>,
    pub(super) settings: RwLock<Settings>,
    table: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    /// How many hold a place among the running ones.
    pub(super) active: AtomicUsize,
    pub(super) starting: Semaphore,
    pub(super) tasks: TaskTracker,
    closing: AtomicBool,
    pub(super) drain: DrainState,
}

/// One instance: its machine, and a channel on which everybody can follow it.
pub(super) struct Instance {
    pub(super) id: InstanceId,
    cell: Mutex<Cell>,
    status: watch::Sender<Status>,
}

pub(super) struct Cell {
    pub(super) machine: Machine,
    pub(super) connector: Option<Arc<dyn Connector>>,
}

/// What can be said of an instance at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: InstanceState,
    /// Which start this is, counted from 1; 0 before the first.
    pub generation: u64,
    /// The last lines of the engine that failed, for the instance's owner.
    pub log: Vec<String>,
}

/// What [`Instances::begin`] found or did.
#[derive(Debug)]
pub enum Begun {
    /// It runs.
    Running(Lease),
    /// A start is under way, perhaps begun just now.
    Starting,
}

impl Instances {
    /// An empty registry over `launcher`.
    pub fn new(launcher: Arc<dyn Launcher>, settings: Settings) -> Self {
        let starting = Semaphore::new(settings.max_starting);
        Self(Arc::new(Shared {
            launcher,
            settings: RwLock::new(settings),
            table: Mutex::default(),
            active: AtomicUsize::new(0),
            starting,
            tasks: TaskTracker::new(),
            closing: AtomicBool::new(false),
            drain: DrainState::default(),
        }))
    }

    /// Tells the launcher that the configuration was read again.
    ///
    /// # Errors
    /// When it cannot use it.
    pub async fn reload(&self) -> Result<(), LaunchError> {
        self.0.launcher.reload().await
    }

    /// Whether [`Self::look`] can tell what files the instance has.
    pub fn sees_files(&self, id: &InstanceId) -> bool {
        self.0.launcher.sees_files_at_rest() || self.known(id).is_some_and(|instance| instance.status().state == InstanceState::Running)
    }

    /// Uses other settings from now on. Instances that run already go on.
    pub fn configure(&self, settings: Settings) {
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// A lease, if the instance runs; otherwise makes sure that a start is under way. Never waits.
    ///
    /// # Errors
    /// When there is no room, when the last start failed a moment ago, when the host is being emptied, or when we are going down.
    pub fn begin(&self, id: &InstanceId) -> Result<Begun, AcquireError> {
        let instance = self.instance(id);
        self.want(&instance)?;
        match instance.lease() {
            Some(lease) => Ok(Begun::Running(lease)),
            None => match instance.status() {
                Status { state: InstanceState::Failed { cause }, log, .. } => Err(AcquireError::Failed { cause, log }),
                _ => Ok(Begun::Starting),
            },
        }
    }

    /// A lease, if the instance runs. Starts nothing.
    pub fn running(&self, id: &InstanceId) -> Option<Lease> {
        self.known(id)?.lease()
    }

    /// A lease, as soon as the instance runs. The start goes on when the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Self::begin`]; also when it is not running after `patience`.
    pub async fn acquire(&self, id: &InstanceId, patience: Duration) -> Result<Lease, AcquireError> {
        let mut follow = match self.begin(id)? {
            Begun::Running(lease) => return Ok(lease),
            Begun::Starting => self.follow(id),
        };
        let instance = self.instance(id);
        let waiting = async {
            loop {
                let status = follow.borrow_and_update().clone();
                match status.state {
                    InstanceState::Running => {
                        if let Some(lease) = instance.lease() {
                            return Ok(lease);
                        }
                    }
                    InstanceState::Failed { cause } => return Err(AcquireError::Failed { cause, log: status.log }),
                    // Somebody stopped it while we waited: that was meant.
                    InstanceState::Stopped => return Err(AcquireError::Starting { waited: Duration::ZERO }),
                    InstanceState::Starting { .. } | InstanceState::Stopping => {}
                }
                if follow.changed().await.is_err() {
                    return Err(AcquireError::ShuttingDown);
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or(Err(AcquireError::Starting { waited: patience }))
    }

    /// Follows an instance's status without using it: no lease, no start.
    pub fn follow(&self, id: &InstanceId) -> watch::Receiver<Status> {
        self.instance(id).status.subscribe()
    }

    /// Its status now, the number of leases on it, and how long it has had none.
    pub fn status(&self, id: &InstanceId) -> (Status, usize, Option<Duration>) {
        let Some(instance) = self.known(id) else { return (Status::initial(), 0, None) };
        let cell = instance.cell();
        (instance.status(), cell.machine.leases(), cell.machine.idle_for(Instant::now()))
    }

    /// How many instances are in each state, by the state's name.
    pub fn census(&self) -> std::collections::BTreeMap<&'static str, usize> {
        let mut census: std::collections::BTreeMap<_, _> =
            ["stopped", "starting", "running", "stopping", "failed"].into_iter().map(|name| (name, 0)).collect();
        for instance in self.table().values() {
            *census.entry(instance.status.borrow().state.name()).or_default() += 1;
        }
        census
    }

    /// How many could not be started when they were wanted last. A crash in mid-run does not count: the next request mends it.
    pub fn unstartable(&self) -> usize {
        let failed_start = |state: &InstanceState| match state {
            InstanceState::Failed { cause } => !matches!(cause, FailureCause::Crashed { .. }),
            _ => false,
        };
        self.table().values().filter(|instance| failed_start(&instance.status.borrow().state)).count()
    }

    /// The most instances that may run at the same time.
    pub fn limit(&self) -> usize {
        self.0.settings.read().unwrap_or_else(PoisonError::into_inner).max_running
    }

    /// What is at `path` as the instance sees it.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn look(&self, id: &InstanceId, path: &AbsolutePath) -> std::io::Result<PathKind> {
        self.0.launcher.look(id, path).await
    }

    /// Stops an instance; comes back when nothing of it runs.
    pub async fn stop(&self, id: &InstanceId) {
        if let Some(instance) = self.known(id) {
            self.stop_by(&instance, Event::StopWanted).await;
        }
    }

    pub(super) async fn stop_by(&self, instance: &Instance, event: Event) {
        let mut follow = instance.status.subscribe();
        instance.tell(event);
        self.0.stop_if_stopping(instance).await;
        // The launcher has done what it can; what still does not end is stuck in the kernel.
        if tokio::time::timeout(STOP_DEADLINE, follow.wait_for(|status| status.state.is_at_rest())).await.is_err() {
            tracing::error!(instance = %instance.id, "instance does not end");
        }
    }

    /// Whether instances go on when the daemon ends.
    pub fn outlive_daemon(&self) -> bool {
        self.0.launcher.outlives_daemon()
    }

    /// Takes no more requests, and stops everything that would not outlive us. Comes back when that has ended.
    pub async fn shut_down(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        if self.outlive_daemon() {
            return;
        }
        let all: Vec<InstanceId> = self.table().keys().cloned().collect();
        futures_util::future::join_all(all.iter().map(|id| self.stop(id))).await;
        self.0.tasks.close();
        if tokio::time::timeout(STOP_DEADLINE, self.0.tasks.wait()).await.is_err() {
            tracing::error!("{} instances do not end", self.0.tasks.len());
        }
    }

    pub(super) fn table(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Arc<Instance>>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.table().get(id).cloned()
    }

    pub(super) fn instance(&self, id: &InstanceId) -> Arc<Instance> {
        let mut table = self.table();
        if table.len() >= MOST_REMEMBERED && !table.contains_key(id) {
            // Somebody asks for one made-up name after the other: forget those that nothing runs of and nobody looks at.
            table.retain(|_, known| {
                Arc::strong_count(known) > 1 || known.status.receiver_count() > 0 || !known.status.borrow().state.is_at_rest()
            });
        }
        Arc::clone(table.entry(id.clone()).or_insert_with(|| Arc::new(Instance::new(id.clone(), Machine::new(Instant::now())))))
    }

    fn want(&self, instance: &Arc<Instance>) -> Result<(), AcquireError> {
        let now = Instant::now();
        let mut cell = instance.cell();
        // Under the lock: what the shutdown has stopped stays stopped.
        if self.0.closing.load(Ordering::SeqCst) {
            return Err(AcquireError::ShuttingDown);
        }
        // What runs or comes up is for whoever wants it; also one that is just being stopped does not come back.
        if self.0.drain.is_on() && !matches!(cell.machine.state(), InstanceState::Running | InstanceState::Starting { .. }) {
            return Err(AcquireError::Draining);
        }
        if cell.machine.would_start(now) {
            let limit = self.limit();
            let room = |active: usize| (active < limit).then_some(active + 1);
            if self.0.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_err() {
                return Err(AcquireError::TooMany { limit });
            }
        }
        if let Some(Action::Start { generation }) = cell.machine.on(Event::Wanted, now) {
            instance.publish(&cell, Vec::new());
            self.0.tasks.spawn(starter::run(Arc::clone(&self.0), Arc::clone(instance), generation));
        }
        Ok(())
    }
}

impl Shared {
    /// Carries out a stop that the machine has agreed to.
    pub(super) async fn stop_if_stopping(&self, instance: &Instance) {
        if instance.status().state == InstanceState::Stopping
            && let Err(e) = self.launcher.stop(&instance.id).await
        {
            tracing::error!(instance = %instance.id, "{e}");
        }
    }
}

impl Instance {
    pub(super) fn new(id: InstanceId, machine: Machine) -> Self {
        let cell = Mutex::new(Cell { machine, connector: None });
        Self { id, cell, status: watch::Sender::new(Status::initial()) }
    }

    pub(super) fn cell(&self) -> std::sync::MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(super) fn publish(&self, cell: &Cell, log: Vec<String>) {
        let status = Status { state: cell.machine.state(), generation: cell.machine.generation(), log };
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// Gives `event` to the machine and publishes what came of it.
    pub(super) fn tell(&self, event: Event) -> Option<Action> {
        self.tell_with(event, None, Vec::new())
    }

    /// As [`Self::tell`], with the connector of an engine that became ready, or the log of one that failed.
    pub(super) fn tell_with(&self, event: Event, connector: Option<Arc<dyn Connector>>, log: Vec<String>) -> Option<Action> {
        let mut cell = self.cell();
        let lease_news = matches!(event, Event::LeaseTaken | Event::LeaseDropped);
        let action = cell.machine.on(event, Instant::now());
        if !lease_news {
            // News that changes nothing takes nothing away.
            let running = cell.machine.state() == InstanceState::Running;
            cell.connector = connector.or(cell.connector.take()).filter(|_| running);
            self.publish(&cell, log);
        }
        action
    }

    fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut cell = self.cell();
        let connector = cell.connector.clone()?;
        cell.machine.on(Event::LeaseTaken, Instant::now());
        Some(Lease::new(Arc::clone(self), cell.machine.generation(), connector))
    }
}

impl Status {
    fn initial() -> Self {
        Self { state: InstanceState::Stopped, generation: 0, log: Vec::new() }
    }
}
