//! Instances' control groups: where they are, and the one file of theirs that the broker writes.

use std::io;
use std::path::PathBuf;

use crate::model::InstanceId;

/// The slice of all instances, as systemd nests it: a dash is a level (systemd.slice(5)).
pub(super) const SLICE: &str = "hoody-code-instances.slice";

/// Where the unified hierarchy of control groups is.
pub(super) const HIERARCHY: &str = "/sys/fs/cgroup";

/// The slice's place in it, as `/proc/PID/cgroup` has it.
pub(super) const SLICE_PATH: &str = "/hoody.slice/hoody-code.slice/hoody-code-instances.slice";

/// The unit of `id`.
pub(super) fn unit(id: &InstanceId) -> String {
    format!("hoody-code-instance@{id}.service")
}

/// The instance whose unit this is.
pub(super) fn instance_of(unit: &str) -> Option<InstanceId> {
    unit.strip_prefix("hoody-code-instance@")?.strip_suffix(".service")?.parse().ok()
}

/// The control group of `id`.
pub(super) fn dir(id: &InstanceId) -> PathBuf {
    PathBuf::from(format!("{HIERARCHY}{SLICE_PATH}/{}", unit(id)))
}

/// Asks the kernel to push `bytes` of its memory out (cgroup v2, `memory.reclaim`). Less is no error.
pub(super) fn reclaim(id: &InstanceId, bytes: u64) -> io::Result<()> {
    match std::fs::write(dir(id).join("memory.reclaim"), bytes.to_string()) {
        // EAGAIN: the kernel found less than was wished for.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn units_and_ids() {
        let id: InstanceId = "acme-web-code-1".parse().unwrap();
        assert_eq!(unit(&id), "hoody-code-instance@acme-web-code-1.service");
        assert_eq!(instance_of(&unit(&id)), Some(id));
        assert_eq!(instance_of("hoody-code-instance@A.service"), None);
        assert_eq!(instance_of("ssh.service"), None);
    }
}
