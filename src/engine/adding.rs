//! Adding engines to a store and removing them. An entry appears whole or not at all, by one rename.

use std::fs::{self, File};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::command::NODE_FLAGS;
use super::error::EngineError;
use super::installed::{CACHE_DIR, Engine, FORMAT, RECORD, Record};
use super::layout::Tree;
use super::pack::{self, Effort};
use super::store::{Store, check_id};
use super::warm::PRELOAD;
use super::{copy, warm};
use crate::sys::DirLock;

const STAGING: &str = ".staging-";
const TRASH: &str = ".trash-";

/// How far an [`add`](Store::add) has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Another add holds the store.
    Waiting,
    /// Files are copied or moved.
    Copying,
    /// Variants are made; bytes of work done and in all.
    Packing {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The engine is started once.
    Warming,
    /// Everything is written to disk and renamed into place.
    Finishing,
}

/// How to add an engine.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// Name of the entry; made from name, version and content when `None`.
    pub id: Option<String>,
    /// Take the tree away instead of copying it, where it is on the same file system. A failed add loses it then.
    pub move_tree: bool,
    /// Start the engine once to fill its compile cache. An engine added without starts too, more slowly.
    pub warm: bool,
    /// How hard to compress.
    pub effort: Effort,
    /// Where it came from, for people; the tree's path when `None`.
    pub source: Option<String>,
}

impl Default for AddOptions {
    fn default() -> Self {
        Self { id: None, move_tree: false, warm: true, effort: Effort::Best, source: None }
    }
}

impl Store {
    /// Adds `tree`. When the id is there already, that engine is the answer and nothing is done. Blocks for minutes; adds
    /// to the same store wait for each other, in whatever process.
    ///
    /// # Errors
    /// Any file operation, a node or an engine that does not start. The store is then as it was.
    pub fn add(&self, tree: &Tree, options: &AddOptions, progress: &mut dyn FnMut(Progress)) -> Result<Engine, EngineError> {
        let node_version = warm::node_version(&tree.node)?;
        let id = match &options.id {
            Some(id) => id.clone(),
            None => default_id(tree, &node_version)?,
        };
        check_id(&id)?;
        fs::create_dir_all(&self.dir).map_err(EngineError::io("create", &self.dir))?;
        let _lock = self.lock(progress)?;
        self.sweep();
        let target = self.dir.join(&id);
        if target.symlink_metadata().is_ok() {
            return Engine::open(&target).map_err(|error| match error {
                EngineError::NotAnEngine { path } | EngineError::RawTree { path } => EngineError::Occupied { path },
                other => other,
            });
        }
        let record = Record {
            format: FORMAT,
            product: tree.product.clone(),
            node_version,
            created: jiff::Timestamp::now().to_string(),
            source: options.source.clone().unwrap_or_else(|| tree.root.display().to_string()),
            node_flags: NODE_FLAGS.iter().map(ToString::to_string).collect(),
        };
        let staging =
            tempfile::Builder::new().prefix(STAGING).tempdir_in(&self.dir).map_err(EngineError::io("create a directory in", &self.dir))?;
        build(staging.path(), tree, &id, record, options, progress)?;
        fs::rename(staging.path(), &target).map_err(EngineError::io("rename into", &target))?;
        // The directory has its new name now; there is nothing left to clean up under the old one.
        let _ = staging.keep();
        sync(&self.dir)?;
        Engine::open(&target)
    }

    /// Removes an engine. Instances that run from it keep the files they have open and lose the rest.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], or the file operation that failed.
    pub fn remove(&self, id: &str) -> Result<(), EngineError> {
        let path = self.entry(id)?;
        let _lock = self.lock(&mut |_| ())?;
        let trash =
            tempfile::Builder::new().prefix(TRASH).tempdir_in(&self.dir).map_err(EngineError::io("create a directory in", &self.dir))?;
        // A directory that is renamed is gone for everybody at once; deleting takes seconds.
        fs::rename(&path, trash.path()).map_err(EngineError::io("remove", &path))?;
        let trash = trash.keep();
        copy::remove(&trash).map_err(EngineError::io("remove", &trash))
    }

    fn lock(&self, progress: &mut dyn FnMut(Progress)) -> Result<DirLock, EngineError> {
        DirLock::take(&self.dir, || progress(Progress::Waiting)).map_err(EngineError::io("lock", &self.dir))
    }

    /// Whoever holds the lock is the only one with a staging directory: all others are of adds that died.
    fn sweep(&self) {
        for item in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = item.file_name();
            let name = name.as_encoded_bytes();
            if (name.starts_with(STAGING.as_bytes()) || name.starts_with(TRASH.as_bytes()))
                && let Err(error) = copy::remove(&item.path())
            {
                tracing::warn!(path = %item.path().display(), %error, "cannot remove what an interrupted add left");
            }
        }
    }
}

/// Makes the whole entry in `dir`; the record last.
fn build(
    dir: &Path,
    tree: &Tree,
    id: &str,
    record: Record,
    options: &AddOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), EngineError> {
    progress(Progress::Copying);
    copy::file(&tree.node, &dir.join("node"))?;
    copy::tree(&tree.root, &dir.join("vscode"), options.move_tree)?;
    let root = dir.join("vscode");
    pack::pack(&root, &dir.join("static"), options.effort, &mut |done, total| progress(Progress::Packing { done, total }))?;
    if options.warm {
        progress(Progress::Warming);
        warm::write_preload(dir)?;
        warm::warm(&Engine::assemble(dir, id.to_owned(), record.clone()))?;
    }
    progress(Progress::Finishing);
    copy::open_to_readers(dir)?;
    if options.warm {
        // The cache is for reading: what users' extensions compile must not end up in it.
        copy::seal(&dir.join(CACHE_DIR))?;
    }
    let path = dir.join(RECORD);
    let text = serde_json::to_vec_pretty(&record).map_err(EngineError::json(&path))?;
    fs::write(&path, text).map_err(EngineError::io("write", &path))?;
    // One call for the ten thousand files of an engine.
    sync(dir)
}

fn sync(dir: &Path) -> Result<(), EngineError> {
    let handle = File::open(dir).map_err(EngineError::io("open", dir))?;
    rustix::fs::syncfs(&handle).map_err(|error| EngineError::io("sync", dir)(error.into()))
}

/// `<name>-<version>-<12 hex>`: the same tree with the same node, to be started in the same way, gives the same id, in the same format only.
fn default_id(tree: &Tree, node_version: &str) -> Result<String, EngineError> {
    let mut hash = Sha256::new();
    for name in ["product.json", "out/server-main.js"] {
        let path = tree.root.join(name);
        hash.update(fs::read(&path).map_err(EngineError::io("read", &path))?);
        hash.update([0]);
    }
    hash.update(node_version);
    hash.update(FORMAT.to_le_bytes());
    // What its processes are started with, and how.
    for part in NODE_FLAGS.iter().copied().chain([PRELOAD]) {
        hash.update(part);
        hash.update([0]);
    }
    let name: String = tree.product.name_short.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(format!("{}-{}-{}", name.trim_matches('-'), tree.product.version, &hex::encode(hash.finalize())[..12]))
}
