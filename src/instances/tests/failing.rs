//! What does not work at once, and is tried until it does.

use super::*;
use crate::model::FailureCause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_does_not_work_is_tried_again() {
    let (instances, stage) = stage(settings(2, Duration::from_secs(1)));
    stage.failing_stops.store(2, Ordering::SeqCst);
    drop(used(&instances, "alice").await);
    eventually("it is stopped in the end", || state(&instances, "alice") == InstanceState::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bug_in_a_question_costs_nobody_their_stop() {
    let (instances, stage) = stage(settings(2, Duration::from_secs(1)));
    stage.bugs.store(1, Ordering::SeqCst);
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
async fn a_start_that_takes_too_long_is_ended_until_that_works() {
    let (instances, stage) = untended(Settings { start_timeout: Duration::from_millis(50), ..settings(2, Duration::from_secs(600)) });
    stage.mute.store(true, Ordering::SeqCst);
    stage.failing_stops.store(2, Ordering::SeqCst);
    let failed = instances.acquire(&id("alice"), DEADLINE).await;
    let timeout = FailureCause::Timeout { seconds: 0 };
    assert!(matches!(&failed, Err(AcquireError::Failed { cause, .. }) if *cause == timeout), "{failed:?}");
    assert_eq!((stage.running.lock().unwrap().len(), instances.0.active.load(Ordering::SeqCst)), (0, 0));
}
