//! The one file of instances' control groups that the broker writes.

use std::io;

use crate::model::InstanceId;

pub(super) use crate::proto::unit::{HIERARCHY, SLICE, SLICE_PATH, control_group as dir, instance_of, unit};

/// Asks the kernel to push `bytes` of its memory out (cgroup v2, `memory.reclaim`). Less is no error.
pub(super) fn reclaim(id: &InstanceId, bytes: u64) -> io::Result<()> {
    match std::fs::write(dir(id).join("memory.reclaim"), bytes.to_string()) {
        // EAGAIN: the kernel found less than was wished for.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}
