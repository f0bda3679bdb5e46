//! Those that stay for the sake of their users' jobs: set back, standing still, and back at once.

use super::*;

fn freezing(stop_after: Duration) -> Settings {
    let unused = Unused { stop_after: Some(stop_after), freeze: true };
    Settings { unused_own: [(id("cold"), unused)].into(), ..settings(10, stop_after) }
}

fn is_in(set: &Mutex<HashSet<InstanceId>>, name: &str) -> bool {
    set.lock().unwrap().contains(&id(name))
}

/// Runs something of its user's, and nobody uses it.
async fn busy(instances: &Instances, stage: &Stage, name: &str) {
    stage.busy.lock().unwrap().insert(id(name), 2);
    drop(used(instances, name).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_has_less_and_stands_still_where_its_class_says_so() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    busy(&instances, &stage, "warm").await;
    busy(&instances, &stage, "cold").await;
    eventually("both are set back", || stage.trims.load(Ordering::SeqCst) == 2).await;
    assert!(is_in(&stage.lowered, "warm") && !is_in(&stage.frozen, "warm"));
    assert!(is_in(&stage.lowered, "cold") && is_in(&stage.frozen, "cold"));
    let status = instances.status(&id("cold")).0;
    assert_eq!((status.state, status.frozen), (InstanceState::Running, true));
    assert!(!instances.status(&id("warm")).0.frozen);
    // What cannot answer is not asked (the stage would notice).
    assert_eq!(instances.usage(&id("cold")).await.unwrap().user_processes, 2);
    assert_eq!(instances.look(&id("cold"), &"/x".parse().unwrap()).await.unwrap(), PathKind::Unknown);
    // Whoever has a lease finds it running.
    let opens = (0..20).map(|_| {
        let (instances, stage) = (instances.clone(), Arc::clone(&stage));
        async move {
            let lease = used(&instances, "cold").await;
            assert!(!is_in(&stage.frozen, "cold"));
            lease
        }
    });
    let leases = all(opens).await;
    eventually("it has its own again", || !is_in(&stage.lowered, "cold")).await;
    assert_eq!(leases[0].generation(), 1, "the same run");
    drop(leases);
    drop(instances.running(&id("warm")).await.unwrap().unwrap());
    eventually("so has the other one", || !is_in(&stage.lowered, "warm")).await;
    // Unused again, and still busy.
    eventually("it stands still again", || is_in(&stage.frozen, "cold")).await;
    instances.stop(&id("cold")).await;
    let status = instances.status(&id("cold")).0;
    assert_eq!((status.state, status.frozen), (InstanceState::Stopped, false));
    assert_eq!(used(&instances, "cold").await.generation(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_work_is_tried_until_it_does() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    stage.failing_freezes.store(1, Ordering::SeqCst);
    busy(&instances, &stage, "cold").await;
    eventually("it stands still at the second time", || is_in(&stage.frozen, "cold")).await;
    assert_eq!(stage.failing_freezes.load(Ordering::SeqCst), 0);
    stage.failing_thaws.store(3, Ordering::SeqCst);
    drop(used(&instances, "cold").await);
    assert!(!is_in(&stage.frozen, "cold"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_while_it_is_set_back_is_served() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    stage.busy.lock().unwrap().insert(id("cold"), 1);
    let until = Instant::now() + Duration::from_secs(5);
    let visits = (0..4).map(|visitor: u64| {
        let (instances, stage) = (instances.clone(), Arc::clone(&stage));
        async move {
            let mut visits = 0;
            while Instant::now() < until {
                let lease = used(&instances, "cold").await;
                tokio::task::yield_now().await;
                assert!(!is_in(&stage.frozen, "cold"), "somebody uses it");
                drop(lease);
                visits += 1;
                // Around the moment at which it is set back.
                tokio::time::sleep(Duration::from_millis(995 + visitor * 3 + visits)).await;
            }
        }
    });
    all(visits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_while_it_only_gets_less_waits_for_nothing() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    let gate = stage.lowering.lock().await;
    busy(&instances, &stage, "cold").await;
    let instance = instances.known(&id("cold")).unwrap();
    eventually("it is being set back", || instance.cell().nap == super::super::nap::Nap::Drowsy).await;
    assert!(!instances.is_frozen(&id("cold")));
    let lease = tokio::time::timeout(Duration::from_secs(5), used(&instances, "cold")).await.expect("at once");
    drop(gate);
    eventually("it has its own again", || stage.raised.load(Ordering::SeqCst) == 1 && !instance.cell().waking).await;
    assert!(!is_in(&stage.lowered, "cold") && !is_in(&stage.frozen, "cold"));
    drop(lease);
    eventually("it stands still when its time has come again", || is_in(&stage.frozen, "cold")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_could_not_stand_still_is_looked_at_again_however_long_that_took() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    stage.failing_freezes.store(1, Ordering::SeqCst);
    stage.failing_thaws.store(2, Ordering::SeqCst);
    let gate = stage.freezing.lock().await;
    busy(&instances, &stage, "cold").await;
    let instance = instances.known(&id("cold")).unwrap();
    // Whoever tends it has looked, and takes it for one that stands still.
    eventually("nobody looks at it", || instances.is_frozen(&id("cold")) && !instance.cell().listed).await;
    drop(gate);
    eventually("it stands still at the second time", || is_in(&stage.frozen, "cold")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_while_it_is_thawed_has_nothing_to_be_given_back() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    busy(&instances, &stage, "cold").await;
    eventually("it stands still", || is_in(&stage.frozen, "cold")).await;
    let gate = stage.thawing.lock().await;
    let instance = instances.known(&id("cold")).unwrap();
    let waiting = tokio::spawn({
        let instances = instances.clone();
        async move { instances.running(&id("cold")).await }
    });
    eventually("it is being thawed", || instance.cell().waking).await;
    // As the kernel does that runs out of memory.
    stage.running.lock().unwrap().remove(&id("cold"));
    eventually("its end is known", || state(&instances, "cold").is_at_rest()).await;
    drop(gate);
    eventually("it is done with", || !instance.cell().waking).await;
    assert_eq!(stage.raised.load(Ordering::SeqCst), 0);
    drop(waiting.await.unwrap());
    drop(used(&instances, "cold").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stood_still_when_it_was_taken_over_goes_on_with_the_next_request() {
    let (instances, stage) = untended(freezing(Duration::from_secs(600)));
    for name in ["cold", "warm"] {
        stage.left.lock().unwrap().push(id(name));
        stage.busy.lock().unwrap().insert(id(name), 1);
        stage.lowered.lock().unwrap().insert(id(name));
    }
    stage.frozen.lock().unwrap().insert(id("cold"));
    assert_eq!(instances.adopt(|_| Duration::ZERO).await.unwrap(), 2);
    assert!(instances.is_frozen(&id("cold")) && !instances.is_frozen(&id("warm")));
    assert_eq!(instances.usage(&id("cold")).await.unwrap().user_processes, 1, "so much is known");
    for name in ["cold", "warm"] {
        let lease = used(&instances, name).await;
        assert!(!is_in(&stage.frozen, name));
        eventually("it has its own again", || !is_in(&stage.lowered, name)).await;
        drop(lease);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_over_and_used_stands_still_again() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    stage.left.lock().unwrap().push(id("cold"));
    stage.busy.lock().unwrap().insert(id("cold"), 1);
    stage.frozen.lock().unwrap().insert(id("cold"));
    assert_eq!(instances.adopt(|_| Duration::ZERO).await.unwrap(), 1);
    for _ in 0..3 {
        drop(used(&instances, "cold").await);
        assert!(!is_in(&stage.frozen, "cold"));
        eventually("it stands still again", || is_in(&stage.frozen, "cold")).await;
        // Whoever tends it looks once more meanwhile.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        instances.configure(freezing(Duration::from_secs(1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_should_not_stand_still_any_more_goes_on() {
    let (instances, stage) = stage(freezing(Duration::from_secs(1)));
    busy(&instances, &stage, "cold").await;
    eventually("it stands still", || is_in(&stage.frozen, "cold")).await;
    // Nobody stops it for the sake of a place either.
    assert!(!instances.0.retire_one(&mut HashSet::new(), true).await);
    instances.configure(settings(10, Duration::from_secs(1)));
    eventually("it goes on", || !is_in(&stage.frozen, "cold")).await;
    stage.busy.lock().unwrap().clear();
    instances.configure(settings(10, Duration::from_millis(1500)));
    eventually("it ends like any other", || state(&instances, "cold") == InstanceState::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_its_own_time() {
    let never = Unused { stop_after: None, freeze: false };
    let (instances, stage) = stage(Settings { unused_own: [(id("kept"), never)].into(), ..settings(10, Duration::from_secs(1)) });
    drop(used(&instances, "kept").await);
    drop(used(&instances, "other").await);
    eventually("the other one is stopped", || state(&instances, "other") == InstanceState::Stopped).await;
    assert_eq!((state(&instances, "kept"), stage.stops.load(Ordering::SeqCst)), (InstanceState::Running, 1));
    assert!(!instances.0.retire_one(&mut HashSet::new(), true).await, "never is never");
}
