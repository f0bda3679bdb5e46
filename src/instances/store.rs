//! What is remembered of each instance on the daemon's side: what was opened last, and the key half of its secret store.
//!
//! This lives beside, not inside, the instance's own directory: a tenant cannot make the daemon read or write what it likes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::names::admit;
use super::roaming::{Life, Roaming};
use crate::model::{DiskUse, InstanceId};
use crate::sys;

/// Size of the mint key, in bytes: what the workbench's secret storage insists on.
const KEY_BYTES: usize = 32;

/// The most bytes read of any file here.
const MAX_FILE: u64 = 64 << 10;

/// The file with the key half.
const MINT_KEY: &str = "mint-key";

/// The file whose time is that of the last use.
pub(super) const LAST_USED: &str = "last-used";

/// The file with what its files take on the disk; its time is that of the count.
const DISK: &str = "disk.json";

/// The file whose time is that of the removal.
const REMOVED: &str = "removed";

/// What an instance opened last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOpened {
    /// A folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// A `.code-workspace` file; wins over the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// The stored state of all instances. Its calls block on the disk.
#[derive(Clone, Debug)]
pub struct StateStore {
    dir: PathBuf,
    roaming: Roaming,
    /// Shared by whoever writes, alone by whoever forgets an instance. Protects that nothing of a life that is over is written after its
    /// end, and that nothing is put into a directory that is being removed.
    writing: Arc<RwLock<()>>,
}

/// A file that may be written, for as long as this is there.
struct Prepared<'a> {
    path: PathBuf,
    _writing: RwLockReadGuard<'a, ()>,
}

impl StateStore {
    /// A store in `dir`, made when missing.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(dir: PathBuf) -> Result<Self, StoreError> {
        sys::create_private_dir(&dir).map_err(failed("make", &dir))?;
        Ok(Self { roaming: Roaming::new(dir.clone()), dir, writing: Arc::default() })
    }

    /// Forgets everything of `id`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, id: &InstanceId) -> Result<(), StoreError> {
        let dir = self.dir.join(id.as_str());
        let _alone = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        // Else what is just being written would be left, or keep the directory from going.
        match self.roaming.forget(id, || fs::remove_dir_all(&dir)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &dir)(e)),
            _ => Ok(()),
        }
    }

    /// The life of `id` now: what is learnt of it in this one is written in no later one.
    pub fn life(&self, id: &InstanceId) -> Life {
        self.roaming.life(id)
    }

    /// The workbench's state.
    pub fn roaming(&self) -> &Roaming {
        &self.roaming
    }

    /// What `id` opened last. A broken record counts as none, so that the editor opens.
    pub fn last_opened(&self, id: &InstanceId) -> LastOpened {
        let path = self.file(id, "last-opened.json");
        match read(&path) {
            Ok(content) => serde_json::from_slice(&content).unwrap_or_else(|e| {
                tracing::warn!(instance = %id, "{} is broken and ignored: {e}", path.display());
                LastOpened::default()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => LastOpened::default(),
            Err(e) => {
                tracing::warn!(instance = %id, "cannot read {}: {e}", path.display());
                LastOpened::default()
            }
        }
    }

    /// Remembers what `id` opened.
    ///
    /// # Errors
    /// When the disk is full or refuses, `life` is over, or it is a name too many; the old record stays.
    pub fn set_last_opened(&self, id: &InstanceId, life: Life, opened: &LastOpened) -> Result<(), StoreError> {
        if self.last_opened(id) == *opened {
            return Ok(());
        }
        admit(&self.dir, id)?;
        self.write(&self.prepared(id, life, "last-opened.json")?, opened)
    }

    /// When `id` was used last, as far as [`Self::set_last_used`] was told.
    pub fn last_used(&self, id: &InstanceId) -> Option<SystemTime> {
        fs::metadata(self.file(id, LAST_USED)).and_then(|meta| meta.modified()).ok()
    }

    /// Remembers that `id` was used at `time`.
    ///
    /// # Errors
    /// When the disk refuses, or `life` is over.
    pub fn set_last_used(&self, id: &InstanceId, life: Life, time: SystemTime) -> Result<(), StoreError> {
        self.stamp(id, life, LAST_USED, time)
    }

    fn stamp(&self, id: &InstanceId, life: Life, name: &str, time: SystemTime) -> Result<(), StoreError> {
        let Prepared { path, _writing } = self.prepared(id, life, name)?;
        // An empty file whose own time says it: nothing that could be half written.
        let file = fs::File::options().create(true).append(true).open(&path).map_err(failed("write", &path))?;
        file.set_modified(time).map_err(failed("write", &path))
    }

    /// Whether `id` was removed, and not used since.
    pub fn is_removed(&self, id: &InstanceId) -> bool {
        let removed = fs::metadata(self.file(id, REMOVED)).and_then(|meta| meta.modified());
        removed.is_ok_and(|removed| self.last_used(id).is_none_or(|used| used <= removed))
    }

    /// Remembers that `id` was removed at `time`: a mark, which the next use makes void.
    ///
    /// # Errors
    /// When the disk refuses, or `life` is over.
    pub fn set_removed(&self, id: &InstanceId, life: Life, time: SystemTime) -> Result<(), StoreError> {
        self.stamp(id, life, REMOVED, time)
    }

    /// What the files of `id` took on the disk when they were counted last, and when that was.
    pub fn disk(&self, id: &InstanceId) -> Option<(DiskUse, SystemTime)> {
        let path = self.file(id, DISK);
        let counted = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
        Some((serde_json::from_slice(&read(&path).ok()?).ok()?, counted))
    }

    /// Remembers that they take so much now.
    ///
    /// # Errors
    /// When the disk refuses, or `life` is over; the old record stays.
    pub fn set_disk(&self, id: &InstanceId, life: Life, disk: &DiskUse) -> Result<(), StoreError> {
        self.write(&self.prepared(id, life, DISK)?, disk)
    }

    /// [`Self::mint_key`], if there is one.
    pub fn known_mint_key(&self, id: &InstanceId) -> Option<[u8; KEY_BYTES]> {
        read(&self.file(id, MINT_KEY)).ok()?.try_into().ok()
    }

    /// The server's half of the key that seals the secrets in a browser: 32 random bytes, made on first use and the same ever
    /// after, because the workbench throws away what it cannot unseal.
    ///
    /// # Errors
    /// When it cannot be stored: a key that is gone tomorrow would be worse than none. And when `life` is over, or it is a name too many.
    pub fn mint_key(&self, id: &InstanceId, life: Life) -> Result<[u8; KEY_BYTES], StoreError> {
        admit(&self.dir, id)?;
        let Prepared { path, _writing } = self.prepared(id, life, MINT_KEY)?;
        for _ in 0..2 {
            match read(&path) {
                Ok(content) => match <[u8; KEY_BYTES]>::try_from(content.as_slice()) {
                    Ok(key) => return Ok(key),
                    Err(_) => {
                        let aside = path.with_extension("broken");
                        tracing::error!(instance = %id, "{} is broken, moved to {}", path.display(), aside.display());
                        fs::rename(&path, &aside).map_err(failed("move", &path))?;
                    }
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("read", &path)(e)),
            }
            if let Some(key) = create_key(&path)? {
                return Ok(key);
            }
            // Somebody else was quicker: theirs counts.
        }
        Err(failed("read", &path)(io::ErrorKind::InvalidData.into()))
    }

    fn file(&self, id: &InstanceId, name: &str) -> PathBuf {
        self.dir.join(id.as_str()).join(name)
    }

    fn prepared(&self, id: &InstanceId, life: Life, name: &str) -> Result<Prepared<'_>, StoreError> {
        let _writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        let dir = self.dir.join(id.as_str());
        if life != self.life(id) {
            return Err(failed("write", &dir.join(name))(io::Error::other("the instance was purged meanwhile")));
        }
        if !dir.is_dir() {
            sys::create_private_dir(&dir).map_err(failed("make", &dir))?;
        }
        Ok(Prepared { path: dir.join(name), _writing })
    }

    fn write(&self, Prepared { path, .. }: &Prepared<'_>, record: &impl Serialize) -> Result<(), StoreError> {
        let content = serde_json::to_vec(record).map_err(|e| failed("encode", path)(e.into()))?;
        sys::write_atomic(path, &content).map_err(failed("write", path))
    }
}

/// Makes the key file whole or not at all; none when there is one already.
fn create_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, StoreError> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|e| failed("fill", path)(io::Error::other(e)))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed("write", path))?;
    io::Write::write_all(&mut file, &key).map_err(failed("write", path))?;
    file.as_file().sync_all().map_err(failed("write", path))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(Some(key)),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(failed("write", path)(e.error)),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut content = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut content)?;
    Ok(content)
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError { action, path: path.clone(), source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, StateStore, InstanceId) {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path().join("state")).unwrap();
        (dir, store, "alice".parse().unwrap())
    }

    #[test]
    fn the_key_is_stable_private_and_one_per_instance() {
        let (dir, store, alice) = store();
        let life = store.life(&alice);
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| store.mint_key(&alice, life).unwrap())).collect();
            makers.into_iter().map(|m| m.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "made once, however many ask");
        let bob = "bob".parse().unwrap();
        assert_ne!(store.mint_key(&bob, store.life(&bob)).unwrap(), keys[0]);
        let mode = fs::metadata(dir.path().join("state/alice/mint-key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_of_a_life_that_is_over_is_written() {
        let (dir, store, alice) = store();
        let (time, disk, opened) = (SystemTime::now(), DiskUse { bytes: 7, complete: true }, LastOpened::default());
        let opened = LastOpened { folder: Some("/a".into()), ..opened };
        let life = store.life(&alice);
        store.mint_key(&alice, life).unwrap();
        store.forget(&alice).unwrap();
        assert!(store.mint_key(&alice, life).is_err());
        assert!(store.set_last_used(&alice, life, time).is_err() && store.set_removed(&alice, life, time).is_err());
        assert!(store.set_disk(&alice, life, &disk).is_err() && store.set_last_opened(&alice, life, &opened).is_err());
        assert!(!dir.path().join("state/alice").exists());
        store.mint_key(&alice, store.life(&alice)).unwrap();
    }

    #[test]
    fn whoever_writes_while_it_is_forgotten_leaves_nothing_and_is_in_nobodys_way() {
        let (dir, store, alice) = store();
        let path = dir.path().join("state/alice");
        for _ in 0..100 {
            let life = store.life(&alice);
            store.mint_key(&alice, life).unwrap();
            std::thread::scope(|scope| {
                let write = |what: fn(&StateStore, &InstanceId, Life) -> bool| {
                    let (store, alice) = (&store, &alice);
                    scope.spawn(move || while what(store, alice, life) {})
                };
                write(|store, id, life| store.set_last_used(id, life, SystemTime::now()).is_ok());
                write(|store, id, life| store.set_disk(id, life, &DiskUse { bytes: 7, complete: true }).is_ok());
                write(|store, id, life| store.mint_key(id, life).is_ok());
                std::thread::yield_now();
                store.forget(&alice).unwrap();
            });
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_broken_key_is_set_aside() {
        let (dir, store, alice) = store();
        store.mint_key(&alice, store.life(&alice)).unwrap();
        let path = dir.path().join("state/alice/mint-key");
        fs::write(&path, b"short").unwrap();
        let key = store.mint_key(&alice, store.life(&alice)).unwrap();
        assert_eq!(store.mint_key(&alice, store.life(&alice)).unwrap(), key);
        assert_eq!(fs::read(path.with_extension("broken")).unwrap(), b"short");
    }

    #[test]
    fn a_use_is_remembered() {
        let (_dir, store, alice) = store();
        assert_eq!(store.last_used(&alice), None);
        let then = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        for time in [then, then + std::time::Duration::from_secs(60)] {
            store.set_last_used(&alice, store.life(&alice), time).unwrap();
            assert_eq!(store.last_used(&alice), Some(time));
        }
        let later = |seconds| then + std::time::Duration::from_secs(seconds);
        assert!(!store.is_removed(&alice));
        store.set_removed(&alice, store.life(&alice), later(100)).unwrap();
        assert!(store.is_removed(&alice));
        store.set_last_used(&alice, store.life(&alice), later(101)).unwrap();
        assert!(!store.is_removed(&alice), "who uses it has it back");
        store.set_removed(&alice, store.life(&alice), later(200)).unwrap();
        assert!(store.is_removed(&alice), "and it can go again");
    }

    #[test]
    fn last_opened_survives_a_broken_record() {
        let (dir, store, alice) = store();
        assert_eq!(store.last_opened(&alice), LastOpened::default());
        let opened = LastOpened { folder: Some("/a".into()), workspace: None };
        store.set_last_opened(&alice, store.life(&alice), &opened).unwrap();
        assert_eq!(store.last_opened(&alice), opened);
        fs::write(dir.path().join("state/alice/last-opened.json"), b"{\"folder\":").unwrap();
        assert_eq!(store.last_opened(&alice), LastOpened::default());
        store.set_last_opened(&alice, store.life(&alice), &opened).unwrap();
        assert_eq!(store.last_opened(&alice), opened);
    }
}
