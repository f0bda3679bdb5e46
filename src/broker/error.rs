//! Why the broker did not do something.

use std::io;
use std::path::{Path, PathBuf};

use super::policy::Service;
use crate::config::ConfigError;
use crate::engine::EngineError;
use crate::model::InstanceId;
use crate::proto::RefusalCode;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// It is no request we know.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// It comes from somebody who has nothing to ask for.
    #[error("user {0} may not ask for anything")]
    Stranger(u32),
    /// It is about an instance of another service.
    #[error("{id} is an instance of {owner}, not of {asker}")]
    NotYours {
        /// Which.
        id: InstanceId,
        /// Whose it is.
        owner: Service,
        /// Who asked.
        asker: Service,
    },
    /// There is no such instance, or it does not run.
    #[error("there is no instance {0}")]
    NotFound(InstanceId),
    /// The configuration cannot be used.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// There is no engine to run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// All user ids are in use.
    #[error("no user id is left in the range {0}-{1}")]
    NoUid(u32, u32),
    /// The host has a user of the name that the instance's would get.
    #[error("the host has a user named {0} already")]
    NameTaken(String),
    /// What is at the place of the instance's directory belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to user {uid}, who is this instance: its files have to be given to that user")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The instance's user.
        uid: u32,
    },
    /// There is no class of this name.
    #[error("there is no [class.{0}]")]
    NoClass(String),
    /// What all services share is made by the host's own.
    #[error("{0} is another service's: templates are made from instances of the host's main one")]
    OfService(InstanceId),
    /// It takes an instance at rest.
    #[error("{0} runs: stop it first (hoody-code instances stop {0})")]
    Runs(InstanceId),
    /// Something is being done to it that may take long, and what was asked for waits for nothing.
    #[error("something else is being done to {0}")]
    Busy(InstanceId),
    /// A job on its files was not done.
    #[error("{message}")]
    Volume {
        /// What kind of reason.
        code: RefusalCode,
        /// The reason.
        message: String,
    },
    /// A file operation.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// systemd said no, or is not there.
    #[error("{action} {unit}: {reason}")]
    Unit {
        /// What was tried.
        action: &'static str,
        /// On which unit.
        unit: String,
        /// What systemd said.
        reason: String,
    },
}

impl BrokerError {
    /// For `map_err`.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// What the front's program is told; the text goes to the log.
    pub(super) fn code(&self) -> RefusalCode {
        match self {
            Self::Malformed(_) | Self::Stranger(_) => RefusalCode::Malformed,
            Self::NotFound(_) => RefusalCode::NotFound,
            Self::Runs(_) | Self::Busy(_) | Self::NoClass(_) | Self::OfService(_) => RefusalCode::Conflict,
            Self::Volume { code, .. } => *code,
            Self::NotYours { .. } | Self::Config(_) | Self::Engine(_) | Self::NoUid(..) | Self::NameTaken(_) | Self::Foreign { .. } => {
                RefusalCode::Configuration
            }
            Self::File { .. } | Self::Unit { .. } => RefusalCode::Failed,
        }
    }
}
