//! The registry over a launcher that starts nothing: room, storms, idle times, shortages.

#![allow(clippy::unwrap_used)]

mod adopt;
mod failing;
mod line;
mod nap;
mod removal;
mod room;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::registry::STOP_DEADLINE;
use super::*;
use crate::launch::{Connector, Exit, Known, LaunchError, Launched, Launcher, Left, PathKind};
use crate::model::{AbsolutePath, DiskUse, EndCause, ExtensionJob, InstanceId, InstanceState, Port, Usage};
use crate::sys::Stream;

/// Long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Stage {
    /// Ends a run.
    running: Mutex<HashMap<InstanceId, oneshot::Sender<()>>>,
    /// How many processes of the user's each runs.
    busy: Mutex<HashMap<InstanceId, usize>>,
    /// Launches under way now, and the most that ever were.
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    stops: AtomicUsize,
    /// In the order of their launches.
    launched: Mutex<Vec<InstanceId>>,
    /// What an earlier daemon has left, and how often nobody can tell before that.
    left: Mutex<Vec<InstanceId>>,
    crashed: Mutex<Vec<InstanceId>>,
    changing: Mutex<Vec<InstanceId>>,
    failing_adopts: AtomicUsize,
    /// Stops that do not work before they do.
    failing_stops: AtomicUsize,
    trims: AtomicUsize,
    /// Those that have less than is theirs, and those that stand still.
    lowered: Mutex<HashSet<InstanceId>>,
    frozen: Mutex<HashSet<InstanceId>>,
    /// Thaws and freezes that do not work before they do.
    failing_thaws: AtomicUsize,
    failing_freezes: AtomicUsize,
    asked: AtomicUsize,
    /// Questions that end in a panic.
    bugs: AtomicUsize,
    /// Removals, those that are to have less, those that are to stand still, and those that are to go on wait while somebody holds it.
    removal: tokio::sync::Mutex<()>,
    lowering: tokio::sync::Mutex<()>,
    freezing: tokio::sync::Mutex<()>,
    thawing: tokio::sync::Mutex<()>,
    raised: AtomicUsize,
    /// No engine answers.
    mute: AtomicBool,
    /// Percent.
    pressure: AtomicUsize,
}

struct Fake(Arc<Stage>);

struct Way(Arc<Stage>, InstanceId);

impl Connector for Way {
    fn engine(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            if self.0.mute.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            // The start ends with the first answer.
            self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
            Stream::from_fd(std::os::unix::net::UnixStream::pair()?.0.into())
        })
    }

    fn port(&self, _: Port) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn extensions(&self, _: ExtensionJob) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn remember_workspace(&self, _: AbsolutePath, _: i32) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn usage(&self) -> BoxFuture<'_, io::Result<Usage>> {
        Box::pin(async {
            assert!(!self.0.frozen.lock().unwrap().contains(&self.1), "{} cannot answer", self.1);
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            assert!(!fails(&self.0.bugs), "a bug, as asked for");
            let user_processes = self.0.busy.lock().unwrap().get(&self.1).copied().unwrap_or(0);
            Ok(Usage { processes: 1 + user_processes, user_processes, ..Usage::default() })
        })
    }

    fn disk(&self) -> BoxFuture<'_, io::Result<DiskUse>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

impl Fake {
    fn run(&self, id: InstanceId) -> Launched {
        let (end, ended) = oneshot::channel();
        assert!(self.0.running.lock().unwrap().insert(id.clone(), end).is_none(), "{id} ran already");
        let exit = async {
            let _ = ended.await;
            Exit { cause: EndCause::Crashed { status: "stopped".into() }, log: Vec::new() }
        };
        Launched { connector: Arc::new(Way(Arc::clone(&self.0), id)), exit: Box::pin(exit) }
    }
}

impl Launcher for Fake {
    fn files(&self, id: &InstanceId) -> std::path::PathBuf {
        id.as_str().into()
    }

    fn launch(&self, id: &InstanceId) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            let now = self.0.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.most_in_flight.fetch_max(now, Ordering::SeqCst);
            self.0.launched.lock().unwrap().push(id.clone());
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(self.run(id))
        })
    }

    fn stop(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            if fails(&self.0.failing_stops) {
                return Err(LaunchError::Closed);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.0.frozen.lock().unwrap().remove(&id);
            self.0.lowered.lock().unwrap().remove(&id);
            if self.0.running.lock().unwrap().remove(&id).is_some() {
                self.0.stops.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
    }

    fn look(&self, _: &InstanceId, _: &AbsolutePath) -> BoxFuture<'_, io::Result<PathKind>> {
        Box::pin(async { Ok(PathKind::Unknown) })
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<(InstanceId, Left)>, LaunchError>> {
        Box::pin(async {
            if fails(&self.0.failing_adopts) {
                return Err(LaunchError::Closed);
            }
            let mut all = Vec::new();
            for id in self.0.left.lock().unwrap().clone() {
                if !self.0.running.lock().unwrap().contains_key(&id) {
                    let frozen = self.0.frozen.lock().unwrap().contains(&id);
                    all.push((id.clone(), Left::Running { launched: self.run(id), frozen }));
                }
            }
            let crash = || EndCause::Crashed { status: "signal: 9".into() };
            all.extend(self.0.crashed.lock().unwrap().iter().map(|id| (id.clone(), Left::Ended(crash()))));
            all.extend(self.0.changing.lock().unwrap().iter().map(|id| (id.clone(), Left::Changing)));
            Ok(all)
        })
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Vec<Known>, LaunchError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remove(&self, _: &InstanceId, _: bool) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async {
            let _gate = self.0.removal.lock().await;
            Ok(())
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }

    fn lower(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            let _gate = self.0.lowering.lock().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.0.lowered.lock().unwrap().insert(id.clone());
            Ok(())
        })
    }

    fn freeze(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            let _gate = self.0.freezing.lock().await;
            if fails(&self.0.failing_freezes) {
                return Err(LaunchError::Closed);
            }
            self.0.frozen.lock().unwrap().insert(id);
            Ok(())
        })
    }

    fn thaw(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if fails(&self.0.failing_thaws) {
                return Err(LaunchError::Closed);
            }
            let _gate = self.0.thawing.lock().await;
            self.0.frozen.lock().unwrap().remove(&id);
            Ok(())
        })
    }

    fn raise(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            self.0.raised.fetch_add(1, Ordering::SeqCst);
            self.0.lowered.lock().unwrap().remove(&id);
            Ok(())
        })
    }

    fn freezes(&self) -> bool {
        true
    }

    fn trim(&self, _: &InstanceId, _: u64) -> BoxFuture<'_, Result<(), LaunchError>> {
        self.0.trims.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }

    fn memory_pressure(&self) -> Option<f32> {
        u16::try_from(self.0.pressure.load(Ordering::SeqCst)).ok().map(f32::from)
    }

    fn outlives_daemon(&self) -> bool {
        false
    }

    fn sees_files_at_rest(&self) -> bool {
        true
    }
}

/// Counts down to what works.
fn fails(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn settings(max_running: usize, stop_after: Duration) -> Settings {
    let unused = Unused { stop_after: Some(stop_after), freeze: false };
    Settings { max_running, max_starting: 4, start_timeout: DEADLINE, unused, unused_own: HashMap::new(), memory_pressure: Some(40) }
}

fn untended(settings: Settings) -> (Instances, Arc<Stage>) {
    let stage = Arc::<Stage>::default();
    (Instances::new(Arc::new(Fake(Arc::clone(&stage))), settings), stage)
}

fn stage(settings: Settings) -> (Instances, Arc<Stage>) {
    let (instances, stage) = untended(settings);
    let tended = instances.clone();
    tokio::spawn(async move { tended.tend().await });
    (instances, stage)
}

async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let looking = async {
        while !look() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, looking).await.is_ok(), "{what}: not within {DEADLINE:?}");
}

fn state(instances: &Instances, name: &str) -> InstanceState {
    instances.status(&id(name)).0.state
}

async fn used(instances: &Instances, name: &str) -> Lease {
    instances.acquire(&id(name), DEADLINE).await.unwrap()
}

fn all<T>(futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> impl Future<Output = Vec<T>>
where
    T: Send + 'static,
{
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    async {
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_two_hundred_is_four_at_a_time_and_all_come_up() {
    let (instances, stage) = stage(settings(200, Duration::from_secs(600)));
    // Three requests each, as a browser would.
    let opens = (0..600).map(|number| {
        let instances = instances.clone();
        async move { instances.acquire(&id(&format!("i{}", number % 200)), DEADLINE).await.map(|lease| lease.generation()) }
    });
    let opened = all(opens).await;
    assert!(opened.iter().all(|generation| matches!(generation, Ok(1))), "{opened:?}");
    assert_eq!(instances.census()["running"], 200);
    assert!(stage.most_in_flight.load(Ordering::SeqCst) <= 4);
    assert_eq!((stage.running.lock().unwrap().len(), stage.asked.load(Ordering::SeqCst)), (200, 0), "nobody is looked at before its time");
    instances.shut_down().await;
    assert_eq!(stage.running.lock().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unused_is_stopped_used_and_busy_stay_and_all_wake() {
    let (instances, stage) = stage(settings(10, Duration::from_secs(1)));
    stage.busy.lock().unwrap().insert(id("busy"), 2);
    let lease = used(&instances, "used").await;
    drop(used(&instances, "busy").await);
    drop(used(&instances, "idle").await);
    eventually("the unused one is stopped", || state(&instances, "idle") == InstanceState::Stopped).await;
    eventually("the busy one is trimmed", || stage.trims.load(Ordering::SeqCst) == 1).await;
    assert_eq!((state(&instances, "used"), state(&instances, "busy")), (InstanceState::Running, InstanceState::Running));
    assert_eq!(used(&instances, "idle").await.generation(), 2, "the next request has it back");
    stage.busy.lock().unwrap().clear();
    eventually("what ran has ended", || state(&instances, "busy") == InstanceState::Stopped).await;
    drop(lease);
    for name in ["used", "idle"] {
        eventually("everybody has gone", || state(&instances, name) == InstanceState::Stopped).await;
    }
    // A second time the same: it is news again.
    drop(used(&instances, "idle").await);
    eventually("stopped again", || state(&instances, "idle") == InstanceState::Stopped).await;
    assert_eq!(stage.trims.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_is_served_however_often_it_is_being_stopped() {
    let (instances, stage) = stage(settings(2, Duration::from_secs(1)));
    let until = std::time::Instant::now() + Duration::from_secs(4);
    let visits = (0..4).map(|visitor: u64| {
        let instances = instances.clone();
        async move {
            let mut visits = 0;
            while std::time::Instant::now() < until {
                drop(instances.acquire(&id("alice"), DEADLINE).await.unwrap());
                visits += 1;
                // Around the moment at which it is stopped.
                tokio::time::sleep(Duration::from_millis(1290 + visitor * 7 + visits * 3)).await;
            }
            visits
        }
    });
    assert!(all(visits).await.iter().all(|visits| *visits >= 2));
    // What no unlucky moment does: a stop that the machine was told of by hand, with a request on its heels.
    drop(used(&instances, "alice").await);
    let instance = instances.known(&id("alice")).unwrap();
    assert!(instances.0.retire(&instance));
    assert!(used(&instances, "alice").await.generation() >= 2);
    let lease = used(&instances, "alice").await;
    assert!(!instances.0.retire(&instance), "somebody uses it");
    drop(lease);
    assert!(stage.stops.load(Ordering::SeqCst) >= 1);
}
