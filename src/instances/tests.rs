//! The registry over a launcher that starts nothing: room, storms, idle times, shortages.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::registry::STOP_DEADLINE;
use super::*;
use crate::launch::{Connector, Exit, Known, LaunchError, Launched, Launcher, Left, PathKind};
use crate::model::{AbsolutePath, EndCause, ExtensionJob, InstanceId, InstanceState, Port, Usage};
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
    /// What an earlier daemon has left, and how often nobody can tell before that.
    left: Mutex<Vec<InstanceId>>,
    failing_adopts: AtomicUsize,
    /// Stops that do not work before they do.
    failing_stops: AtomicUsize,
    trims: AtomicUsize,
    asked: AtomicUsize,
    /// Percent.
    pressure: AtomicUsize,
}

struct Fake(Arc<Stage>);

struct Way(Arc<Stage>, InstanceId);

impl Connector for Way {
    fn engine(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
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

    fn usage(&self) -> BoxFuture<'_, io::Result<Usage>> {
        Box::pin(async {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            let user_processes = self.0.busy.lock().unwrap().get(&self.1).copied().unwrap_or(0);
            Ok(Usage { processes: 1 + user_processes, user_processes, ..Usage::default() })
        })
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
    fn launch(&self, id: &InstanceId) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            let now = self.0.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.most_in_flight.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(self.run(id))
        })
    }

    fn stop(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let id = id.clone();
        Box::pin(async move {
            let fails = |left: usize| left.checked_sub(1);
            if self.0.failing_stops.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
                return Err(LaunchError::Closed);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
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
            let fails = |left: usize| left.checked_sub(1);
            if self.0.failing_adopts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
                return Err(LaunchError::Closed);
            }
            let mut all = Vec::new();
            for id in self.0.left.lock().unwrap().clone() {
                if !self.0.running.lock().unwrap().contains_key(&id) {
                    all.push((id.clone(), Left::Running(self.run(id))));
                }
            }
            Ok(all)
        })
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Vec<Known>, LaunchError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remove(&self, _: &InstanceId, _: bool) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
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

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn settings(max_running: usize, stop_after: Duration) -> Settings {
    Settings { max_running, max_starting: 4, start_timeout: DEADLINE, stop_after: Some(stop_after), memory_pressure: Some(40) }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_does_not_work_is_tried_again() {
    let (instances, stage) = stage(settings(2, Duration::from_secs(1)));
    stage.failing_stops.store(2, Ordering::SeqCst);
    drop(used(&instances, "alice").await);
    eventually("it is stopped in the end", || state(&instances, "alice") == InstanceState::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_stop_is_tried_until_it_works() {
    let (instances, stage) = untended(settings(2, Duration::from_secs(600)));
    let _lease = used(&instances, "alice").await;
    stage.failing_stops.store(2, Ordering::SeqCst);
    assert!(instances.hold(&id("alice")).await, "it has ended when that comes back");
    assert_eq!(stage.failing_stops.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_taken_over_when_somebody_can_tell() {
    let (instances, stage) = untended(settings(2, Duration::from_secs(600)));
    stage.left.lock().unwrap().push(id("alice"));
    stage.failing_adopts.store(2, Ordering::SeqCst);
    assert!(instances.adopt(|_| Duration::ZERO).await.is_err());
    instances.adopt_when_possible();
    eventually("it is taken over", || state(&instances, "alice") == InstanceState::Running).await;
    assert_eq!(instances.0.active.load(Ordering::SeqCst), 1, "and has a place");
    drop(used(&instances, "alice").await);
    assert_eq!(instances.adopt(|_| Duration::ZERO).await.unwrap(), 0, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_a_place_can_be_stopped() {
    let (instances, stage) = untended(settings(1, Duration::from_secs(1)));
    drop(used(&instances, "old").await);
    // Whoever comes now waits until it can go: its stops do not work.
    eventually("it may go", || instances.status(&id("old")).2 > Some(Duration::from_millis(1100))).await;
    stage.failing_stops.store(usize::MAX, Ordering::SeqCst);
    assert!(matches!(instances.begin(&id("new")), Ok(Begun::Starting)));
    eventually("it waits", || state(&instances, "old") == InstanceState::Stopping).await;
    let began = Instant::now();
    assert!(instances.hold(&id("new")).await);
    assert!(began.elapsed() < STOP_DEADLINE, "it does not wait for its own end");
    stage.failing_stops.store(0, Ordering::SeqCst);
    eventually("the other one ends", || state(&instances, "old") == InstanceState::Stopped).await;
    drop(used(&instances, "old").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_unused_for_longest_makes_room() {
    // Nobody looks at the clock here: whoever is stopped makes room.
    let (instances, stage) = untended(settings(3, Duration::from_secs(600)));
    stage.busy.lock().unwrap().insert(id("busy"), 1);
    drop(used(&instances, "busy").await);
    drop(used(&instances, "first").await);
    drop(used(&instances, "second").await);
    let refused = |result: Result<Lease, AcquireError>| matches!(result, Err(AcquireError::TooMany { limit: 3 }));
    assert!(refused(instances.acquire(&id("early"), DEADLINE).await), "all were used a moment ago");
    instances.configure(Settings { stop_after: None, ..settings(3, Duration::ZERO) });
    assert!(refused(instances.acquire(&id("early"), DEADLINE).await), "never is never");
    instances.configure(settings(3, Duration::from_secs(1)));
    eventually("they have been unused for a second", || instances.status(&id("second")).2 > Some(Duration::from_millis(1100))).await;
    let third = used(&instances, "third").await;
    let states = |instances: &Instances| ["busy", "first", "second"].map(|name| state(instances, name).name());
    assert_eq!(states(&instances), ["running", "stopped", "running"], "the one that runs something keeps its place");
    // Two at the same time: one gets the last place that can be had.
    let both = ["fourth", "fifth"].map(|name| {
        let instances = instances.clone();
        async move { instances.acquire(&id(name), DEADLINE).await }
    });
    let mut both = all(both.into_iter()).await;
    both.sort_by_key(Result::is_err);
    assert!(both[0].is_ok() && matches!(both[1], Err(AcquireError::TooMany { limit: 3 })), "{both:?}");
    assert_eq!(states(&instances), ["running", "stopped", "stopped"]);
    assert_eq!(instances.unstartable(), 0, "for want of room is no failure");
    drop((both, third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_on_a_full_house_never_has_more_than_may_run() {
    let (instances, stage) = stage(settings(5, Duration::from_secs(1)));
    let opens = (0..30).map(|number| {
        let (instances, stage) = (instances.clone(), Arc::clone(&stage));
        async move {
            let end = std::time::Instant::now() + DEADLINE;
            loop {
                assert!(stage.running.lock().unwrap().len() <= 5);
                match instances.acquire(&id(&format!("i{number}")), DEADLINE).await {
                    Ok(_) => return true,
                    // As a page does that was told to come back.
                    Err(_) if std::time::Instant::now() < end => tokio::time::sleep(Duration::from_millis(200)).await,
                    Err(_) => return false,
                }
            }
        }
    });
    assert!(all(opens).await.into_iter().all(|served| served));
    assert!(stage.running.lock().unwrap().len() <= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_memory_is_short_the_unused_go_early_and_the_new_wait() {
    let (instances, stage) = stage(Settings { stop_after: Some(Duration::from_secs(1)), ..settings(10, Duration::ZERO) });
    stage.busy.lock().unwrap().insert(id("busy"), 1);
    drop(used(&instances, "busy").await);
    let lease = used(&instances, "used").await;
    stage.pressure.store(55, Ordering::SeqCst);
    let waiting = tokio::spawn({
        let instances = instances.clone();
        async move { instances.acquire(&id("late"), DEADLINE).await.map(|lease| lease.generation()) }
    });
    eventually("it stands in line", || matches!(state(&instances, "late"), InstanceState::Starting { .. })).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!waiting.is_finished());
    stage.pressure.store(3, Ordering::SeqCst);
    assert!(matches!(waiting.await.unwrap(), Ok(1)));
    assert_eq!((state(&instances, "used"), state(&instances, "busy")), (InstanceState::Running, InstanceState::Running));
    drop(lease);
}
