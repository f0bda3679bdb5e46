//! What is being removed, and who wants it meanwhile.

use super::*;
use crate::model::FailureCause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starts_what_is_being_removed() {
    let (instances, stage) = untended(settings(2, Duration::from_secs(600)));
    let alice = id("alice");
    let _lease = used(&instances, "alice").await;
    let gate = stage.removal.lock().await;
    let mut removal = instances.begin_removal(&alice).unwrap();
    assert!(matches!(instances.begin_removal(&alice), Err(LaunchError::Conflict(_))));
    let removing = tokio::spawn(async move {
        let removed = removal.carry_out(true).await;
        (removal, removed)
    });
    eventually("it is stopped", || state(&instances, "alice").is_at_rest()).await;
    // Its page is told that it was stopped, and has a button for that; operators have orders of their own.
    let wanted = |what: &'static str| {
        let instances = instances.clone();
        async move {
            let refused = instances.acquire(&id("alice"), DEADLINE).await;
            let held = FailureCause::StoppedByOperator;
            assert!(matches!(refused, Err(AcquireError::Failed { cause, .. }) if cause == held), "{what}");
        }
    };
    instances.lift(&alice);
    wanted("a start").await;
    instances.stop(&alice).await;
    wanted("a restart").await;
    instances.hold(&alice).await;
    instances.lift(&alice);
    wanted("a stop, and a start").await;
    // Whoever lists what runs while it still did.
    stage.left.lock().unwrap().push(alice.clone());
    instances.adopt(|_| Duration::ZERO).await.unwrap();
    stage.left.lock().unwrap().clear();
    stage.running.lock().unwrap().remove(&alice);
    instances.lift(&alice);
    wanted("a start of what a late list has").await;
    drop(gate);
    let (removal, removed) = removing.await.unwrap();
    removed.unwrap();
    instances.lift(&alice);
    wanted("a start while its state is forgotten").await;
    drop(removal);
    assert_eq!(used(&instances, "alice").await.generation(), 2, "a new one, and its run is no other's");
    assert_eq!((stage.launched.lock().unwrap().len(), instances.0.active.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_it_at_any_moment_of_its_removal_has_no_run_that_nobody_knows() {
    let (instances, stage) = untended(settings(2, Duration::from_secs(600)));
    let until = Instant::now() + Duration::from_secs(3);
    let visitor = instances.clone();
    let visits = (0..3).map(move |_| {
        let instances = visitor.clone();
        async move {
            while Instant::now() < until {
                instances.lift(&id("alice"));
                drop(instances.acquire(&id("alice"), DEADLINE).await);
                tokio::task::yield_now().await;
            }
        }
    });
    let visits = tokio::spawn(all(visits));
    let mut removals = 0;
    while Instant::now() < until {
        let mut removal = instances.begin_removal(&id("alice")).unwrap();
        removal.carry_out(true).await.unwrap();
        tokio::task::yield_now().await;
        // The stage would notice a second run beside the first.
        assert_eq!((stage.running.lock().unwrap().len(), instances.0.active.load(Ordering::SeqCst)), (0, 0));
        drop(removal);
        removals += 1;
        tokio::time::sleep(Duration::from_millis(removals % 7)).await;
    }
    visits.await.unwrap();
    assert!(removals > 10, "{removals}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_was_not_begun_changes_nothing() {
    let (instances, _stage) = untended(settings(2, Duration::from_secs(600)));
    let lease = used(&instances, "alice").await;
    drop(instances.begin_removal(&id("alice")).unwrap());
    assert_eq!(used(&instances, "alice").await.generation(), lease.generation());
    assert!(instances.hold(&id("alice")).await);
    drop(instances.begin_removal(&id("alice")).unwrap());
    assert!(matches!(instances.acquire(&id("alice"), DEADLINE).await, Err(AcquireError::Failed { .. })), "and lifts nothing");
    instances.lift(&id("alice"));
    assert_eq!(used(&instances, "alice").await.generation(), 2);
}
