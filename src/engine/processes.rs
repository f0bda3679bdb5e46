//! What runs of an instance, told apart: the engine's own processes from the user's. Pure.
//!
//! The engine, its pty host, watchers, extension hosts and what those start (language servers) stay in the session in which the
//! engine was started: none of them calls setsid(2). What a person starts is in another one: each terminal has a session of its
//! own, and what detaches itself has as well, or stays in its terminal's. So a session says nearly everything, and no name has to
//! be known. Two things it does not say:
//!
//! - A terminal's shell is there whether anybody needs it or not. It counts only when it does something.
//! - A program that is debugged without a terminal is a child of an extension host. It shows by its debugger.

use crate::model::Usage;
use crate::sys::Process;

/// How the process in which the engine keeps its terminals says what it is.
const PTY_HOST: &str = "--type=ptyHost";

/// Shells, by the name of their program's file. One that is not in here counts as the user's: better kept than lost. Those that run
/// most of what they are told inside themselves (pwsh, nu, elvish, ksh93, xonsh) are not: from outside they look idle while they work.
const SHELLS: &[&str] = &["ash", "bash", "busybox", "csh", "dash", "fish", "mksh", "rbash", "sh", "tcsh", "zsh"];

/// Options of shells whose value is the next argument, and no script.
const WITH_VALUE: &[&str] = &["--init-file", "--rcfile", "-O", "+O", "-o", "+o", "--init-command", "-C"];

/// Lines in the environment of a program that a debugger without a terminal has started: the JavaScript and the Python one. Those
/// for machine code trace it.
pub const DEBUGGED: &[&str] = &["VSCODE_INSPECTOR_OPTIONS=", "DEBUGPY_LAUNCHER_PORT="];

/// A Java machine that waits for a debugger, by the beginning of an argument.
const JAVA_DEBUGGED: &str = "-agentlib:jdwp";

/// What uses how much, and how much of it is the user's. `rows` are all processes of the instance, read with [`DEBUGGED`];
/// `session` is the one in which the engine was started.
pub fn usage(rows: &[Process], session: i32) -> Usage {
    let mut usage = Usage { processes: rows.len(), ..Usage::default() };
    for process in rows {
        usage.memory += process.memory;
        usage.cpu_usec += u64::try_from(process.cpu.as_micros()).unwrap_or(u64::MAX);
        if is_users(process, rows, session) {
            usage.user_processes += 1;
            usage.name(&process.name);
        }
    }
    usage
}

fn is_users(process: &Process, rows: &[Process], session: i32) -> bool {
    if process.session == session {
        return process.marked || process.traced || process.argv.iter().any(|argument| argument.starts_with(JAVA_DEBUGGED));
    }
    let keeps_terminals = |parent: &Process| {
        parent.pid == process.parent && parent.session == session && parent.argv.iter().any(|argument| argument == PTY_HOST)
    };
    let is_terminals_first = process.pid == process.session && rows.iter().any(keeps_terminals);
    // With a child it is neither idle nor a process of interest: the child is what the user runs.
    let has_child = || rows.iter().any(|child| child.parent == process.pid);
    !(is_terminals_first && is_interactive_shell(process) && (has_child() || waits_for_input(process)))
}

/// Whether it is in the foreground of its own terminal, and waits there.
fn waits_for_input(shell: &Process) -> bool {
    shell.tty != 0 && shell.foreground == shell.group && !shell.busy
}

/// Whether it is a shell that was given no script and no command to run.
fn is_interactive_shell(process: &Process) -> bool {
    let name = process.exe.as_deref().and_then(|exe| exe.file_name()?.to_str());
    // The program's file may have been replaced by an upgrade.
    let name = name.map(|name| name.strip_suffix(" (deleted)").unwrap_or(name));
    if !name.is_some_and(|name| SHELLS.contains(&name)) {
        return false;
    }
    let mut arguments = process.argv.iter().skip(1);
    // Another program's arguments: the shell's own name comes first.
    if name == Some("busybox") && process.argv.first().is_some_and(|program| program.ends_with("busybox")) {
        arguments.next();
    }
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            option if WITH_VALUE.contains(&option) => drop(arguments.next()),
            "-" | "--" => {}
            long if long.starts_with("--") => {
                if long == "--command" || long.starts_with("--command=") {
                    return false;
                }
            }
            // `-c`, `-lc`: what follows is run.
            short if short.starts_with(['-', '+']) => {
                if short.contains('c') {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
