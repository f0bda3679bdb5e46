//! How a child is cut loose from this process, and yet cannot outlive it.

use std::io;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};

/// Gives the child a session and process group of its own, a file mask of 077, and the death of this process as a reason to die.
///
/// The kernel ties "parent" to the thread that spawns, so spawn from a thread that lives as long as the process.
pub fn isolate(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = rustix::process::getpid();
    let prepare = move || -> io::Result<()> {
        setsid()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the request took effect; then nobody would ever send the signal.
        if getppid() != Some(parent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: the closure makes bare system calls, takes no
    // lock and allocates nothing (an error from a kind holds no allocation).
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}
