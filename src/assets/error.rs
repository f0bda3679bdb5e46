//! What can go wrong while opening an engine's static files.

use std::path::PathBuf;

use crate::engine::EngineError;

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
