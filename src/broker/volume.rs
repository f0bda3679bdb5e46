//! What is done to the files of an instance from outside: its home made from a template, snapshots, a template made of it, and the end of
//! all of that. A small program of a transient unit, one job each, because the broker itself may not reach into homes.
//!
//! On btrfs homes, snapshots and templates are subvolumes. Elsewhere they are directories, and copies, which share blocks where the file
//! system can do that.

mod places;
mod tree;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::config::{HOMES, SNAPSHOTS, TEMPLATES};
use crate::model::{DiskAnswer, DiskJob, InstanceId, SnapshotName};
use crate::proto::{BrokerAnswer, BrokerReply, RefusalCode};
use places::Places;

/// What the broker wants done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// For which instance.
    pub(super) id: InstanceId,
    /// Its user.
    pub(super) uid: u32,
    /// Whether it runs.
    pub(super) running: bool,
    /// What.
    pub(super) what: What,
}

/// The jobs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// Make its home, from the template of its class if there is one.
    Make {
        /// The class.
        class: String,
    },
    /// What an operator wants.
    Job(DiskJob),
    /// Delete its home, where that takes more than its user can do, and its snapshots.
    Purge,
}

/// A job that was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeError {
    /// A snapshot has this name.
    #[error("there is a snapshot {0} already")]
    Exists(SnapshotName),
    /// No snapshot has this name.
    #[error("there is no snapshot {0}")]
    Missing(SnapshotName),
    /// The cap on snapshots.
    #[error("it has {0} snapshots, which is the most: delete one first (hoody-code instances snapshot --delete)")]
    TooMany(usize),
    /// There is nothing to work on.
    #[error("it has no home yet")]
    NoHome,
    /// It runs, and what has to be done takes it at rest.
    #[error("it runs, and a home that is no subvolume is copied at rest only: stop it first")]
    Runs,
    /// An instance that has nothing for a template.
    #[error("it has neither extensions nor settings to make a template of")]
    Nothing,
    /// A snapshot cannot be in another file system than the home.
    #[error("{SNAPSHOTS} is not in the file system of {HOMES}: mount it at /data, above both")]
    Elsewhere,
    /// What is in the place of the home is somebody else's.
    #[error("the home belongs to user {0}, not to this instance")]
    Foreign(u32),
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
}

impl VolumeError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    fn code(&self) -> RefusalCode {
        match self {
            Self::Exists(_) | Self::TooMany(_) | Self::Runs | Self::Nothing | Self::NoHome | Self::Missing(_) => RefusalCode::Conflict,
            Self::Elsewhere | Self::Foreign(_) => RefusalCode::Configuration,
            Self::File { .. } => RefusalCode::Failed,
        }
    }
}

/// `volume ORDER`. The answer goes to standard input, which is a pipe to the broker: what systemd makes of standard output and standard
/// error are records.
pub fn run_volume(arguments: &[OsString]) -> ExitCode {
    let order = match arguments {
        [order] => order.to_str().and_then(|text| serde_json::from_str::<Order>(text).ok()),
        _ => None,
    };
    let Some(order) = order else {
        eprintln!("hoody-code-broker volume: runs in a unit of its own, with an order of the broker's");
        return ExitCode::FAILURE;
    };
    let places = Places::new(HOMES, SNAPSHOTS, TEMPLATES);
    let reply = match places.carry_out(&order) {
        Ok(answer) => BrokerReply::Ok(BrokerAnswer::Disk(answer)),
        Err(e) => {
            tracing::warn!(instance = %order.id, "{e}");
            BrokerReply::Refused { code: e.code(), message: e.to_string() }
        }
    };
    let told = serde_json::to_vec(&reply).map_err(io::Error::other).and_then(|text| {
        let mut pipe = std::fs::File::from(rustix::stdio::stdin().try_clone_to_owned()?);
        pipe.write_all(&text)
    });
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Places {
    fn carry_out(&self, order: &Order) -> Result<DiskAnswer, VolumeError> {
        let (id, uid) = (&order.id, order.uid);
        match &order.what {
            What::Make { class } => self.make(id, uid, class).map(|()| DiskAnswer::Done),
            What::Purge => self.purge(id, uid).map(|()| DiskAnswer::Done),
            What::Job(DiskJob::List {}) => self.list(id).map(DiskAnswer::Snapshots),
            What::Job(DiskJob::Snapshot { name }) => self.snapshot(id, name.as_ref(), order.running),
            What::Job(DiskJob::Delete { name }) => self.delete(id, name).map(|()| DiskAnswer::Done),
            What::Job(DiskJob::Restore { name }) => self.restore(id, uid, name).map(|kept| DiskAnswer::Restored { kept }),
            What::Job(DiskJob::Template { class }) => self.template_of(id, class).map(|()| DiskAnswer::Done),
        }
    }
}
