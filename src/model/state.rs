//! The states of an instance's life, as the API shows them.

use serde::Serialize;

/// Where an instance is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum InstanceState {
    /// Nothing runs; the next request starts it.
    Stopped,
    /// A start is under way.
    Starting {
        /// How far it is.
        stage: Stage,
    },
    /// Its engine answers.
    Running,
    /// It is being ended.
    Stopping,
    /// The last start or run ended badly; the next request tries again.
    Failed {
        /// What happened.
        cause: FailureCause,
    },
}

/// The stages of a start, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It waits for its turn: other starts are in flight.
    Queued,
    /// Its directories are made and its process is spawned.
    Launching,
    /// The process runs; its socket does not answer yet.
    Connecting,
}

/// Why an instance failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FailureCause {
    /// It could not be launched at all.
    Launch {
        /// What the launcher said, for the owner.
        message: String,
    },
    /// Its engine ended before it answered.
    DiedEarly {
        /// Exit status in words.
        status: String,
    },
    /// Its engine did not answer in time and was ended.
    Timeout {
        /// The time it was given, in seconds.
        seconds: u64,
    },
    /// Its engine ended while it was running.
    Crashed {
        /// Exit status in words.
        status: String,
    },
    /// It used more memory than it may, or than the host has, and was ended for it.
    OutOfMemory,
    /// The host has ended all of it at once: most likely it was short of memory.
    Killed,
    /// It has run for as long as it may.
    TimeLimit,
    /// The operator has stopped it.
    StoppedByOperator,
    /// As many as allowed run, and none of them could make room.
    NoRoom,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// By itself, or by a signal nobody of us sent.
    Crashed {
        /// Exit status in words.
        status: String,
    },
    /// For want of memory.
    OutOfMemory,
    /// By a signal that cannot be answered, sent by the host.
    Killed,
    /// By its run-time limit.
    TimeLimit,
    /// By the operator, past this daemon.
    StoppedByOperator,
}

impl From<EndCause> for FailureCause {
    fn from(cause: EndCause) -> Self {
        match cause {
            EndCause::Crashed { status } => Self::Crashed { status },
            EndCause::OutOfMemory => Self::OutOfMemory,
            EndCause::Killed => Self::Killed,
            EndCause::TimeLimit => Self::TimeLimit,
            EndCause::StoppedByOperator => Self::StoppedByOperator,
        }
    }
}

impl InstanceState {
    /// Whether nothing of it runs, is about to, or is being ended.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed { .. })
    }

    /// The state as a client may see it.
    pub fn for_client(&self) -> Self {
        match self {
            Self::Failed { cause } => Self::Failed { cause: cause.for_client() },
            other => other.clone(),
        }
    }

    /// The state's bare name, for logs and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting { .. } => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Failed { .. } => "failed",
        }
    }
}

impl FailureCause {
    /// The cause's bare name, as the API has it, for counters.
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["kind"].as_str().unwrap_or("unknown").to_owned()
    }

    /// Whether somebody meant it, or has to know before it goes on: then a request does not simply start the instance again.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::OutOfMemory | Self::Killed | Self::TimeLimit | Self::StoppedByOperator)
    }

    /// The cause as a client may see it: what a launcher says names paths of the server.
    pub fn for_client(&self) -> Self {
        match self {
            Self::Launch { .. } => Self::Launch { message: "the service's log says why".to_owned() },
            other => other.clone(),
        }
    }
}

impl std::fmt::Display for FailureCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Launch { message } => write!(f, "could not be launched: {message}"),
            Self::DiedEarly { status } => write!(f, "ended before it answered ({status})"),
            Self::Timeout { seconds } => write!(f, "did not answer within {seconds} seconds"),
            Self::Crashed { status } => write!(f, "ended while running ({status})"),
            Self::OutOfMemory => f.write_str("used more memory than it may, and was ended"),
            Self::Killed => f.write_str("was ended by the host, most likely because that was short of memory"),
            Self::TimeLimit => f.write_str("has run for as long as it may"),
            Self::StoppedByOperator => f.write_str("was stopped by the operator"),
            Self::NoRoom => f.write_str("found no free place"),
        }
    }
}
