//! Why there is no lease, or no stored state.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::FailureCause;

/// Why an instance cannot be used now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcquireError {
    /// As many instances as allowed run already.
    #[error("as many instances run as may: {limit}")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// It is still starting; ask again.
    #[error("the instance is starting")]
    Starting {
        /// How long the request has waited.
        waited: Duration,
    },
    /// Its start failed.
    #[error("the instance {cause}")]
    Failed {
        /// What happened.
        cause: FailureCause,
        /// The last lines of its engine's output, for its owner only.
        log: Vec<String>,
    },
    /// The host is being emptied.
    #[error("nothing starts on this server at the moment: it is being emptied")]
    Draining,
    /// The daemon is going down.
    #[error("the service is shutting down")]
    ShuttingDown,
}

/// State of an instance that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct StoreError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

impl StoreError {
    /// Whether it was refused because something is remembered of many others already that were never started, either.
    pub fn is_of_a_name_too_many(&self) -> bool {
        self.source.get_ref().is_some_and(|cause| cause.is::<NeverStarted>())
    }
}

/// Nothing is remembered of a further instance before it has been started.
#[derive(Debug, thiserror::Error)]
#[error("too many instances that were never started are remembered: open this one first")]
pub(super) struct NeverStarted;

/// Why roaming state was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RoamingError {
    /// More than is kept.
    #[error("{0} is too large")]
    TooLarge(&'static str),
    /// A scope that no workbench has.
    #[error("there is no such scope")]
    InvalidScope,
    /// What was sent is of an instance that was purged.
    #[error("there is no such instance any more")]
    Forgotten,
    /// The daemon is going down.
    #[error("the service is shutting down")]
    Lost,
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}
