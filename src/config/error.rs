//! What can be wrong with a configuration.

use std::path::PathBuf;

/// A configuration that cannot be used, with the place and the reason.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the TOML we know.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        message: String,
    },
    /// A value is of the right type and yet cannot be used.
    #[error("{key}: {message}")]
    Value {
        /// The key, or the option of the command line.
        key: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl ConfigError {
    /// A value that cannot be used.
    pub(crate) fn value(key: &'static str, message: impl Into<String>) -> Self {
        Self::Value { key, message: message.into() }
    }

    /// The same about another key.
    pub(super) fn of(self, key: &'static str) -> Self {
        match self {
            Self::Value { message, .. } => Self::Value { key, message },
            other => other,
        }
    }
}
