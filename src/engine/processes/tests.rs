//! Trees as they were seen below a real engine, with a real browser at it; paths shortened.

use super::*;

const ENGINE: i32 = 25335;
const PTY_HOST_PID: i32 = 25593;
const SHELL: i32 = 25611;
const TTY: i32 = 34816;

fn row(pid: i32, parent: i32, group: i32, session: i32, exe: &str, argv: &str) -> Process {
    let name = exe.rsplit('/').next().unwrap_or_default().chars().take(15).collect();
    let argv = argv.split(' ').map(str::to_owned).collect();
    Process { pid, parent, group, session, foreground: -1, name, exe: Some(exe.into()), argv, ..Process::default() }
}

fn own(pid: i32, parent: i32, argv: &str) -> Process {
    row(pid, parent, ENGINE, ENGINE, "/e/node", argv)
}

/// The terminal's shell, with this group in its foreground.
fn shell(argv: &str, foreground: i32) -> Process {
    Process { tty: TTY, foreground, ..row(SHELL, PTY_HOST_PID, SHELL, SHELL, "/usr/bin/bash", argv) }
}

fn in_terminal(pid: i32, parent: i32, group: i32, exe: &str, argv: &str) -> Process {
    Process { tty: TTY, foreground: SHELL, ..row(pid, parent, group, SHELL, exe, argv) }
}

/// An editor open in a browser, with a file that has a language server.
fn engine() -> Vec<Process> {
    vec![
        own(ENGINE, 25197, "/e/node --max-semi-space-size=1 --require /e/preload.cjs /e/vscode/out/server-main.js --socket-path s"),
        own(25366, ENGINE, "/e/node /e/vscode/out/bootstrap-fork --type=fileWatcher"),
        own(25379, ENGINE, "/e/node --dns-result-order=ipv4first /e/vscode/out/bootstrap-fork --type=extensionHost --transformURIs"),
        own(25523, 25379, "/e/node /e/vscode/extensions/json-language-features/server/dist/node/jsonServerMain --node-ipc"),
        own(25569, 25379, "/e/node --max-old-space-size=3072 /e/vscode/extensions/node_modules/typescript/lib/tsserver.js"),
        own(25585, 25569, "/e/node /e/vscode/extensions/node_modules/typescript/lib/typingsInstaller.js"),
        own(PTY_HOST_PID, ENGINE, "/e/node /e/vscode/out/bootstrap-fork --type=ptyHost --logsPath /d/logs"),
    ]
}

const INTERACTIVE: &str = "/usr/bin/bash --init-file /e/vscode/out/vs/workbench/contrib/terminal/common/scripts/shellIntegration-bash.sh";

fn users(extra: Vec<Process>) -> Vec<String> {
    let rows = [engine(), extra].concat();
    let usage = usage(&rows, ENGINE);
    assert_eq!(usage.processes, rows.len());
    usage.programs
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_open_editor_with_language_servers_is_the_engines_own() {
    assert_eq!(users(Vec::new()), NOTHING);
    // The pty host asks now and then how busy its terminals are.
    let asks = vec![
        row(25996, PTY_HOST_PID, ENGINE, ENGINE, "/usr/bin/dash", "/bin/sh -c \"/e/vscode/out/vs/base/node/cpuUsage.sh\" 25611"),
        row(25997, 25996, ENGINE, ENGINE, "/usr/bin/bash", "/bin/bash /e/vscode/out/vs/base/node/cpuUsage.sh 25611"),
        row(26000, 25997, ENGINE, ENGINE, "/usr/bin/sleep", "sleep 1"),
        shell(INTERACTIVE, SHELL),
    ];
    assert_eq!(users(asks), NOTHING);
}

#[test]
fn an_orphaned_language_server_is_still_the_engines() {
    assert_eq!(users(vec![own(30000, 1, "/d/extensions/rust-lang.rust-analyzer/server/rust-analyzer")]), NOTHING);
}

#[test]
fn an_idle_shell_is_nothing() {
    for argv in [INTERACTIVE, "/bin/bash", "-bash", "/bin/bash -l", "/bin/bash -i", "/bin/bash --login -O globstar"] {
        assert_eq!(users(vec![shell(argv, SHELL)]), NOTHING, "{argv}");
    }
    let other = |exe: &str, argv: &str| Process { exe: Some(exe.into()), ..shell(argv, SHELL) };
    assert_eq!(users(vec![other("/usr/bin/zsh", "/usr/bin/zsh -i")]), NOTHING);
    assert_eq!(users(vec![other("/usr/bin/fish (deleted)", "/usr/bin/fish --init-command source")]), NOTHING);
    assert_eq!(users(vec![other("/opt/pwsh", "pwsh")]), ["bash"], "it runs what it is told inside itself: nobody can tell");
    assert_eq!(users(vec![other("/bin/busybox", "/bin/busybox sh")]), NOTHING);
}

#[test]
fn a_shell_that_does_something_is_the_users() {
    assert_eq!(users(vec![shell("/bin/bash deploy.sh", SHELL)]), ["bash"]);
    assert_eq!(users(vec![shell("/bin/bash -c build;sleep", SHELL)]), ["bash"]);
    assert_eq!(users(vec![shell("/bin/bash -lc build", SHELL)]), ["bash"]);
    // A loop of builtins; a program that took the shell's place; one that nobody may look at.
    assert_eq!(users(vec![Process { busy: true, ..shell(INTERACTIVE, SHELL) }]), ["bash"]);
    assert_eq!(
        users(vec![Process { exe: Some("/usr/bin/python3.11".into()), name: "python3".into(), ..shell("python3", SHELL) }]),
        ["python3"]
    );
    assert_eq!(users(vec![Process { exe: None, ..shell(INTERACTIVE, SHELL) }]), ["bash"]);
    // One that no terminal of the engine's belongs to.
    assert_eq!(users(vec![Process { parent: 1, ..shell(INTERACTIVE, SHELL) }]), ["bash"]);
}

#[test]
fn a_dev_server_is_the_users_and_its_shell_is_not_counted() {
    let server = in_terminal(25805, SHELL, 25805, "/usr/bin/python3.11", "python3 -m http.server 0");
    let extra = vec![shell(INTERACTIVE, 25805), server];
    let usage = usage(&[engine(), extra].concat(), ENGINE);
    assert_eq!((usage.user_processes, usage.programs), (1, vec!["python3.11".to_owned()]));
}

#[test]
fn jobs_in_the_background_are_the_users() {
    let jobs = vec![
        shell(INTERACTIVE, SHELL),
        // `sleep 1000 &`, `(sleep 3000 &)`, `setsid nohup sleep 2000 &`
        in_terminal(25937, SHELL, 25937, "/usr/bin/sleep", "sleep 1000"),
        in_terminal(25947, 1, 25946, "/usr/bin/sleep", "sleep 3000"),
        row(25944, 1, 25944, 25944, "/usr/bin/sleep", "sleep 2000"),
    ];
    assert_eq!(usage(&[engine(), jobs.clone()].concat(), ENGINE).user_processes, 3);
    for job in jobs.into_iter().skip(1) {
        assert_eq!(users(vec![shell(INTERACTIVE, SHELL), job]), ["sleep"]);
    }
}

#[test]
fn a_detached_tmux_is_the_users_even_with_nothing_but_a_shell_in_it() {
    // Whoever starts one asks for something that outlasts the terminal.
    let tmux = vec![
        shell(INTERACTIVE, SHELL),
        row(25981, 1, 25981, 25981, "/usr/bin/tmux", "tmux new -d"),
        Process { tty: TTY + 1, foreground: 25982, ..row(25982, 25981, 25982, 25982, "/usr/bin/bash", "-bash") },
    ];
    assert_eq!(users(tmux), ["tmux", "bash"]);
}

#[test]
fn what_is_debugged_is_the_users() {
    let debuggee = own(26019, 25379, "/e/node ./src/long.js");
    assert_eq!(users(vec![debuggee.clone()]), NOTHING, "without a debugger it is one of the extension's");
    assert_eq!(users(vec![Process { marked: true, ..debuggee.clone() }]), ["node"]);
    assert_eq!(users(vec![Process { traced: true, ..debuggee.clone() }]), ["node"]);
    // The JavaScript debugger's own helper, seen below what it debugs: a session of its own, and no longer there than the program.
    let program = Process { marked: true, ..debuggee };
    let helper = row(26034, 26019, 26034, 26034, "/usr/bin/node", "/usr/bin/node /e/vscode/extensions/ms-vscode.js-debug/src/watchdog.js");
    assert_eq!(users(vec![program, helper]), ["node"]);
    let java = own(26020, 25379, "/usr/bin/java -agentlib:jdwp=transport=dt_socket,server=n Main");
    assert_eq!(users(vec![java]), ["node"]);
}

#[test]
fn an_extension_that_is_being_installed_keeps_the_instance() {
    // The daemon's own job; it has a session of its own.
    assert_eq!(
        users(vec![row(31000, 25197, 31000, 31000, "/e/node", "/e/node /e/vscode/out/server-main.js --install-extension a.b")]),
        ["node"]
    );
}

#[test]
fn memory_and_time_are_of_all() {
    let each = |process: Process| Process { memory: 1 << 20, cpu: std::time::Duration::from_millis(3), ..process };
    let rows: Vec<_> = engine().into_iter().map(each).collect();
    let usage = usage(&rows, ENGINE);
    assert_eq!((usage.memory, usage.cpu_usec), (7 << 20, 21_000));
}
