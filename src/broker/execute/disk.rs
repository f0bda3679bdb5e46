//! What is done to the files of an instance, beside making an empty home: each by a program that may do it, in a unit of its own.

use std::io::Read;
use std::path::Path;

use super::{Executor, is_at_rest};
use crate::broker::accounts::Account;
use crate::broker::cgroup;
use crate::broker::error::BrokerError;
use crate::broker::properties;
use crate::broker::volume::{Order, What};
use crate::config::SNAPSHOTS;
use crate::model::{DiskAnswer, DiskJob, InstanceId};
use crate::proto::{BrokerAnswer, BrokerReply, MAX_REPLY};

/// The unit of a job on the files of `id`.
pub(super) fn unit(id: &InstanceId) -> String {
    format!("hoody-code-volume@{id}.service")
}

impl Executor {
    /// Does a job of the operator's.
    pub(super) async fn disk(&self, id: &InstanceId, what: &DiskJob) -> Result<DiskAnswer, BrokerError> {
        let running = !is_at_rest(self.systemd.state(&cgroup::unit(id)).await?.as_ref());
        let known = self.accounts.find(id)?;
        let account = match what {
            DiskJob::Restore { .. } | DiskJob::Template { .. } if running => return Err(BrokerError::Runs(id.clone())),
            // It may come from another host, and be new here. What has no snapshots gets no account.
            DiskJob::Restore { .. } if known.is_none() && Path::new(SNAPSHOTS).join(id.as_str()).is_dir() => {
                self.account(id, &Self::config_of(id)?)?
            }
            // All services have their new homes from there.
            DiskJob::Template { .. } if self.owner(id).0.is_some() => return Err(BrokerError::OfService(id.clone())),
            // A class that nobody has would have a template that nobody gets.
            DiskJob::Template { class } if !Self::config()?.hosting.classes().any(|one| one.name == class.as_str()) => {
                return Err(BrokerError::NoClass(class.to_string()));
            }
            DiskJob::List {} | DiskJob::Delete { .. } => known.unwrap_or(Account { uid: u32::MAX }),
            _ => known.ok_or_else(|| BrokerError::NotFound(id.clone()))?,
        };
        self.volume(id, account, running, What::Job(what.clone())).await
    }

    /// Makes the home of `id`, where that is more than to make a directory. Whether it is a new one.
    pub(super) async fn make_home(&self, id: &InstanceId, account: Account, class: &str) -> Result<bool, BrokerError> {
        if !self.volumes.needs_making(id, class) {
            return Ok(false);
        }
        self.volume(id, account, false, What::Make { class: class.to_owned() }).await?;
        Ok(true)
    }

    /// Deletes snapshots, and what its user alone could not delete of a home.
    pub(super) async fn purge_volumes(&self, id: &InstanceId, account: Account) -> Result<(), BrokerError> {
        if self.volumes.on_btrfs() || Path::new(SNAPSHOTS).join(id.as_str()).symlink_metadata().is_ok() {
            self.volume(id, account, false, What::Purge).await?;
        }
        Ok(())
    }

    /// Runs the program, and reads what it says.
    async fn volume(&self, id: &InstanceId, account: Account, running: bool, what: What) -> Result<DiskAnswer, BrokerError> {
        let unit = unit(id);
        let failed = |reason: String| BrokerError::Unit { action: "no answer of", unit: unit.clone(), reason };
        let order = Order { id: id.clone(), uid: account.uid, running, what };
        let order = serde_json::to_string(&order).map_err(|e| failed(e.to_string()))?;
        let (answer, output) = std::io::pipe().map_err(|e| failed(e.to_string()))?;
        self.systemd.reset_failed(&unit).await;
        // A unit of a broker that was killed: its job is finished first.
        let earlier = self.systemd.state(&unit).await?;
        if !is_at_rest(earlier.as_ref()) {
            return Err(failed("an earlier job is not done yet".to_owned()));
        }
        let properties = properties::of_volume(id, &self.program, order, output.into());
        let ran = self.systemd.start_transient(&unit, &properties).await;
        drop(properties);
        ran?;
        // It has ended, and a pipe holds all that it may have said.
        let mut text = Vec::new();
        answer.take(MAX_REPLY as u64).read_to_end(&mut text).map_err(|e| failed(e.to_string()))?;
        match serde_json::from_slice(&text) {
            Ok(BrokerReply::Ok(BrokerAnswer::Disk(answer))) => Ok(answer),
            Ok(BrokerReply::Refused { code, message }) => Err(BrokerError::Volume { code, message }),
            _ => Err(failed("it said nothing; its log says more".to_owned())),
        }
    }
}
