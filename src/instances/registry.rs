//! All instances, and the way to a lease on one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::TaskTracker;

use super::census::Tally;
use super::drain::DrainState;
use super::error::AcquireError;
use super::held::Held;
use super::instance::{Instance, Status};
use super::lease::Lease;
use super::line::Line;
use super::machine::{Action, Event, Machine};
use super::starter;
use crate::launch::{LaunchError, Launcher, PathKind};
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
    /// What becomes of one that nobody uses.
    pub unused: Unused,
    /// The same of those that have rules of their own.
    pub unused_own: HashMap<InstanceId, Unused>,
    /// From this share of waiting on (percent), the host is short of memory; none means that nobody looks.
    pub memory_pressure: Option<u8>,
}

/// What becomes of an instance that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused {
    /// How long nobody has to use one of which nothing runs before it is stopped; none means that it is never stopped unasked.
    pub stop_after: Option<Duration>,
    /// Whether one that stays for the sake of its user's processes stands still with them.
    pub freeze: bool,
}

impl Settings {
    pub(super) fn unused(&self, id: &InstanceId) -> Unused {
        self.unused_own.get(id).copied().unwrap_or(self.unused)
    }
}

/// How long a stop is waited for, after the launcher has asked, waited and killed.
pub(super) const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// All instances. Cheap to clone.
#[derive(Clone)]
pub struct Instances(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) launcher: Arc<dyn Launcher>,
    settings: RwLock<Arc<Settings>>,
    pub(super) settings_changed: Notify,
    table: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    /// How many there are in each state.
    pub(super) tally: Arc<Tally>,
    /// The highest generation of an instance that is not in the table any more. New ones count from there: what is kept of a run that
    /// was, under its id and generation, is never taken for that of one that is.
    forgotten: AtomicU64,
    /// When there was no room in the table last.
    pub(super) crowded: Mutex<Option<Instant>>,
    /// How many hold a place among the running ones.
    pub(super) active: AtomicUsize,
    pub(super) starting: Arc<Line>,
    /// How many wait for a place, and whose turn it is.
    pub(super) seeking: AtomicUsize,
    pub(super) queue: Arc<Line>,
    /// Instances that nobody uses any more: into the registry's own end of the line, to be taken by whoever tends them.
    idle: mpsc::UnboundedSender<InstanceId>,
    pub(super) idle_news: Mutex<Option<mpsc::UnboundedReceiver<InstanceId>>>,
    pub(super) tasks: TaskTracker,
    closing: AtomicBool,
    pub(super) drain: DrainState,
    pub(super) held: Held,
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
        let starting = Line::new(settings.max_starting);
        let (idle, news) = mpsc::unbounded_channel();
        Self(Arc::new(Shared {
            launcher,
            settings: RwLock::new(Arc::new(settings)),
            settings_changed: Notify::new(),
            table: Mutex::default(),
            tally: Arc::default(),
            forgotten: AtomicU64::new(0),
            crowded: Mutex::default(),
            active: AtomicUsize::new(0),
            starting,
            seeking: AtomicUsize::new(0),
            queue: Line::new(1),
            idle,
            idle_news: Mutex::new(Some(news)),
            tasks: TaskTracker::new(),
            closing: AtomicBool::new(false),
            drain: DrainState::default(),
            held: Held::default(),
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
        let awake = |status: &Status| status.state == InstanceState::Running && !status.frozen;
        self.0.launcher.sees_files_at_rest() || self.known(id).is_some_and(|instance| instance.peek(awake))
    }

    /// Uses other settings from now on. Instances that run already go on.
    pub fn configure(&self, settings: Settings) {
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.0.settings_changed.notify_one();
    }

    /// A lease, if the instance runs; otherwise makes sure that a start is under way. Waits for nothing but processes that stand
    /// still.
    ///
    /// # Errors
    /// When there is no room, when the last start failed a moment ago, when the host is being emptied, or when we are going down.
    pub async fn begin(&self, id: &InstanceId) -> Result<Begun, AcquireError> {
        let instance = self.wanted(id).ok_or_else(|| AcquireError::TooMany { limit: self.limit() })?;
        let began = Instant::now();
        if let Some(lease) = self.want(&instance)? {
            return if instance.thawed().await {
                Ok(Begun::Running(lease))
            } else {
                Err(AcquireError::Starting { waited: began.elapsed() })
            };
        }
        match instance.status() {
            Status { state: InstanceState::Failed { cause }, log, .. } => Err(self.failed(cause, log)),
            _ => Ok(Begun::Starting),
        }
    }

    /// A lease, if the instance runs. Starts nothing.
    ///
    /// # Errors
    /// When its processes stand still, and do not go on.
    pub async fn running(&self, id: &InstanceId) -> Result<Option<Lease>, AcquireError> {
        let (began, Some(instance)) = (Instant::now(), self.known(id)) else { return Ok(None) };
        let lease = {
            let mut cell = instance.cell();
            let lease = instance.lease(&mut cell);
            if lease.is_some() {
                self.0.wake(&instance, &mut cell);
            }
            lease
        };
        if lease.is_none() || instance.thawed().await { Ok(lease) } else { Err(AcquireError::Starting { waited: began.elapsed() }) }
    }

    /// A lease, as soon as the instance runs. The start goes on when the caller does not wait for it.
    ///
    /// # Errors
    /// As [`Self::begin`]; also when it is not running after `patience`.
    pub async fn acquire(&self, id: &InstanceId, patience: Duration) -> Result<Lease, AcquireError> {
        let mut follow = match self.begin(id).await? {
            Begun::Running(lease) => return Ok(lease),
            Begun::Starting => self.follow(id),
        };
        let waiting = async {
            loop {
                let status = follow.borrow_and_update().clone();
                match status.state {
                    // Asked for anew: it may be on its way out again.
                    InstanceState::Running => {
                        if let Begun::Running(lease) = self.begin(id).await? {
                            return Ok(lease);
                        }
                    }
                    InstanceState::Failed { cause } => return Err(self.failed(cause, status.log)),
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

    /// Follows an instance's status without using it: no lease, no start. When there are too many to follow, one that is at rest has no
    /// news, and ends with its first.
    pub fn follow(&self, id: &InstanceId) -> watch::Receiver<Status> {
        self.wanted(id).map_or_else(|| watch::channel(Status::initial()).1, |instance| instance.follow())
    }

    /// Its status now, the number of leases on it, and how long it has had none.
    pub fn status(&self, id: &InstanceId) -> (Status, usize, Option<Duration>) {
        let Some(instance) = self.known(id) else { return (Status::initial(), 0, None) };
        let cell = instance.cell();
        (instance.status(), cell.machine.leases(), cell.machine.idle_for(Instant::now()))
    }

    /// What is at `path` as the instance sees it.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn look(&self, id: &InstanceId, path: &AbsolutePath) -> std::io::Result<PathKind> {
        if self.is_frozen(id) {
            return Ok(PathKind::Unknown);
        }
        self.0.launcher.look(id, path).await
    }

    /// Stops an instance; comes back when nothing of it runs.
    pub async fn stop(&self, id: &InstanceId) {
        if let Some(instance) = self.known(id) {
            self.stop_by(&instance, Event::StopWanted).await;
        }
    }

    pub(super) async fn stop_by(&self, instance: &Arc<Instance>, event: Event) {
        let mut follow = instance.follow();
        instance.tell(event);
        if !self.0.stop_if_stopping(instance).await {
            self.0.keep_stopping(Arc::clone(instance));
        }
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
        self.0.table()
    }

    pub(super) fn known(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.0.known(id)
    }

    fn failed(&self, cause: FailureCause, log: Vec<String>) -> AcquireError {
        match cause {
            FailureCause::NoRoom => AcquireError::TooMany { limit: self.limit() },
            cause => AcquireError::Failed { cause, log },
        }
    }

    /// What runs or comes up is for whoever wants it; one that is just being stopped does not come back.
    fn refuse_while_draining(&self, machine: &Machine) -> Result<(), AcquireError> {
        let goes_on = matches!(machine.state(), InstanceState::Running | InstanceState::Starting { .. });
        if self.0.drain.is_on() && !goes_on { Err(AcquireError::Draining) } else { Ok(()) }
    }

    /// A lease when it runs; else makes sure that a start is under way. In one step: nobody can stop it in between.
    fn want(&self, instance: &Arc<Instance>) -> Result<Option<Lease>, AcquireError> {
        loop {
            let now = Instant::now();
            // Before the lock: looking for room takes the locks of others.
            let starts = {
                let cell = instance.cell();
                self.refuse_while_draining(&cell.machine)?;
                cell.machine.would_start(now)
            };
            let entry = if starts { Some(self.0.enter().ok_or_else(|| AcquireError::TooMany { limit: self.limit() })?) } else { None };
            let mut cell = instance.cell();
            // Under the lock: what the shutdown has stopped stays stopped.
            if self.0.closing.load(Ordering::SeqCst) {
                return Err(AcquireError::ShuttingDown);
            }
            if let Some(lease) = instance.lease(&mut cell) {
                self.0.wake(instance, &mut cell);
                return Ok(Some(lease));
            }
            self.refuse_while_draining(&cell.machine)?;
            if entry.is_none() && cell.machine.would_start(now) {
                // It has ended in this very moment.
                continue;
            }
            if let (Some(Action::Start { generation }), Some(entry)) = (cell.machine.on(Event::Wanted, now), entry) {
                instance.publish(&cell, Vec::new());
                self.0.tasks.spawn(starter::run(Arc::clone(&self.0), Arc::clone(instance), generation, entry));
            }
            return Ok(None);
        }
    }
}

impl Shared {
    /// Carries out a stop that the machine has agreed to; false when that did not work.
    pub(super) async fn stop_if_stopping(&self, instance: &Instance) -> bool {
        if instance.status().state != InstanceState::Stopping {
            return true;
        }
        let _turn = instance.turn.lock().await;
        let stopped = self.launcher.stop(&instance.id).await;
        stopped.inspect_err(|e| tracing::error!(instance = %instance.id, "{e}")).is_ok()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn table(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Arc<Instance>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.table().get(id).cloned()
    }

    /// A new one, not in the table yet.
    pub(super) fn instance(&self, id: InstanceId, mut machine: Machine) -> Instance {
        machine.count_from(self.forgotten.load(Ordering::SeqCst));
        Instance::new(id, machine, self.idle.clone(), Arc::clone(&self.tally))
    }

    /// To be called before `instance` goes from the table.
    pub(super) fn note_forgotten(&self, instance: &Instance) {
        self.forgotten.fetch_max(instance.cell().machine.generation(), Ordering::SeqCst);
    }

    /// Whether more waits for memory than the settings allow.
    pub(super) fn is_short_of_memory(&self) -> bool {
        let most = self.settings().memory_pressure;
        most.is_some_and(|most| self.launcher.memory_pressure().is_some_and(|share| share >= f32::from(most)))
    }
}
