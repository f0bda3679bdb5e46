//! What can go wrong with an engine's static files.

use std::path::PathBuf;

use crate::engine::EngineError;

/// Why a request gets no file. What its sender is told is the front's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no file of that name.
    NotFound,
    /// It is neither a GET nor a HEAD.
    Method,
    /// The range lies outside of the file.
    Range {
        /// The file's bytes.
        size: u64,
    },
    /// The file is not what its manifest says. It is in the log.
    Broken,
}

/// Why an engine's static files cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// The manifest cannot be read.
    #[error("cannot serve the files of an engine: {0}")]
    Manifest(#[from] EngineError),
    /// The manifest holds something that cannot be a header.
    #[error("{path} in the manifest of {engine}: {field} is not a valid header")]
    Header {
        /// The engine's directory.
        engine: PathBuf,
        /// The file's path in the manifest.
        path: String,
        /// What is wrong.
        field: String,
    },
}
