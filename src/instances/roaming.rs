//! What the workbench keeps in a browser, kept for all browsers of an instance: one small file per scope.
//!
//! A *scope* is one of the workbench's own stores: that of all folders, that of one folder, its local storage. In it are keys with
//! text as values; what is in them is the workbench's business. Every change of a scope makes a new *revision*, and each key knows
//! the revision of its last change: a browser that says which revision it has gets what is newer, no more. The order is that of
//! arrival here, no device's clock counts.

mod file;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::error::{RoamingError, StoreError};
use super::names::admit;
use super::turns::{Turn, Turns};
use crate::model::InstanceId;
use crate::sys;
use file::Content;
use room::{files, make_room};

/// The most bytes of a scope's name: a long path, and what stands around it.
const MAX_SCOPE: usize = 4400;

/// The most bytes of a key.
const MAX_KEY: usize = 4 << 10;

/// The most bytes of one value.
const MAX_VALUE: usize = 2 << 20;

/// The most bytes of all keys and values of a scope.
const MAX_SCOPE_BYTES: usize = 8 << 20;

/// The most keys of a scope, deleted ones among them.
const MAX_KEYS: usize = 10_000;

/// The most deleted keys that are remembered; who has not heard of an older one gets everything anew.
const MAX_DELETED: usize = 1000;

/// The most scopes of an instance, and the most bytes of their files. Of folders, those not changed for longest give way.
const MAX_SCOPES: usize = 1000;
const MAX_FILES_BYTES: u64 = 64 << 20;

/// The most readings and writings at a time, of all instances: each holds a scope in memory.
const MAX_AT_ONCE: usize = 8;

/// The most requests of one instance that are read and carried out at a time.
const MAX_OF_ONE: usize = 2;

/// What scopes of folders begin with.
const FOLDERS: &str = "workspace/";

/// A state of a scope. Revisions of different epochs have nothing to do with each other: a store that was lost begins a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// None before the first change.
    pub epoch: Option<String>,
    /// Counts changes from 1.
    pub revision: u64,
}

/// A scope, as a list shows it.
#[derive(Debug, Serialize)]
pub struct ScopeInfo {
    /// Its name.
    pub scope: String,
    /// Where it is.
    #[serde(flatten)]
    pub at: Position,
    /// Size of its file.
    pub bytes: u64,
}

/// What a page sends about one scope.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// What the page has seen.
    #[serde(default)]
    pub since: Position,
    /// New values; null deletes.
    #[serde(default)]
    pub changes: BTreeMap<String, Option<String>>,
    /// Leaves alone what has changed after `since`.
    #[serde(default)]
    pub unless_newer: bool,
    /// Whether to answer with what is newer than `since`.
    #[serde(default)]
    pub want: bool,
}

/// Who sends, so that what one page sent twice in a row takes effect in that order, whichever arrives first.
#[derive(Clone, Debug, Deserialize)]
pub struct Sender {
    /// Made up by a page when it is opened.
    pub page: String,
    /// Counts its requests.
    pub sequence: u64,
}

/// The answer to an [`Update`].
#[derive(Debug, Serialize)]
pub struct Updated {
    /// Where the scope is now.
    #[serde(flatten)]
    pub at: Position,
    /// The revision before this update: whoever had that one has all.
    pub before: u64,
    /// What was newer than [`Update::since`], when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
}

/// Keys that have changed, without those that the asker changed itself.
#[derive(Debug, Serialize)]
pub struct News {
    /// Whether these are all the keys there are.
    pub full: bool,
    /// Values; null for what was deleted.
    pub entries: BTreeMap<String, Option<String>>,
}

impl News {
    /// How many bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, String::len)).sum()
    }
}

/// The roaming state of all instances.
#[derive(Clone, Debug)]
pub struct Roaming(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// One writer per scope; several scopes share one of these.
    locks: [Mutex<()>; 32],
    slots: Arc<Semaphore>,
    /// Readings of heads alone, for pages that are opened: they wait for no others.
    looks: Arc<Semaphore>,
    /// How often an instance was forgotten, of those that were.
    lives: Mutex<HashMap<InstanceId, u64>>,
    /// Whose turn it is among the requests of one instance, and among its pages.
    turns: Turns,
    pages: Turns,
}

impl Roaming {
    /// A store below `dir`, which has a directory per instance.
    pub fn new(dir: PathBuf) -> Self {
        let locks = std::array::from_fn(|_| Mutex::new(()));
        let (slots, looks) = (Arc::new(Semaphore::new(MAX_AT_ONCE)), Arc::new(Semaphore::new(MAX_AT_ONCE)));
        let (turns, pages) = (Turns::new(MAX_OF_ONE), Turns::new(MAX_OF_ONE));
        Self(Arc::new(Inner { dir, locks, slots, looks, lives: Mutex::default(), turns, pages }))
    }

    /// Where each of `scopes` is, and all scopes of the instance that begin with `prefix` (at most `most` of them).
    ///
    /// # Errors
    /// When the task was lost. What cannot be read is as if it was not there.
    pub async fn positions(
        &self,
        id: &InstanceId,
        scopes: Vec<String>,
        prefix: &'static str,
        most: usize,
    ) -> Result<BTreeMap<String, Position>, RoamingError> {
        let turn = self.0.pages.take(id).await;
        let id = id.clone();
        self.run_in(&self.0.looks, turn, move |inner| {
            let mut positions: BTreeMap<_, _> = scopes.into_iter().map(|scope| (scope.clone(), inner.position(&id, &scope))).collect();
            let more = inner.list(&id, file::kind(prefix)).into_iter().filter(|info| info.scope.starts_with(prefix));
            positions.extend(more.take(most).map(|info| (info.scope, info.at)));
            Ok(positions)
        })
        .await
    }

    /// Waits until few others of this instance read or change something: one instance has no more than its share of what all have.
    /// What is done in the turn keeps it until it is done, whether anybody still waits for that or not.
    pub async fn turn(&self, id: &InstanceId) -> Turn {
        self.0.turns.take(id).await
    }

    /// All scopes of an instance.
    ///
    /// # Errors
    /// When the task was lost.
    pub async fn list(&self, id: &InstanceId, turn: Turn) -> Result<Vec<ScopeInfo>, RoamingError> {
        let id = id.clone();
        self.run_in(&self.0.slots, turn, move |inner| Ok(inner.list(&id, None))).await
    }

    /// The life of an instance in which a request has come: what it brings is for that one, and for nobody who has the name later.
    pub fn life(&self, id: &InstanceId) -> Life {
        Life(self.0.life(id))
    }

    /// Changes a scope, and says what is new in it. `life` is that in which the request has come.
    ///
    /// # Errors
    /// When something is too large, the instance was forgotten meanwhile or is a name too many, or the disk refuses; then nothing has changed.
    pub async fn update(
        &self,
        id: &InstanceId,
        turn: Turn,
        life: Life,
        scope: String,
        sender: Sender,
        update: Update,
    ) -> Result<Updated, RoamingError> {
        let id = id.clone();
        self.run_in(&self.0.slots, turn, move |inner| inner.update(&id, life, &scope, &sender, update)).await
    }

    /// Ends the life of an instance, and does `work` while nobody writes.
    pub(super) fn forget<T>(&self, id: &InstanceId, work: impl FnOnce() -> T) -> T {
        let _all: Vec<_> = self.0.locks.iter().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        *self.0.lives.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default() += 1;
        work()
    }

    async fn run_in<T, F>(&self, slots: &Arc<Semaphore>, turn: Turn, work: F) -> Result<T, RoamingError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, RoamingError> + Send + 'static,
    {
        let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| RoamingError::Lost)?;
        let inner = Arc::clone(&self.0);
        let working = tokio::task::spawn_blocking(move || {
            // Held by the work, not by who waits for it: a client that goes away makes no room for more.
            let _held = (slot, turn);
            work(&inner)
        });
        working.await.map_err(|_| RoamingError::Lost)?
    }
}

/// One life of an instance: it ends when the instance is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(u64);

impl Inner {
    fn life(&self, id: &InstanceId) -> u64 {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied().unwrap_or_default()
    }

    fn of(&self, id: &InstanceId) -> PathBuf {
        self.dir.join(id.as_str()).join("roaming")
    }

    /// Names may be any text, file names may not.
    fn path(&self, id: &InstanceId, scope: &str) -> PathBuf {
        let kind = file::kind(scope).unwrap_or('x');
        self.of(id).join(format!("{kind}-{}", hex::encode(&Sha256::digest(scope)[..16])))
    }

    fn position(&self, id: &InstanceId, scope: &str) -> Position {
        file::head(&self.path(id, scope)).map(|head| head.at()).unwrap_or_default()
    }

    fn list(&self, id: &InstanceId, kind: Option<char>) -> Vec<ScopeInfo> {
        let files = files(&self.of(id));
        let wanted = files.iter().filter(|(path, ..)| kind.is_none_or(|kind| file::is_kind(path, kind)));
        let read = wanted.filter_map(|(path, bytes, _)| {
            let head = file::head(path)?;
            Some(ScopeInfo { at: head.at(), scope: head.scope, bytes: *bytes })
        });
        let mut all: Vec<_> = read.collect();
        all.sort_by(|a, b| a.scope.cmp(&b.scope));
        all
    }

    fn update(&self, id: &InstanceId, life: Life, scope: &str, sender: &Sender, update: Update) -> Result<Updated, RoamingError> {
        check(scope, &update)?;
        let path = self.path(id, scope);
        let lock = usize::from(Sha256::digest(path.as_os_str().as_encoded_bytes())[0]) % self.locks.len();
        let _turn = self.locks[lock].lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever forgets an instance has all of them.
        let unknown = update.since.epoch.is_some() && !self.dir.join(id.as_str()).is_dir();
        if life.0 != self.life(id) || unknown {
            return Err(RoamingError::Forgotten);
        }
        let mut content = self.read(id, scope, &path)?;
        let before = content.revision;
        let known = content.newer_than(&update.since);
        let asked: Vec<String> = update.changes.keys().cloned().collect();
        let (own, touched) = content.apply(sender, update.changes, update.unless_newer.then_some(known.revision));
        if touched {
            content.check()?;
            content.forget_deleted(MAX_DELETED);
            self.write(id, &path, &content)?;
        }
        let news = update.want.then(|| {
            let theirs = |key: &String| own.binary_search(key).is_err();
            let mut entries: BTreeMap<_, _> = content.since(&known).filter(|(key, _)| theirs(key)).collect();
            // Who hears of all keys there are would take one for accepted that is deleted here.
            for key in asked.into_iter().filter(theirs) {
                let value = content.entries.get(&key).and_then(|entry| entry.value.clone());
                entries.entry(key).or_insert(value);
            }
            News { full: known.full, entries }
        });
        Ok(Updated { at: content.at(), before, news })
    }

    /// What is stored, or nothing. What is broken is set aside, so that the editor opens and the next browser fills it again.
    fn read(&self, id: &InstanceId, scope: &str, path: &Path) -> Result<Content, RoamingError> {
        match file::read(path, scope) {
            Ok(content) => Ok(content),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Content::new(scope)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                let aside = path.with_extension("broken");
                tracing::error!(instance = %id, "{} is broken ({e}), moved to {}", path.display(), aside.display());
                fs::rename(path, &aside).map_err(failed("move", path))?;
                Ok(Content::new(scope))
            }
            Err(e) => Err(failed("read", path)(e).into()),
        }
    }

    fn write(&self, id: &InstanceId, path: &Path, content: &Content) -> Result<(), RoamingError> {
        admit(&self.dir, id)?;
        let dir = self.of(id);
        sys::create_private_dir(&dir).map_err(failed("make", &dir))?;
        let bytes = content.encode().map_err(failed("encode", path))?;
        make_room(&dir, path, bytes.len() as u64)?;
        Ok(sys::write_atomic(path, &bytes).map_err(failed("write", path))?)
    }
}

fn check(scope: &str, update: &Update) -> Result<(), RoamingError> {
    if file::kind(scope).is_none() || scope.len() > MAX_SCOPE || scope.contains('\0') {
        return Err(RoamingError::InvalidScope);
    }
    if update.changes.len() > MAX_KEYS {
        return Err(RoamingError::TooLarge("what changes at once"));
    }
    if update.changes.keys().any(|key| key.len() > MAX_KEY) {
        return Err(RoamingError::TooLarge("a key"));
    }
    if update.changes.values().flatten().any(|value| value.len() > MAX_VALUE) {
        return Err(RoamingError::TooLarge("a value"));
    }
    Ok(())
}

impl Content {
    fn check(&self) -> Result<(), RoamingError> {
        let bytes: usize = self.entries.iter().map(|(key, entry)| key.len() + entry.value.as_ref().map_or(0, String::len)).sum();
        if bytes > MAX_SCOPE_BYTES || self.entries.len() > MAX_KEYS {
            return Err(RoamingError::TooLarge("the state of this folder or window"));
        }
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError { action, path: path.clone(), source }
}
