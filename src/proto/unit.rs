//! An instance's unit and control group: the broker makes them, the front reads what is counted there.

use std::path::PathBuf;

use crate::model::InstanceId;

/// The slice of all instances, as systemd nests it: a dash is a level (systemd.slice(5)).
pub const SLICE: &str = "hoody-code-instances.slice";

/// Where the unified hierarchy of control groups is.
pub const HIERARCHY: &str = "/sys/fs/cgroup";

/// The slice's place in it, as `/proc/PID/cgroup` has it.
pub const SLICE_PATH: &str = "/hoody.slice/hoody-code.slice/hoody-code-instances.slice";

/// The unit of `id`.
pub fn unit(id: &InstanceId) -> String {
    format!("hoody-code-instance@{id}.service")
}

/// The instance whose unit this is.
pub fn instance_of(unit: &str) -> Option<InstanceId> {
    unit.strip_prefix("hoody-code-instance@")?.strip_suffix(".service")?.parse().ok()
}

/// The control group of `id`.
pub fn control_group(id: &InstanceId) -> PathBuf {
    PathBuf::from(format!("{HIERARCHY}{SLICE_PATH}/{}", unit(id)))
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
