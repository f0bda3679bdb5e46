//! Starts that wait for their turn: in the order of coming, each with its position.

use super::*;

fn position(instances: &Instances, name: &str) -> Option<usize> {
    instances.status(&id(name)).0.position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_wait_in_the_order_of_coming_and_know_their_position() {
    let (instances, stage) = untended(Settings { max_starting: 1, ..settings(10, DEADLINE) });
    // The first one waits for memory, and with it everybody behind it.
    stage.pressure.store(90, Ordering::SeqCst);
    let names = ["first", "second", "third", "fourth"];
    for (at, name) in names.into_iter().enumerate() {
        assert!(matches!(instances.begin(&id(name)).await, Ok(Begun::Starting)));
        eventually("it stands in the line", || position(&instances, name) == Some(at).filter(|at| *at > 0)).await;
    }
    assert_eq!(names.map(|name| position(&instances, name)), [None, Some(1), Some(2), Some(3)]);
    // Who thinks better of it leaves no gap, and does not have to wait for that.
    let mut follow = instances.follow(&id("fourth"));
    instances.stop(&id("third")).await;
    assert_eq!(state(&instances, "third"), InstanceState::Stopped);
    assert_eq!(follow.wait_for(|status| status.position == Some(2)).await.unwrap().position, Some(2), "it is news to whoever follows");
    stage.pressure.store(0, Ordering::SeqCst);
    for name in ["first", "second", "fourth"] {
        drop(used(&instances, name).await);
        assert_eq!(position(&instances, name), None);
    }
    assert_eq!(*stage.launched.lock().unwrap(), ["first", "second", "fourth"].map(id));
    assert_eq!(stage.most_in_flight.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_place_has_a_position_too() {
    let (instances, stage) = untended(settings(1, Duration::from_secs(1)));
    drop(used(&instances, "old").await);
    eventually("it may go", || instances.status(&id("old")).2 > Some(Duration::from_millis(1100))).await;
    stage.failing_stops.store(usize::MAX, Ordering::SeqCst);
    for name in ["first", "second"] {
        assert!(matches!(instances.begin(&id(name)).await, Ok(Begun::Starting)));
        eventually("it stands in the line", || position(&instances, name).is_some()).await;
    }
    assert_eq!((position(&instances, "first"), position(&instances, "second")), (Some(1), Some(2)));
    stage.failing_stops.store(0, Ordering::SeqCst);
    drop(used(&instances, "first").await);
}
