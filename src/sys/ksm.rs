//! Pages of memory that equal each other, kept once by the kernel (KSM, Documentation/admin-guide/mm/ksm.rst), and what that saves.

use std::fs;
use std::io;

use super::procfs::Pid;

/// What the kernel says of all of this host's memory.
const GENERAL_PROFIT: &str = "/sys/kernel/mm/ksm/general_profit";

/// Has the kernel look for pages of this process that equal others', and of what it starts from now on: over exec from Linux 6.7 on.
/// Nothing comes of it before the operator has it look at all (`/sys/kernel/mm/ksm/run`).
///
/// # Errors
/// `InvalidInput` from a kernel that cannot, which is one before 6.4, or built without.
pub fn merge_memory() -> io::Result<()> {
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this prctl takes plain numbers and changes a flag of our own address space.
    #[allow(unsafe_code)]
    let result = unsafe { libc::prctl(libc::PR_SET_MEMORY_MERGE, on, unused, unused, unused) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that are saved by what `pids` have in common with each other and with anybody else, what it costs taken off: it may be
/// less than nothing. None when the kernel looks at none of them, or we may not.
pub fn merge_profit(pids: &[Pid]) -> Option<i64> {
    let of = |pid: &Pid| profit(&fs::read_to_string(format!("/proc/{}/ksm_stat", pid.as_raw_nonzero())).ok()?);
    pids.iter().filter_map(of).reduce(i64::saturating_add)
}

/// The same of the whole host. None when its kernel does not know.
pub fn host_merge_profit() -> Option<i64> {
    fs::read_to_string(GENERAL_PROFIT).ok()?.trim().parse().ok()
}

fn profit(stat: &str) -> Option<i64> {
    let field = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim_start_matches(':').split_ascii_whitespace().next());
    let looked_at = field("ksm_rmap_items").is_some_and(|items| items != "0") || field("ksm_merge_any") == Some("yes");
    field("ksm_process_profit")?.parse().ok().filter(|_| looked_at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text() {
        let text = "ksm_rmap_items 76\nksm_zero_pages 0\nksm_merging_pages 4\nksm_process_profit -35000\nksm_merge_any: no\n";
        assert_eq!(profit(text), Some(-35_000));
        assert_eq!(profit("ksm_rmap_items 0\nksm_process_profit 0\nksm_merge_any: yes\nksm_mergeable: no\n"), Some(0));
        assert_eq!(profit("ksm_rmap_items 0\nksm_process_profit 0\nksm_merge_any: no\n"), None, "nobody looks");
        assert_eq!((profit(""), merge_profit(&[])), (None, None));
    }

    /// Not for this process itself: the other tests in it are not asked.
    #[test]
    fn what_is_started_inherits_it() {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("sleep");
        command.arg("1000");
        // SAFETY: one system call, no lock and no allocation between fork and exec.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(merge_memory);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            // A kernel that cannot.
            Err(e) => return assert_eq!(e.raw_os_error(), Some(libc::EINVAL)),
        };
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/ksm_stat", child.id())).unwrap_or_default();
        let seen = merge_profit(&[pid]);
        child.kill().unwrap();
        child.wait().unwrap();
        // Older kernels do not say it of one of which nothing was merged yet.
        if stat.contains("ksm_merge_any") {
            assert!(stat.contains("ksm_merge_any: yes"), "{stat}");
            assert!(seen.is_some());
        }
    }
}
