//! What can go wrong with passwords and sessions.

use std::io;
use std::path::PathBuf;

/// A login that cannot be set up, or a session that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A configured hash cannot be used.
    #[error("the hashed password of {scope} cannot be used: {why}; make one with 'hoody-code password'")]
    Hash {
        /// Whose password: `the service` or `instance ID`.
        scope: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A password cannot be hashed.
    #[error("cannot hash a password: {0}")]
    Hashing(String),
    /// A file of ours cannot be read or written.
    #[error("cannot keep {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A password that was made earlier is none any more.
    #[error("{path} is no password: {source}; remove the file to have a new one made")]
    Made {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::model::InvalidPassword,
    },
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// Work that was put aside did not come back.
    #[error("a check was broken off")]
    Broken,
}
