//! Why the daemon cannot serve.

use std::io;

/// A daemon that does not come up, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The login cannot be set up.
    #[error(transparent)]
    Auth(#[from] crate::auth::AuthError),
    /// The certificate cannot be used.
    #[error("cannot use {path} for TLS: {why}")]
    Certificate {
        /// The file that is at fault.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no engine to serve.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The engine's static files cannot be served.
    #[error(transparent)]
    Assets(#[from] crate::assets::AssetError),
    /// The launcher cannot work.
    #[error(transparent)]
    Launch(#[from] crate::launch::LaunchError),
    /// The instances' state cannot be kept.
    #[error(transparent)]
    Store(#[from] crate::instances::StoreError),
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon owns the data directory.
    #[error("another hoody-code serves {0} already")]
    Owned(std::path::PathBuf),
    /// The system refuses something basic.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
