use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;

fn config(service: Option<&str>, own: &[(&str, &str)]) -> Login {
    let plain = |text: &str| PasswordSource::Plain(Password::new(text).unwrap());
    Login {
        required: true,
        service: service.map(plain),
        instances: own.iter().map(|(id, text)| (id.parse().unwrap(), plain(text))).collect::<BTreeMap<_, _>>(),
        session: Duration::from_secs(24 * 3600),
    }
}

struct Scene {
    dir: tempfile::TempDir,
    auth: Auth,
}

impl Scene {
    fn new(login: &Login) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (auth, _) = Auth::open(dir.path().join("auth"), login).unwrap();
        Self { dir, auth }
    }

    fn again(&self, login: &Login) -> Auth {
        Auth::open(self.dir.path().join("auth"), login).unwrap().0
    }
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

async fn attempt(auth: &Auth, instance: &str, password: &str, address: [u8; 4], device: Option<&str>) -> Outcome {
    let password = Password::new(password).unwrap();
    let client = Client::of(Some(IpAddr::from(address)));
    auth.login(Attempt { instance: &id(instance), password, client, device }).await.unwrap()
}

async fn token(auth: &Auth, instance: &str, password: &str) -> String {
    match attempt(auth, instance, password, [192, 0, 2, 1], None).await {
        Outcome::Admitted { session, .. } => session.text,
        other => panic!("{other:?}"),
    }
}

fn opens(auth: &Auth, token: &str, instance: &str) -> bool {
    auth.check(token, &id(instance), Audience::Instance).is_some()
}

#[tokio::test]
async fn a_session_opens_its_instance_only() {
    let scene = Scene::new(&config(Some("everybodys"), &[("alice", "hers")]));
    let auth = &scene.auth;
    let (alice, bob) = (token(auth, "alice", "hers").await, token(auth, "bob", "everybodys").await);
    assert!(opens(auth, &alice, "alice") && opens(auth, &bob, "bob"));
    for (token, instance) in [(&alice, "bob"), (&bob, "alice"), (&bob, "carol"), (&bob, "default")] {
        assert!(!opens(auth, token, instance), "{instance}");
    }
    assert!(matches!(attempt(auth, "alice", "everybodys", [1; 4], None).await, Outcome::Wrong));
    assert!(auth.check(&alice, &id("alice"), Audience::Device).is_none());
    assert!(auth.check(&alice, &id("alice"), Audience::Host("alice")).is_none());
}

#[tokio::test]
async fn a_session_outlives_a_restart_but_not_its_end() {
    let login = config(Some("secret"), &[]);
    let scene = Scene::new(&login);
    let (one, two, three) =
        (token(&scene.auth, "a", "secret").await, token(&scene.auth, "a", "secret").await, token(&scene.auth, "b", "secret").await);
    let auth = scene.again(&login);
    assert!([&one, &two].iter().all(|token| opens(&auth, token, "a")) && opens(&auth, &three, "b"));
    auth.end(&auth.check(&one, &id("a"), Audience::Instance).unwrap()).unwrap();
    assert!(!opens(&auth, &one, "a") && opens(&auth, &two, "a"), "the other browser stays");
    auth.revoke(Some(&id("a"))).unwrap();
    assert!(!opens(&auth, &two, "a") && opens(&auth, &three, "b"));
    let auth = scene.again(&login);
    assert!(!opens(&auth, &one, "a") && !opens(&auth, &two, "a") && opens(&auth, &three, "b"));
    auth.revoke(None).unwrap();
    assert!(!opens(&auth, &three, "b"));
    let fresh = token(&auth, "b", "secret").await;
    assert!(opens(&auth, &fresh, "b"));
    std::fs::remove_file(scene.dir.path().join("auth/session-key")).unwrap();
    auth.reload(&login).unwrap();
    assert!(!opens(&auth, &fresh, "b"), "no key, no sessions");
}

#[tokio::test]
async fn another_password_ends_all_sessions_of_the_old_one() {
    let scene = Scene::new(&config(Some("old"), &[("alice", "hers")]));
    let (alice, bob) = (token(&scene.auth, "alice", "hers").await, token(&scene.auth, "bob", "old").await);
    scene.auth.reload(&config(Some("old"), &[("alice", "hers")])).unwrap();
    assert!(opens(&scene.auth, &bob, "bob"), "a reload alone ends nothing");
    let session = scene.auth.check(&bob, &id("bob"), Audience::Instance).unwrap();
    scene.auth.reload(&config(Some("new"), &[("alice", "hers")])).unwrap();
    scene.auth.until_ended(&session).await;
    assert!(!opens(&scene.auth, &bob, "bob") && opens(&scene.auth, &alice, "alice"));
    assert!(scene.auth.renew(&session).is_none());
    scene.auth.reload(&config(Some("new"), &[])).unwrap();
    assert!(!opens(&scene.auth, &alice, "alice"), "her own password is gone");
    let broken = Login { service: Some(PasswordSource::Hashed("$argon2id$broken".into())), ..config(None, &[]) };
    scene.auth.reload(&broken).unwrap_err();
    assert!(opens(&scene.auth, &token(&scene.auth, "bob", "new").await, "bob"), "what cannot be used changes nothing");
}

#[tokio::test]
async fn signing_out_is_noticed_by_whoever_waits_for_it() {
    let scene = Scene::new(&config(Some("secret"), &[]));
    let token = token(&scene.auth, "a", "secret").await;
    let session = scene.auth.check(&token, &id("a"), Audience::Instance).unwrap();
    let waiting = scene.auth.until_ended(&session);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    scene.auth.end(&session).unwrap();
    waiting.await;
}

#[tokio::test]
async fn the_owner_is_never_locked_out() {
    let scene = Scene::new(&config(Some("secret"), &[]));
    let auth = &scene.auth;
    let device = match attempt(auth, "a", "secret", [1; 4], None).await {
        Outcome::Admitted { device, .. } => device.text,
        other => panic!("{other:?}"),
    };
    for _ in 0..10 {
        assert!(matches!(attempt(auth, "a", "guess", [1; 4], None).await, Outcome::Wrong));
    }
    let wait = match attempt(auth, "a", "secret", [1; 4], None).await {
        Outcome::Throttled(wait) => wait,
        other => panic!("{other:?}"),
    };
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60), "{wait:?}");
    assert!(matches!(attempt(auth, "a", "secret", [1; 4], Some(&device)).await, Outcome::Admitted { .. }), "from the same address");
    assert!(matches!(attempt(auth, "a", "secret", [2; 4], None).await, Outcome::Admitted { .. }), "from another one");
    // The mark of one instance's browser is none for another instance.
    assert!(matches!(attempt(auth, "b", "secret", [1; 4], Some(&device)).await, Outcome::Throttled(_)));
}

#[tokio::test]
async fn who_signs_in_and_out_all_day_ends_no_session_of_another_password() {
    let scene = Scene::new(&config(Some("everybodys"), &[("alice", "hers")]));
    let auth = &scene.auth;
    let (alice, bob) = (token(auth, "alice", "hers").await, token(auth, "bob", "everybodys").await);
    let session = auth.check(&bob, &id("bob"), Audience::Instance).unwrap();
    auth.write().ended.fill(|name| format!("made-up-{name}"));
    let carol = token(auth, "carol", "everybodys").await;
    auth.end(&auth.check(&carol, &id("carol"), Audience::Instance).unwrap()).unwrap();
    assert!(!auth.is_good(&session), "nothing tells the sessions of that password apart any more");
    assert!(opens(auth, &alice, "alice"));
    let fresh = token(auth, "bob", "everybodys").await;
    let again = scene.again(&config(Some("everybodys"), &[("alice", "hers")]));
    assert!(opens(&again, &fresh, "bob") && opens(&again, &alice, "alice") && !opens(&again, &carol, "carol"));
    again.revoke(None).unwrap();
    assert!(!opens(&again, &fresh, "bob") && !opens(&again, &alice, "alice"));
}

#[tokio::test]
async fn a_password_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let (auth, made) = Auth::open(dir.path().to_owned(), &config(None, &[])).unwrap();
    let made = made.unwrap();
    let text = String::from_utf8(made.password.as_bytes().to_vec()).unwrap();
    assert!(opens(&auth, &token(&auth, "a", &text).await, "a"));
    let (auth, again) = Auth::open(dir.path().to_owned(), &config(None, &[])).unwrap();
    assert!(again.is_none() && opens(&auth, &token(&auth, "a", &text).await, "a"));
    std::fs::write(made.path, "changed\n").unwrap();
    auth.reload(&config(None, &[])).unwrap();
    assert!(matches!(attempt(&auth, "a", &text, [9; 4], None).await, Outcome::Wrong));
    assert!(opens(&auth, &token(&auth, "a", "changed").await, "a"));
}

#[tokio::test]
async fn a_ticket_carries_a_session_to_another_host_and_ends_with_it() {
    let scene = Scene::new(&config(Some("secret"), &[]));
    let auth = &scene.auth;
    let session = auth.check(&token(auth, "a", "secret").await, &id("a"), Audience::Instance).unwrap();
    let host = "3000--x-a-code-1.example.com";
    let (_, there) = auth.redeem_ticket(&auth.issue_ticket(&session, host).unwrap(), host).unwrap();
    let good = |token: &str, host| auth.check(token, &id("a"), Audience::Host(host)).is_some();
    assert!(good(&there.text, host) && !good(&there.text, "3001--x-a-code-1.example.com") && !opens(auth, &there.text, "a"));
    let late = auth.issue_ticket(&session, host).unwrap();
    auth.end(&session).unwrap();
    assert!(!good(&there.text, host), "signed out here is signed out there");
    assert!(auth.redeem_ticket(&late, host).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_one_door_leaves_room_at_the_others() {
    let scene = Scene::new(&config(Some("everybodys"), &[("alice", "hers")]));
    let auth = &scene.auth;
    // A door with a hundred names is one door: the service-wide password opens all that somebody makes up.
    let names: Vec<String> = (0..40).map(|n| format!("made-up-{n}")).collect();
    let crowd = names.iter().zip(0u8..).map(|(name, n)| attempt(auth, name, "guess", [10, 0, 0, n], None));
    let outcomes = futures_util::future::join_all(crowd);
    let (outcomes, other) = tokio::join!(outcomes, attempt(auth, "alice", "hers", [192, 0, 2, 1], None));
    assert!(matches!(other, Outcome::Admitted { .. }));
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Throttled(wait) if *wait == QUEUE_FULL)).count();
    assert_eq!(refused, 40 - WAITING_OF_PASSWORD);
    assert!(lock(&auth.queue).is_empty());
}

#[tokio::test]
async fn a_crowd_of_strangers_stands_in_no_known_browsers_way() {
    let scene = Scene::new(&config(Some("secret"), &[]));
    let auth = &scene.auth;
    let device = match attempt(auth, "a", "secret", [1; 4], None).await {
        Outcome::Admitted { device, .. } => device.text,
        other => panic!("{other:?}"),
    };
    let epoch = auth.read().verifiers.of(&id("a")).epoch;
    let mut crowd: Vec<_> = (0..WAITING_OF_PASSWORD).map(|_| Place::take(&auth.queue, epoch).unwrap()).collect();
    assert!(matches!(attempt(auth, "a", "secret", [2; 4], None).await, Outcome::Throttled(QUEUE_FULL)));
    assert!(matches!(attempt(auth, "a", "secret", [2; 4], Some(&device)).await, Outcome::Admitted { .. }));
    crowd.extend((0..WAITING).filter_map(|n| Place::take(&auth.queue, [u8::try_from(n / WAITING_OF_PASSWORD).unwrap(); 16])));
    assert_eq!(crowd.len(), WAITING, "all doors are full");
    assert!(matches!(attempt(auth, "a", "secret", [2; 4], Some(&device)).await, Outcome::Admitted { .. }));
}

#[tokio::test]
async fn strangers_get_no_fresh_attempts_by_making_up_names() {
    let scene = Scene::new(&config(Some("everybodys"), &[("alice", "hers")]));
    let auth = &scene.auth;
    let epoch = auth.read().verifiers.of(&id("any")).epoch;
    for n in 0..30u8 {
        // What thirty clients have done before, each past its first tries.
        let client = Client::of(Some(IpAddr::from([10, 0, 0, n])));
        while lock(&auth.throttle).take(client, None, epoch, auth.began.elapsed()).is_ok() {}
    }
    let client = [10, 0, 1, 1];
    for n in 0..3 {
        assert!(matches!(attempt(auth, &format!("made-up-{n}"), "guess", client, None).await, Outcome::Wrong));
    }
    assert!(matches!(attempt(auth, "made-up-4", "guess", client, None).await, Outcome::Throttled(_)));
    assert!(matches!(attempt(auth, "alice", "guess", client, None).await, Outcome::Wrong), "another password");
}
