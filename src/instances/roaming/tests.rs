#![allow(clippy::unwrap_used)]

use super::*;
use futures_util::FutureExt;

fn store() -> (tempfile::TempDir, Roaming, InstanceId) {
    let dir = tempfile::tempdir().unwrap();
    let store = Roaming::new(dir.path().to_owned());
    (dir, store, "alice".parse().unwrap())
}

fn by(page: &str, sequence: u64) -> Sender {
    Sender { page: page.into(), sequence }
}

fn changes(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
}

async fn update_of(store: &Roaming, id: &InstanceId, scope: String, sender: Sender, update: Update) -> Result<Updated, RoamingError> {
    store.update(id, store.turn(id).await, Life(0), scope, sender, update).await
}

async fn set(store: &Roaming, id: &InstanceId, sender: Sender, pairs: &[(&str, Option<&str>)]) -> Updated {
    let update = Update { changes: changes(pairs), ..Update::default() };
    update_of(store, id, "global".into(), sender, update).await.unwrap()
}

async fn news(store: &Roaming, id: &InstanceId, since: &Position) -> (bool, BTreeMap<String, Option<String>>) {
    let update = Update { since: since.clone(), want: true, ..Update::default() };
    let news = update_of(store, id, "global".into(), by("reader", 1), update).await.unwrap().news.unwrap();
    (news.full, news.entries)
}

#[tokio::test]
async fn who_says_what_it_has_gets_what_is_newer() {
    let (_dir, store, id) = store();
    assert_eq!(news(&store, &id, &Position::default()).await, (false, changes(&[])), "nothing yet");
    let first = set(&store, &id, by("a", 1), &[("x", Some("1")), ("y", Some("1"))]).await;
    assert_eq!((first.before, first.at.revision), (0, 1));
    let second = set(&store, &id, by("b", 1), &[("y", Some("2")), ("z", Some("2"))]).await;
    assert_eq!((second.before, &second.at.epoch), (1, &first.at.epoch));
    assert_eq!(news(&store, &id, &first.at).await, (false, changes(&[("y", Some("2")), ("z", Some("2"))])));
    set(&store, &id, by("a", 2), &[("x", None)]).await;
    assert_eq!(news(&store, &id, &second.at).await, (false, changes(&[("x", None)])));
    assert_eq!(news(&store, &id, &Position::default()).await, (true, changes(&[("y", Some("2")), ("z", Some("2"))])));
    let mut strange = second.at.clone();
    strange.revision = 99;
    assert!(news(&store, &id, &strange).await.0, "of a future that never was");
    let positions = store.positions(&id, vec!["global".into(), "workspace//x".into()], "profile/", 9).await.unwrap();
    assert_eq!(positions["global"].revision, 3);
    assert_eq!(positions["workspace//x"], Position::default());
}

#[tokio::test]
async fn the_later_change_wins_but_not_one_of_yesterday() {
    let (_dir, store, id) = store();
    let first = set(&store, &id, by("a", 1), &[("x", Some("a")), ("y", Some("a"))]).await;
    set(&store, &id, by("b", 1), &[("x", Some("b"))]).await;
    // What A could not send before it was closed: x is newer here, y is not, z is new.
    let left = Update {
        since: first.at.clone(),
        changes: changes(&[("x", Some("late")), ("y", Some("late")), ("z", Some("late"))]),
        unless_newer: true,
        want: true,
    };
    let answer = update_of(&store, &id, "global".into(), by("a2", 1), left).await.unwrap();
    assert_eq!(answer.news.unwrap().entries, changes(&[("x", Some("b"))]));
    let all = changes(&[("x", Some("b")), ("y", Some("late")), ("z", Some("late"))]);
    assert_eq!(news(&store, &id, &Position::default()).await.1, all);
    // Of another store's time nothing is known: what is here stays.
    let other = Position { epoch: Some("other".into()), revision: 99 };
    let left = Update { since: other, changes: changes(&[("x", Some("old")), ("w", Some("old"))]), unless_newer: true, want: false };
    update_of(&store, &id, "global".into(), by("c", 1), left).await.unwrap();
    let all = changes(&[("w", Some("old")), ("x", Some("b")), ("y", Some("late")), ("z", Some("late"))]);
    assert_eq!(news(&store, &id, &Position::default()).await.1, all);
}

#[tokio::test]
async fn what_is_refused_is_said() {
    let (_dir, store, id) = store();
    set(&store, &id, by("a", 1), &[("x", Some("1")), ("y", Some("1"))]).await;
    set(&store, &id, by("a", 2), &[("x", None)]).await;
    // A device that knows nothing yet hears of all keys there are, and of the one that it may not bring back.
    let left =
        Update { changes: changes(&[("x", Some("mine")), ("z", Some("mine"))]), unless_newer: true, want: true, ..Update::default() };
    let news = update_of(&store, &id, "global".into(), by("b", 1), left).await.unwrap().news.unwrap();
    assert_eq!((news.full, news.entries), (true, changes(&[("x", None), ("y", Some("1"))])));
}

#[tokio::test]
async fn requests_that_overtake_each_other_take_effect_in_order() {
    let (_dir, store, id) = store();
    set(&store, &id, by("a", 2), &[("x", Some("second"))]).await;
    set(&store, &id, by("a", 1), &[("x", Some("first")), ("y", Some("first"))]).await;
    let all = changes(&[("x", Some("second")), ("y", Some("first"))]);
    assert_eq!(news(&store, &id, &Position::default()).await.1, all);
    set(&store, &id, by("b", 1), &[("x", Some("third"))]).await;
    assert_eq!(news(&store, &id, &Position::default()).await.1["x"].as_deref(), Some("third"));
    // The same once more is nothing new, and still later than what was sent before it.
    let at = set(&store, &id, by("a", 4), &[("x", Some("third"))]).await;
    assert_eq!(at.at.revision, at.before);
    set(&store, &id, by("a", 3), &[("x", Some("late"))]).await;
    assert_eq!(news(&store, &id, &Position::default()).await.1["x"].as_deref(), Some("third"));
}

#[tokio::test]
async fn instances_and_scopes_are_apart() {
    let (_dir, store, id) = store();
    let bob: InstanceId = "bob".parse().unwrap();
    set(&store, &id, by("a", 1), &[("x", Some("1"))]).await;
    assert_eq!(news(&store, &bob, &Position::default()).await.1, changes(&[]));
    let update = Update { changes: changes(&[("x", Some("2"))]), ..Update::default() };
    update_of(&store, &id, "workspace//a".into(), by("a", 1), update).await.unwrap();
    let names: Vec<_> = store.list(&id, store.turn(&id).await).await.unwrap().into_iter().map(|info| info.scope).collect();
    assert_eq!(names, ["global", "workspace//a"]);
}

#[tokio::test]
async fn what_is_too_large_changes_nothing() {
    let (_dir, store, id) = store();
    set(&store, &id, by("a", 1), &[("x", Some("1"))]).await;
    let big = "v".repeat(MAX_VALUE);
    let key = "k".repeat(MAX_KEY + 1);
    let bigger = format!("{big}v");
    for pairs in [[("x", Some(bigger.as_str()))].as_slice(), &[(key.as_str(), Some("1"))]] {
        let update = Update { changes: changes(pairs), ..Update::default() };
        let refused = update_of(&store, &id, "global".into(), by("a", 2), update).await;
        assert!(matches!(refused, Err(RoamingError::TooLarge(_))), "{refused:?}");
    }
    let five: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|key| (*key, Some(big.as_str()))).collect();
    let update = Update { changes: changes(&five), ..Update::default() };
    assert!(matches!(update_of(&store, &id, "global".into(), by("a", 3), update).await, Err(RoamingError::TooLarge(_))));
    let nothing = (0..=MAX_KEYS).map(|number| (number.to_string(), None)).collect();
    let update = Update { changes: nothing, ..Update::default() };
    assert!(matches!(update_of(&store, &id, "global".into(), by("a", 3), update).await, Err(RoamingError::TooLarge(_))));
    assert_eq!(news(&store, &id, &Position::default()).await.1, changes(&[("x", Some("1"))]));
    for scope in ["", "other", "global/../x", &format!("workspace/{}", "x".repeat(MAX_SCOPE))] {
        let refused = update_of(&store, &id, scope.into(), by("a", 4), Update::default()).await;
        assert!(matches!(refused, Err(RoamingError::InvalidScope)), "{scope:.20}");
    }
}

#[tokio::test]
async fn deleted_keys_are_forgotten_in_time_and_nobody_keeps_one() {
    let (_dir, store, id) = store();
    let mut content = Content::new("global");
    content.apply(&by("a", 1), changes(&[("x", Some("1")), ("y", Some("1"))]), None);
    let old = content.at();
    for n in 0..10 {
        let key = format!("k{n}");
        content.apply(&by("a", 2 + n), changes(&[(&key, Some("1"))]), None);
        content.apply(&by("a", 2 + n), changes(&[(&key, None)]), None);
    }
    content.apply(&by("a", 99), changes(&[("x", None)]), None);
    let recent = content.at();
    content.forget_deleted(3);
    assert_eq!(content.entries.len(), 4);
    let seen = content.newer_than(&old);
    assert!(seen.full);
    assert_eq!(content.since(&seen).collect::<BTreeMap<_, _>>(), changes(&[("y", Some("1"))]));
    assert!(!content.newer_than(&recent).full);
    drop((store, id));
}

#[test]
fn folders_not_used_for_long_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, age: u64, bytes: u64| {
        let path = dir.path().join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_len(bytes).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        path
    };
    let (global, old, young) = (file("g-0", 900, 10), file("w-1", 800, MAX_FILES_BYTES / 2), file("w-2", 10, MAX_FILES_BYTES / 2 - 20));
    make_room(dir.path(), &dir.path().join("w-3"), 10).unwrap();
    assert!(old.exists());
    make_room(dir.path(), &dir.path().join("w-3"), 20).unwrap();
    assert!(global.exists() && !old.exists() && young.exists());
    assert!(matches!(make_room(dir.path(), &dir.path().join("w-3"), MAX_FILES_BYTES), Err(RoamingError::TooLarge(_))));
}

#[tokio::test]
async fn a_broken_file_is_set_aside_and_a_new_epoch_begins() {
    let (dir, store, id) = store();
    let first = set(&store, &id, by("a", 1), &[("x", Some("1"))]).await;
    let path = store.0.path(&id, "global");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(news(&store, &id, &first.at).await, (true, changes(&[])));
    assert_eq!(fs::read(path.with_extension("broken")).unwrap(), bytes);
    let second = set(&store, &id, by("a", 2), &[("x", Some("2"))]).await;
    assert_ne!(first.at.epoch, second.at.epoch);
    assert_eq!(store.list(&id, store.turn(&id).await).await.unwrap().len(), 1, "what was set aside is no scope");
    drop(dir);
}

/// Bytes of a small generator, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

#[test]
fn whatever_is_in_a_file_it_is_read_or_refused() {
    let mut content = Content::new("global");
    content.apply(&by("a", 1), changes(&[("x", Some("1")), ("ключ", Some("\u{0}\"\\\n")), ("gone", None)]), None);
    content.apply(&by("b", 1), changes(&[("y", Some("2")), ("x", None)]), None);
    let good = content.encode().unwrap();
    assert_eq!(Content::decode(&good, "global").unwrap(), content);
    assert!(Content::decode(&good, "local").is_err());
    let refused = |bytes: &[u8]| {
        let result = Content::decode(bytes, "global");
        assert!(result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::InvalidData), "{result:?}");
    };
    for length in 0..good.len() {
        refused(&good[..length]);
    }
    let mut dice = Dice(0x5eed);
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            match dice.roll(3) {
                0 => bytes[at] ^= 1 << dice.roll(8),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, u8::try_from(dice.roll(256)).unwrap()),
            }
        }
        if bytes != good {
            refused(&bytes);
        }
    }
    for _ in 0..3000 {
        let length = dice.roll(200);
        refused(&(0..length).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect::<Vec<_>>());
    }
    // With the right digest, so that what is behind it is tried as well.
    for _ in 0..2000 {
        let length = dice.roll(60);
        let body: Vec<u8> = (0..length).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
        let head = br#"{"scope":"global","epoch":"e","revision":1,"floor":0}"#;
        refused(&file::assemble(head, &body));
        refused(&file::assemble(head, &zstd::encode_all(body.as_slice(), 1).unwrap()));
        refused(&file::assemble(&body.iter().copied().filter(|byte| *byte != b'\n').collect::<Vec<_>>(), &body));
    }
}

#[tokio::test]
async fn work_that_nobody_waits_for_any_more_keeps_its_turn() {
    let (_dir, store, id) = store();
    // What is asked for gets as far as the lock of its scope.
    let locks: Vec<_> = store.0.locks.iter().map(|lock| lock.lock().unwrap()).collect();
    for sequence in 0..MAX_OF_ONE as u64 {
        let asked = update_of(&store, &id, "global".into(), by("a", sequence), Update::default());
        assert!(asked.now_or_never().is_none(), "and its client goes away");
    }
    assert!(store.turn(&id).now_or_never().is_none(), "no room for more");
    assert_eq!(store.0.slots.available_permits(), MAX_AT_ONCE - MAX_OF_ONE);
    drop(locks);
    tokio::time::timeout(std::time::Duration::from_secs(30), store.turn(&id)).await.unwrap();
}

#[test]
fn a_bomb_does_not_go_off() {
    let zeros = zstd::encode_all(io::Read::take(io::repeat(b' '), 1 << 28), 1).unwrap();
    let head = br#"{"scope":"global","epoch":"e","revision":1,"floor":0}"#;
    assert!(Content::decode(&file::assemble(head, &zeros), "global").is_err());
}
