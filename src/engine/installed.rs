//! One finished entry of a store, opened. Never written to again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::layout::{self, Product};
#[cfg(feature = "front")]
use super::manifest::Manifest;

/// Version of an entry's layout. Part of the id, so a new layout never meets an old entry.
pub const FORMAT: u32 = 1;
/// The file that makes a directory an entry; written last.
pub(crate) const RECORD: &str = "engine.json";

/// The file by which the package marks what it keeps for editors that are open (`packaging/engine-upgrade.sh`).
const RETIRED: &str = "retired";

/// Where an entry has its compile cache; the preload script finds it beside its own directory.
pub(crate) const CACHE_DIR: &str = "compile-cache";

/// What `engine.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Layout version, see [`FORMAT`].
    pub format: u32,
    /// What the tree says about itself.
    pub product: Product,
    /// What `node --version` printed, such as `v24.21.0`.
    pub node_version: String,
    /// When the entry was made, RFC 3339, UTC.
    pub created: String,
    /// Where it came from, for people.
    pub source: String,
    /// Flags for node, the same as when its compile cache was filled: V8 refuses a cache made with others.
    #[serde(default = "first_flags")]
    pub node_flags: Vec<String>,
}

/// What engines were started with that do not say it themselves.
fn first_flags() -> Vec<String> {
    vec!["--max-semi-space-size=1".to_owned()]
}

/// An engine ready to run and to be served from. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    dir: PathBuf,
    root: PathBuf,
    node: PathBuf,
    base: String,
    static_prefix: String,
    preload: Option<PathBuf>,
    compile_cache: Option<PathBuf>,
    record: Record,
}

impl Engine {
    /// Opens the entry at `dir` (absolute after this call). Its name is its id.
    ///
    /// # Errors
    /// [`EngineError::RawTree`] when `dir` holds an unpacked VS Code, [`EngineError::NotAnEngine`] when it is no finished
    /// entry, [`EngineError::Format`] when another version wrote it, or that its files cannot be read.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        let dir = fs::canonicalize(dir).map_err(EngineError::io("open", dir))?;
        let id = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::open_as(&dir, id)
    }

    fn open_as(dir: &Path, id: String) -> Result<Self, EngineError> {
        let path = dir.join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(_) if layout::is_tree(dir) || layout::is_tree(&dir.join("lib/vscode")) => {
                return Err(EngineError::RawTree { path: dir.to_owned() });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(EngineError::NotAnEngine { path: dir.to_owned() });
            }
            Err(error) => return Err(EngineError::io("read", &path)(error)),
        };
        let record: Record = serde_json::from_slice(&text).map_err(EngineError::json(&path))?;
        if record.format != FORMAT {
            return Err(EngineError::Format { path: dir.to_owned(), found: record.format, want: FORMAT });
        }
        Ok(Self::assemble(dir, id, record))
    }

    /// The engine a directory will be, before its record is written: what [`warm`](super::warm) starts.
    pub(crate) fn assemble(dir: &Path, id: String, record: Record) -> Self {
        let base = format!("/{}-{}", record.product.quality, record.product.commit);
        let preload = dir.join("hoody/preload.cjs");
        let compile_cache = dir.join(CACHE_DIR);
        Self(Arc::new(Inner {
            id,
            root: dir.join("vscode"),
            node: dir.join("node"),
            static_prefix: format!("{base}/static/"),
            base,
            preload: preload.is_file().then_some(preload),
            compile_cache: compile_cache.is_dir().then_some(compile_cache),
            dir: dir.to_owned(),
            record,
        }))
    }

    /// The entry's name in its store.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The entry's directory, absolute.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Whether it is only there for the editors that run from it: its package holds another one by now.
    pub fn is_retired(&self) -> bool {
        self.0.dir.join(RETIRED).exists()
    }

    /// The VS Code server tree inside it.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// The node binary that belongs to it.
    pub fn node(&self) -> &Path {
        &self.0.node
    }

    /// What the tree says about itself.
    pub fn product(&self) -> &Product {
        &self.0.record.product
    }

    /// All of `engine.json`.
    pub fn record(&self) -> &Record {
        &self.0.record
    }

    /// `/<quality>-<commit>`: where VS Code's own URLs begin, and the path of its websocket.
    pub fn base(&self) -> &str {
        &self.0.base
    }

    /// `/<quality>-<commit>/static/`: what follows it is a path of the [`Manifest`].
    pub fn static_prefix(&self) -> &str {
        &self.0.static_prefix
    }

    /// Directory of the compressed variants and the manifest.
    pub fn static_dir(&self) -> PathBuf {
        self.0.dir.join("static")
    }

    /// The file node loads first, when the entry has a compile cache to switch on.
    pub fn preload(&self) -> Option<&Path> {
        self.0.preload.as_deref()
    }

    /// Directory of V8's compile cache, when it was filled: in it one directory per node, platform and user id.
    pub fn compile_cache(&self) -> Option<&Path> {
        self.0.compile_cache.as_deref()
    }

    /// Reads the manifest of the files a browser may have.
    ///
    /// # Errors
    /// When it is missing, does not parse or has another format.
    #[cfg(feature = "front")]
    pub fn manifest(&self) -> Result<Manifest, EngineError> {
        Manifest::read(&self.static_dir())
    }
}
