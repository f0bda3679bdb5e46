//! Places and memory: who makes room, and who waits.

use super::*;

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
    instances.configure(Settings { unused: Unused { stop_after: None, freeze: false }, ..settings(3, Duration::ZERO) });
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
    let (instances, stage) = stage(settings(10, Duration::from_secs(1)));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_a_place_can_be_stopped() {
    let (instances, stage) = untended(settings(1, Duration::from_secs(1)));
    drop(used(&instances, "old").await);
    // Whoever comes now waits until it can go: its stops do not work.
    eventually("it may go", || instances.status(&id("old")).2 > Some(Duration::from_millis(1100))).await;
    stage.failing_stops.store(usize::MAX, Ordering::SeqCst);
    assert!(matches!(instances.begin(&id("new")).await, Ok(Begun::Starting)));
    eventually("it waits", || state(&instances, "old") == InstanceState::Stopping).await;
    let began = Instant::now();
    assert!(instances.hold(&id("new")).await);
    assert!(began.elapsed() < STOP_DEADLINE, "it does not wait for its own end");
    stage.failing_stops.store(0, Ordering::SeqCst);
    eventually("the other one ends", || state(&instances, "old") == InstanceState::Stopped).await;
    drop(used(&instances, "old").await);
}

#[tokio::test]
async fn made_up_names_do_not_grow_what_is_remembered() {
    let (instances, _) = untended(settings(2, Duration::from_secs(600)));
    let _known = used(&instances, "known").await;
    let followed: Vec<_> = (1..4096).map(|number| instances.follow(&id(&format!("i{number}")))).collect();
    let one_too_many = || AcquireError::TooMany { limit: 2 };
    for name in ["other", "another"] {
        assert!(instances.follow(&id(name)).changed().await.is_err(), "there will be no news");
        let refused = instances.acquire(&id(name), DEADLINE).await.unwrap_err();
        assert_eq!(refused.to_string(), one_too_many().to_string());
    }
    assert_eq!(instances.census().values().sum::<usize>(), 4096);
    drop(used(&instances, "known").await);
    // Nobody follows them any more: there is room, as soon as somebody looks again.
    drop(followed);
    eventually("the others are forgotten", || instances.follow(&id("other")).has_changed().is_ok()).await;
    drop(used(&instances, "another").await);
    assert!(instances.census().values().sum::<usize>() < 10);
}

#[tokio::test]
async fn the_count_by_state_is_kept_as_states_change() {
    let (instances, _) = untended(settings(2, Duration::from_secs(600)));
    let counted = |instances: &Instances| {
        let census = instances.census();
        ["stopped", "starting", "running", "stopping", "failed"].map(|name| census[name])
    };
    assert_eq!(counted(&instances), [0, 0, 0, 0, 0]);
    let lease = used(&instances, "one").await;
    let _followed = instances.follow(&id("two"));
    assert_eq!(counted(&instances), [1, 0, 1, 0, 0]);
    drop(lease);
    instances.stop(&id("one")).await;
    assert_eq!(counted(&instances), [2, 0, 0, 0, 0]);
    drop(used(&instances, "one").await);
    assert_eq!(counted(&instances), [1, 0, 1, 0, 0]);
    let by_looking = instances.table().values().filter(|instance| instance.peek(|status| status.state == InstanceState::Running)).count();
    assert_eq!(instances.census()["running"], by_looking);
}
