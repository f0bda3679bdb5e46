//! What runs beside the agent, counted from the inside: outside, nobody but root may look at a tenant's processes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::engine::processes;
use crate::model::Usage;
use crate::sys::{self, Pid, Process};

/// What a process that cannot be looked at is called: one that has forbidden it, as key agents do.
const HIDDEN: &str = "(hidden)";

/// Our own control group, which is the instance's.
pub(super) fn control_group() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from("/sys/fs/cgroup").join(path))
}

/// Counts.
///
/// # Errors
/// When the control group does not say who is in it.
pub(super) fn usage() -> io::Result<Usage> {
    let members = control_group().ok_or(io::ErrorKind::NotFound)?.join("cgroup.procs");
    let before = pids(&fs::read_to_string(&members)?);
    let mut seen = sys::processes(&before, processes::DEBUGGED);
    let after = pids(&fs::read_to_string(&members)?);
    add_hidden(&mut seen, &before, &after);
    // The engine is our child, in our session; we are its first.
    let usage = processes::usage(&seen, rustix::process::getsid(None)?.as_raw_nonzero().get());
    Ok(Usage { ksm_profit: sys::merge_profit(&before), ..usage })
}

fn pids(text: &str) -> Vec<Pid> {
    text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

/// Who is a member before and after and yet cannot be looked at is there. Better the user's than nobody's.
fn add_hidden(seen: &mut Vec<Process>, before: &[Pid], after: &[Pid]) {
    let number = |pid: &Pid| pid.as_raw_nonzero().get();
    let known: HashSet<i32> = seen.iter().map(|process| process.pid).collect();
    let after: HashSet<i32> = after.iter().map(number).collect();
    let hidden = before.iter().map(number).filter(|pid| !known.contains(pid) && after.contains(pid));
    seen.extend(hidden.map(|pid| Process { pid, session: pid, name: HIDDEN.to_owned(), ..Process::default() }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_counted_and_what_has_ended_is_not() {
        let [known, hidden, ended] = [7, 8, 9].map(|pid| Pid::from_raw(pid).unwrap());
        let mut seen = vec![Process { pid: 7, session: 1, ..Process::default() }];
        add_hidden(&mut seen, &[known, hidden, ended], &[known, hidden]);
        let usage = processes::usage(&seen, 1);
        assert_eq!((usage.processes, usage.user_processes, usage.programs), (2, 1, vec![HIDDEN.to_owned()]));
    }

    #[test]
    fn members() {
        assert_eq!(pids("12\n7\n0\n\n").len(), 2);
    }
}
