//! What the broker writes down of instances beside their accounts: how they were started, and the few files of `/etc` that each has
//! of its own. It must survive the broker, but not a reboot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::accounts::Account;
use super::error::BrokerError;
use crate::config::BrokerConfig;
use crate::model::InstanceId;
use crate::proto::place;
use crate::sys;

/// What must survive the broker, but not a reboot (`RuntimeDirectory=` of its unit, which is kept when it stops).
pub(super) const RUNTIME: &str = "/run/hoody-code-broker";

/// What the tenant is called inside.
pub(super) const NAME: &str = "user";

/// The shell of terminals.
pub(super) const SHELL: &str = "/bin/bash";

/// What an instance was started with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) engine: Option<String>,
    pub(super) class: String,
    /// The limit on its disk that was in force last.
    #[serde(default)]
    pub(super) disk: Option<u64>,
    /// Whether the front has stopped it. One that does not run, did not fail and was not stopped by the front was stopped by the
    /// operator; systemd itself remembers nothing of a transient unit that ended well.
    #[serde(default)]
    pub(super) stopped: bool,
    /// The service that has started it; none: the host's main one. For when the configuration cannot say.
    #[serde(default)]
    pub(super) service: Option<String>,
    /// Whether it has less of the processors and disks than its class says.
    #[serde(default)]
    pub(super) lowered: bool,
}

/// The records.
pub(super) struct Records {
    runtime: PathBuf,
}

impl Records {
    /// The records in `runtime`.
    pub(super) fn new(runtime: impl Into<PathBuf>) -> Self {
        Self { runtime: runtime.into() }
    }

    /// Where the agent of `id` listens.
    pub(super) fn agent(&self, id: &InstanceId) -> PathBuf {
        self.runtime.join("agents").join(format!("{id}.sock"))
    }

    pub(super) fn private_dir(&self, name: &str) -> Result<PathBuf, BrokerError> {
        let dir = self.runtime.join(name);
        sys::create_private_dir(&dir).map_err(BrokerError::file("create", &dir))?;
        Ok(dir)
    }

    pub(super) fn run(&self, id: &InstanceId) -> Run {
        let text = fs::read(self.runtime.join("runs").join(id.as_str())).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn remember_run(&self, id: &InstanceId, run: &Run) -> Result<(), BrokerError> {
        let path = self.private_dir("runs")?.join(id.as_str());
        let text = serde_json::to_vec(run).map_err(|e| BrokerError::file("write", &path)(e.into()))?;
        sys::write_atomic(&path, &text).map_err(BrokerError::file("write", &path))
    }

    pub(super) fn forget_run(&self, id: &InstanceId) {
        let _ = fs::remove_file(self.runtime.join("runs").join(id.as_str()));
        let _ = fs::remove_file(self.runtime.join("agents").join(format!("{id}.sock")));
        let _ = fs::remove_dir_all(self.runtime.join("etc").join(id.as_str()));
    }

    /// The few files of `/etc` in which an instance would see the host and its neighbours, written for it alone.
    pub(super) fn files(&self, id: &InstanceId, account: Account, config: &BrokerConfig) -> Result<Vec<(String, String)>, BrokerError> {
        let dir = self.private_dir("etc")?.join(id.as_str());
        sys::create_private_dir(&dir).map_err(BrokerError::file("create", &dir))?;
        let uid = account.uid;
        let (home, shell) = (place::HOME, SHELL);
        let contents = [
            (
                "passwd",
                format!(
                    "root:x:0:0:root:/root:/usr/sbin/nologin\n{NAME}:x:{uid}:{uid}:{id}:{home}:{shell}\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
                ),
            ),
            ("group", format!("root:x:0:\n{NAME}:x:{uid}:\nnogroup:x:65534:\n")),
            (
                "nsswitch.conf",
                "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
                    .to_owned(),
            ),
            ("resolv.conf", super::network::resolv_conf(&config.hosting.network)),
        ];
        let mut files = Vec::new();
        for (name, content) in contents {
            // Not atomic: a running instance has the file itself bound, and shall see the change.
            let path = dir.join(name);
            fs::write(&path, content).map_err(BrokerError::file("write", &path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(BrokerError::file("open to readers", &path))?;
            files.push((path.display().to_string(), format!("/etc/{name}")));
        }
        Ok(files)
    }
}
