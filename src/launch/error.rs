//! What can go wrong in launching.

use std::io;
use std::path::PathBuf;

/// An instance that could not be launched or ended.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its directories cannot be made.
    #[error("cannot prepare {path}: {source}")]
    Prepare {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its program cannot be spawned.
    #[error("cannot spawn {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Some of its processes do not end.
    #[error("{0} processes do not end")]
    Unkillable(usize),
    /// Whether some of its processes still run cannot be seen.
    #[error("cannot look for processes: {0}")]
    Look(#[source] io::Error),
    /// Its files cannot be deleted.
    #[error("cannot delete {path}: {source}")]
    Delete {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such instance, or it does not run.
    #[error("there is no such instance")]
    NotRunning,
    /// Not as things are.
    #[error("{0}")]
    Conflict(String),
    /// This launcher has no such thing.
    #[error("{0} are made by the broker: this daemon runs without one")]
    Unsupported(&'static str),
    /// The broker said no, or cannot be reached.
    #[error("broker: {0}")]
    Broker(String),
    /// The broker ended before it answered. What was asked for may have been done.
    #[error("the broker ended before it answered")]
    Lost,
    /// The launcher is shutting down.
    #[error("the launcher is shutting down")]
    Closed,
}
