//! What an earlier daemon has left, taken over as soon as somebody can tell.

use super::*;
use crate::model::FailureCause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_taken_over_when_somebody_can_tell() {
    let (instances, stage) = untended(settings(2, Duration::from_secs(600)));
    stage.left.lock().unwrap().push(id("alice"));
    stage.failing_adopts.store(2, Ordering::SeqCst);
    assert!(instances.adopt(|_| Duration::ZERO).await.is_err());
    instances.adopt_when_possible();
    eventually("it is taken over", || state(&instances, "alice") == InstanceState::Running).await;
    eventually("and has a place", || instances.0.active.load(Ordering::SeqCst) == 1).await;
    drop(used(&instances, "alice").await);
    assert_eq!(instances.adopt(|_| Duration::ZERO).await.unwrap(), 0, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_just_being_started_is_taken_over_when_it_runs() {
    let (instances, stage) = stage(settings(2, Duration::from_secs(1)));
    stage.changing.lock().unwrap().push(id("alice"));
    assert_eq!(instances.adopt(|_| Duration::ZERO).await.unwrap(), 0);
    assert_eq!(state(&instances, "alice"), InstanceState::Stopped);
    // It has come up, and nobody asks for it.
    stage.left.lock().unwrap().append(&mut stage.changing.lock().unwrap());
    eventually("it has a place", || instances.0.active.load(Ordering::SeqCst) == 1).await;
    eventually("and is stopped like any other", || stage.stops.load(Ordering::SeqCst) == 1).await;
    stage.left.lock().unwrap().clear();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_has_stopped_stays_so_when_it_is_taken_over_late() {
    let (instances, stage) = untended(settings(3, Duration::from_secs(600)));
    let dir = tempfile::tempdir().unwrap();
    let held = dir.path().join("held.json");
    std::fs::write(&held, r#"["alice","bob"]"#).unwrap();
    stage.left.lock().unwrap().extend([id("alice"), id("carol")]);
    stage.crashed.lock().unwrap().push(id("bob"));
    stage.failing_adopts.store(2, Ordering::SeqCst);
    // As a daemon does that comes up before the broker.
    assert!(instances.adopt(|_| Duration::ZERO).await.is_err());
    instances.adopt_when_possible();
    instances.keep_held_at(held);
    eventually("what runs is taken over", || state(&instances, "carol") == InstanceState::Running).await;
    let stopped = InstanceState::Failed { cause: FailureCause::StoppedByOperator };
    for name in ["alice", "bob"] {
        eventually("it is held", || state(&instances, name) == stopped).await;
        assert!(matches!(instances.acquire(&id(name), DEADLINE).await, Err(AcquireError::Failed { .. })), "an open tab undoes nothing");
    }
    assert!(!stage.running.lock().unwrap().contains_key(&id("alice")));
}
