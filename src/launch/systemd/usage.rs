//! What an instance uses: what runs is asked of its agent, memory and time are read where the kernel counts them.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::agent::{Agent, DEADLINE};
use crate::model::{DiskUse, InstanceId, Usage};
use crate::proto::unit::{HIERARCHY, SLICE_PATH, control_group};
use crate::proto::{AgentAnswer, AgentRequest};
use crate::sys;

/// How long a walk through a home may take: longer than the agent's own limit.
const WALK_DEADLINE: Duration = Duration::from_secs(30);

/// What the instance of `agent` uses.
pub(super) async fn of(agent: &Agent) -> io::Result<Usage> {
    let asking = tokio::time::timeout(DEADLINE, agent.ask(&AgentRequest::Usage));
    let usage = match asking.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        (AgentAnswer::Usage { usage }, _) => usage.harmless(),
        (AgentAnswer::Failed { errno }, _) => return Err(io::Error::from_raw_os_error(errno)),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(recount(&agent.id, usage))
}

/// `usage` with what the kernel counts for the instance's control group.
pub(super) fn recount(id: &InstanceId, usage: Usage) -> Usage {
    let group = control_group(id);
    let members = || fs::read_to_string(group.join("cgroup.procs")).map(|text| text.lines().count()).unwrap_or_default();
    Usage {
        processes: if usage.processes == 0 { members() } else { usage.processes },
        memory: memory(&group).unwrap_or(usage.memory),
        cpu_usec: cpu(&group).unwrap_or(usage.cpu_usec),
        ..usage
    }
}

/// What its home takes. The agent counts from the inside, where it can be led nowhere; the word is the tenant's in the end, and what
/// holds a tenant who lies is a quota.
pub(super) async fn disk_of(agent: &Agent) -> io::Result<DiskUse> {
    let asking = tokio::time::timeout(WALK_DEADLINE, agent.ask(&AgentRequest::Disk));
    match asking.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        (AgentAnswer::Disk { disk }, _) => Ok(disk),
        (AgentAnswer::Failed { errno }, _) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The worse of the whole host's, and of what the instances have because of their own common ceiling. Read from control groups: of
/// `/proc` the front sees processes only.
pub(super) fn memory_pressure() -> Option<f32> {
    let groups = [HIERARCHY.to_owned(), format!("{HIERARCHY}{SLICE_PATH}")];
    let shares = groups.iter().filter_map(|group| sys::memory_pressure(&Path::new(group).join("memory.pressure")));
    shares.max_by(f32::total_cmp)
}

/// Memory of the control group that belongs to no file on a disk (cgroup v2, `memory.stat`, `memory.swap.current`).
fn memory(group: &Path) -> Option<u64> {
    let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
    let swapped = fs::read_to_string(group.join("memory.swap.current")).ok().and_then(|text| text.trim().parse().ok());
    Some(value(&stat, "anon")? + value(&stat, "shmem")? + swapped.unwrap_or(0))
}

/// Its processor time in microseconds (cgroup v2, `cpu.stat`).
fn cpu(group: &Path) -> Option<u64> {
    value(&fs::read_to_string(group.join("cpu.stat")).ok()?, "usage_usec")
}

/// A line `KEY VALUE`.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("memory.stat"), "anon 1000\nfile 5\nanon_thp 7\nshmem 20\n").unwrap();
        assert_eq!(memory(dir.path()), Some(1020));
        fs::write(dir.path().join("memory.swap.current"), "300\n").unwrap();
        assert_eq!(memory(dir.path()), Some(1320));
        fs::write(dir.path().join("cpu.stat"), "usage_usec 42\nuser_usec 40\n").unwrap();
        assert_eq!(cpu(dir.path()), Some(42));
        assert_eq!((memory(Path::new("/no/such")), cpu(Path::new("/no/such"))), (None, None));
    }
}
