//! What an instance uses: what runs is asked of its agent, memory and time are read where the kernel counts them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agent::Agent;
use crate::model::{DiskUse, InstanceId, Usage};
use crate::proto::unit::{HIERARCHY, SLICE_PATH, control_group};
use crate::proto::{AgentAnswer, AgentRequest};
use crate::sys;

/// How long a walk through a home may take: longer than the agent's own limit.
const WALK_DEADLINE: Duration = Duration::from_secs(30);

/// Below how much of what there may be, in percent, memory is scarce. Not less, because what thrashes at a ceiling keeps more than a tenth of
/// it for its files (seen: 24 % of files, half of which count).
const LEFT: u64 = 15;

/// What the instance of `agent` uses.
pub(super) async fn of(agent: &Agent) -> io::Result<Usage> {
    let usage = match agent.ask_soon(&AgentRequest::Usage).await? {
        AgentAnswer::Usage { usage } => usage.harmless(),
        AgentAnswer::Failed { errno } => return Err(io::Error::from_raw_os_error(errno)),
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
///
/// The kernel counts for a group, and for the host, also those who wait because of a limit of their own below it (`psi_task_change` goes
/// up to the root). One tenant who has used up what is his must not look like a host that has: it counts only where little is left.
pub(super) fn memory_pressure() -> Option<f32> {
    let (host, slice) = (PathBuf::from(HIERARCHY), PathBuf::from(format!("{HIERARCHY}{SLICE_PATH}")));
    // In a container, the top has a limit too.
    let scarce = [is_scarce(&host, ceiling(&host).or_else(|| Some(sys::memory()))), is_scarce(&slice, ceiling(&slice))];
    let shares = [host, slice].into_iter().zip(scarce).filter_map(|(group, scarce)| {
        let share = sys::memory_pressure(&group.join("memory.pressure"))?;
        Some(if scarce { share } else { 0.0 })
    });
    shares.max_by(f32::total_cmp)
}

/// How much memory the processes of `group` may have together, and how much of that is free; none where nothing but the host limits them.
fn ceiling(group: &Path) -> Option<(u64, u64)> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let most = ["memory.high", "memory.max"].into_iter().filter_map(number).min()?;
    Some((most, most.saturating_sub(number("memory.current")?)))
}

/// Whether little is left of what `group` may have. Left is what is free, and half of what caches files: the rest is in use, such as the
/// engine itself, and is read again and again where it is taken away.
fn is_scarce(group: &Path, ceiling: Option<(u64, u64)>) -> bool {
    let Some((most, free)) = ceiling else { return false };
    // Who cannot tell (before Linux 5.9 the root has no such file) goes by the pressure alone.
    let Ok(stat) = fs::read_to_string(group.join("memory.stat")) else { return true };
    let files: u64 = ["active_file", "inactive_file"].iter().filter_map(|key| value(&stat, key)).sum();
    free + files / 2 < most / 100 * LEFT
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

    #[test]
    fn memory_is_scarce_when_little_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path();
        let write = |name: &str, text: &str| fs::write(group.join(name), text).unwrap();
        assert_eq!(ceiling(group), None);
        write("memory.max", "max\n");
        write("memory.high", "max\n");
        write("memory.current", "9500\n");
        assert_eq!(ceiling(group), None);
        assert!(!is_scarce(group, None), "its memory is the host's");
        write("memory.high", "10000\n");
        write("memory.max", "11000\n");
        assert_eq!(ceiling(group), Some((10_000, 500)));
        assert!(is_scarce(group, ceiling(group)), "nobody can tell what it is used for");
        write("memory.stat", "anon 9000\ninactive_file 1100\nactive_file 800\n");
        assert!(is_scarce(group, ceiling(group)));
        write("memory.stat", "anon 5000\ninactive_file 3000\nactive_file 1500\n");
        assert!(!is_scarce(group, ceiling(group)), "full of what can be read again");
        write("memory.current", "12000\n");
        assert_eq!(ceiling(group), Some((10_000, 0)));
    }
}
