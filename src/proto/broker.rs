//! Front ↔ broker.

use serde::{Deserialize, Serialize};

use crate::model::{DiskAnswer, DiskJob, InstanceId};

/// The most bytes of a request: a verb and an id, and what a job on its files is about.
pub const MAX_REQUEST: usize = 256;

/// The most bytes of a reply: a page of [`BrokerRequest::List`].
pub const MAX_REPLY: usize = 64 << 10;

/// The `result` of a unit that somebody stopped past the front.
pub const STOPPED_BY_OPERATOR: &str = "stopped-by-operator";

/// The `result` of a unit whose main process was ended by SIGKILL.
pub const KILLED: &str = "killed";

/// What the front may ask for. A verb and an id; everything else is the broker's own business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum BrokerRequest {
    /// Start the instance; its account and directory are made when they are missing. Answered when its program runs.
    Start {
        /// Which.
        id: InstanceId,
    },
    /// End everything of it. Answered when nothing of it runs.
    Stop {
        /// Which.
        id: InstanceId,
    },
    /// Give it less of the processors and disks than its class says, for as long as others want them.
    Lower {
        /// Which.
        id: InstanceId,
    },
    /// Give it what its class says.
    Raise {
        /// Which.
        id: InstanceId,
    },
    /// Freeze all its processes.
    Freeze {
        /// Which.
        id: InstanceId,
    },
    /// Let them go on.
    Thaw {
        /// Which.
        id: InstanceId,
    },
    /// Pass a connection to its agent, which opens sockets inside the instance's own network.
    Connect {
        /// Which.
        id: InstanceId,
    },
    /// Push memory it does not use out of RAM.
    Reclaim {
        /// Which.
        id: InstanceId,
        /// How many bytes are wished for.
        bytes: u64,
    },
    /// What is known of it.
    Show {
        /// Which.
        id: InstanceId,
    },
    /// What is known of all, in the order of their names, a page at a time.
    List {
        /// Begin after this one.
        after: Option<InstanceId>,
    },
    /// Stop it and forget how it ran; its files and its account stay.
    Remove {
        /// Which.
        id: InstanceId,
    },
    /// Stop it, delete its files, then its account.
    Purge {
        /// Which.
        id: InstanceId,
    },
    /// Do something with its files.
    Disk {
        /// Which.
        id: InstanceId,
        /// What.
        what: DiskJob,
    },
    /// Read the configuration again and apply changed limits to what runs. With braces, because of a variant without serde lets
    /// unknown fields pass.
    Reload {},
}

impl BrokerRequest {
    /// The verb, for records.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Lower { .. } => "lower",
            Self::Raise { .. } => "raise",
            Self::Freeze { .. } => "freeze",
            Self::Thaw { .. } => "thaw",
            Self::Connect { .. } => "connect",
            Self::Reclaim { .. } => "reclaim",
            Self::Show { .. } => "show",
            Self::List { .. } => "list",
            Self::Remove { .. } => "remove",
            Self::Purge { .. } => "purge",
            Self::Disk { what, .. } => what.verb(),
            Self::Reload {} => "reload",
        }
    }

    /// The instance it is about.
    pub fn id(&self) -> Option<&InstanceId> {
        match self {
            Self::Start { id }
            | Self::Stop { id }
            | Self::Lower { id }
            | Self::Raise { id }
            | Self::Freeze { id }
            | Self::Thaw { id }
            | Self::Connect { id }
            | Self::Reclaim { id, .. }
            | Self::Show { id }
            | Self::Remove { id }
            | Self::Purge { id }
            | Self::Disk { id, .. } => Some(id),
            Self::List { .. } | Self::Reload {} => None,
        }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerReply {
    /// It was done.
    Ok(BrokerAnswer),
    /// It was not.
    Refused {
        /// For the program.
        code: RefusalCode,
        /// For the log.
        message: String,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerAnswer {
    /// There is nothing more to say.
    Done,
    /// To [`BrokerRequest::Show`].
    Unit(UnitStatus),
    /// To [`BrokerRequest::List`]; as many as fit.
    Units(Vec<UnitStatus>),
    /// To [`BrokerRequest::Disk`].
    Disk(DiskAnswer),
    /// To [`BrokerRequest::Purge`]: what is left and why, when something is.
    Left(String),
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// It is no request we know.
    Malformed,
    /// There is no such instance, or it does not run.
    NotFound,
    /// The operator's configuration forbids it or makes it impossible.
    Configuration,
    /// Not as things are: it runs, or the name is taken.
    Conflict,
    /// systemd or the system said no.
    Failed,
}

/// What systemd knows of an instance, and what the disk does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Which.
    pub id: InstanceId,
    /// Whether it runs.
    pub state: RunState,
    /// How it ended, in systemd's words (`success`, `oom-kill`, `timeout`, `exit-code` …); meaningful when it does not run.
    pub result: String,
    /// Its user and group id.
    pub uid: u32,
    /// Name of the engine it runs.
    pub engine: Option<String>,
    /// Name of its class.
    pub class: String,
    /// Since when it runs, in microseconds of the epoch; 0 when it does not.
    pub since: u64,
    /// Whether its processes are frozen.
    pub frozen: bool,
}

/// A unit's state as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It runs.
    Active,
    /// It is on its way up or down.
    Changing,
    /// It ended badly.
    Failed,
    /// It does not run.
    Inactive,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BrokerRequest, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn requests_round_trip_and_fit() {
        let id: InstanceId = "x".repeat(63).parse().unwrap();
        let all = [
            BrokerRequest::Start { id: id.clone() },
            BrokerRequest::Reclaim { id: id.clone(), bytes: u64::MAX },
            BrokerRequest::List { after: Some(id.clone()) },
            BrokerRequest::Disk { id, what: DiskJob::Restore { name: "y".repeat(63).parse().unwrap() } },
            BrokerRequest::Reload {},
        ];
        for request in all {
            let text = serde_json::to_string(&request).unwrap();
            assert!(text.len() <= MAX_REQUEST, "{text}");
            assert_eq!(parse(&text).unwrap(), request);
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for text in [
            r#"{"verb":"start","id":"../../etc"}"#,
            r#"{"verb":"start","id":"a/b"}"#,
            r#"{"verb":"start","id":"A"}"#,
            r#"{"verb":"start","id":""}"#,
            r#"{"verb":"start","id":"a","uid":0}"#,
            r#"{"verb":"start"}"#,
            r#"{"verb":"reload","id":"a"}"#,
            r#"{"verb":"exec","id":"a"}"#,
            r#"{"verb":"reclaim","id":"a","bytes":-1}"#,
            r#"{"verb":"disk","id":"a"}"#,
            r#"{"verb":"disk","id":"a","what":{"job":"list","uid":0}}"#,
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
