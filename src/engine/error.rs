//! What can go wrong while finding, adding and opening engines.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the engine folder. Every message names the thing acted on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No `out/server-main.js` with a `product.json` beside it was found.
    #[error(
        "no vs code server found in {path}: looked for out/server-main.js and product.json there, in lib/vscode and one directory further down"
    )]
    NoTree {
        /// Where the search began.
        path: PathBuf,
    },
    /// A tree was found but no node binary that belongs to it.
    #[error("no node binary found beside {root}: pass --node PATH")]
    NoNode {
        /// The tree's root.
        root: PathBuf,
    },
    /// The node given or found does not run.
    #[error("{node} cannot be used as node: {reason}")]
    BadNode {
        /// The binary.
        node: PathBuf,
        /// What happened when it was asked for its version.
        reason: String,
    },
    /// `product.json` lacks something or holds something unusable.
    #[error("{path}: {reason}")]
    Product {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The verb, as in "cannot read".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A JSON file does not parse.
    #[error("cannot parse {path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// An engine id with characters that are not allowed.
    #[error("{id:?} is not an engine id: letters, digits, '.', '_' and '-' only, no leading '.', at most 128 characters")]
    BadId {
        /// The id as given.
        id: String,
    },
    /// An id that is not in the store.
    #[error("no engine {id} in {store}: --store names another directory, `hoody-code engine list` shows what is in one")]
    Unknown {
        /// The id.
        id: String,
        /// The store's directory.
        store: PathBuf,
    },
    /// The id is taken by something that does not open as an engine.
    #[error("{path} exists but is not a usable engine: remove it first")]
    Occupied {
        /// The entry's directory.
        path: PathBuf,
    },
    /// A directory that is not a finished entry.
    #[error("{path} is not an engine: it has no engine.json")]
    NotAnEngine {
        /// The directory.
        path: PathBuf,
    },
    /// A VS Code tree where an engine entry was expected.
    #[error("{path} is an unpacked vs code, not an engine: run `hoody-code engine add {path}` first")]
    RawTree {
        /// The directory.
        path: PathBuf,
    },
    /// An entry written by another version of this program.
    #[error("{path} has engine format {found}, this version reads {want}: add the engine again")]
    Format {
        /// The entry's directory.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The format this version writes.
        want: u32,
    },
    /// No engine anywhere.
    #[error(
        "no engine found (looked in {looked}): install hoody-code-engine, run `make build`, or `hoody-code engine add PATH --store DIR` with an unpacked code-server, openvscode-server or vscodium server and one of these directories"
    )]
    NotFound {
        /// The places, separated by commas.
        looked: String,
    },
    /// A place named by the operator holds no engine.
    #[error(
        "{path} ({origin}) holds no engine: run `hoody-code engine add PATH --store DIR`, or name an engine, or a directory of engines"
    )]
    Empty {
        /// The place.
        path: PathBuf,
        /// Who named it, such as `HOODY_CODE_ENGINE`.
        origin: &'static str,
    },
    /// The workbench's page is not what we know how to shape.
    #[error("cannot shape the page of the engine: {0}")]
    Page(String),
    /// The one start that fills the compile cache failed.
    #[error("the engine does not start: {reason}{}", tail(.log))]
    Warm {
        /// What was waited for.
        reason: String,
        /// The last of what it printed.
        log: String,
    },
}

fn tail(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("\n{log}") }
}

impl EngineError {
    /// A closure for `map_err` that says which verb failed on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Like [`EngineError::io`], for JSON.
    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Json { path, source }
    }
}
