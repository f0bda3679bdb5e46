//! Starts, failures, crashes, ends.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Daemon, FakeEngine, eventually, real_engine};

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn fifty_requests_are_one_start() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(daemon.get("/i/alice/?ew=1").status, 200));
        }
    });
    let status = daemon.status("alice");
    assert_eq!((status["state"].as_str(), status["generation"].as_u64()), (Some("running"), Some(1)));
    let servers = daemon.processes("alice").into_iter().filter(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains("server-main.js"))
    });
    assert_eq!(servers.count(), 1);
    let mode = |path: &str| std::fs::metadata(daemon.instance_dir("alice").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("run"), mode("user-data"), mode("extensions")), (0o700, 0o700, 0o700, 0o700));
}

#[test]
fn the_environment_is_built_from_nothing() {
    let engine = real_engine();
    let daemon = Daemon::start_with(engine.dir(), "", |command| {
        command.env("SECRET_OF_THE_DAEMON", "1").env("NODE_OPTIONS", "--no-warnings").env("CODE_SERVER_PARENT_PID", "1");
    });
    assert_eq!(daemon.get("/?ew=1").status, 200);
    for pid in daemon.processes("default") {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environ = String::from_utf8_lossy(&environ);
        assert!(
            !environ.contains("SECRET_OF_THE_DAEMON") && !environ.contains("NODE_OPTIONS") && !environ.contains("CODE_SERVER_PARENT_PID"),
            "{environ}"
        );
    }
}

#[test]
fn an_engine_that_dies_early_says_why_and_is_tried_again() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    engine.behave("die");
    let failed = daemon.get("/i/alice/?ew=1");
    assert_eq!((failed.status, failed.code().as_str()), (502, "instance_failed"));
    let log: Vec<_> = failed.json()["error"]["log"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
    assert!(log.contains(&"second line".to_owned()) && log.contains(&"I cannot go on".to_owned()), "{log:?}");
    let page = daemon.send("GET", "/i/alice/?ew=1", &[("Accept", "text/html")]);
    assert!(page.status == 502 && page.text().contains("I cannot go on") && page.text().contains("Try again"), "{}", page.text());
    assert!(!page.text().contains(&*daemon.data().to_string_lossy()));
    engine.behave("");
    eventually("the next try works", || (daemon.get("/i/alice/?ew=1").status == 200).then_some(()));
    assert_eq!(daemon.get("/api/v1/code/health").status, 200);
}

#[test]
fn an_engine_that_never_answers_is_ended() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nstart_timeout = '1s'\n");
    engine.behave("hang");
    let late = daemon.get("/i/alice/?ew=1");
    assert_eq!((late.status, late.code().as_str()), (504, "instance_start_timeout"));
    assert_eq!(daemon.processes("alice"), [0; 0]);
    assert_eq!(daemon.get("/api/v1/code/health").json()["reasons"][0], "starts_failing");
}

#[test]
fn who_does_not_want_to_wait_is_told_to_come_back() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nrequest_wait = '100ms'\n");
    engine.behave("slow");
    let early = daemon.get("/i/alice/stable-c0ffee/headers");
    assert_eq!((early.status, early.code().as_str()), (503, "starting"));
    assert!(early.header("retry-after").is_some());
    eventually("the start went on without us", || (daemon.status("alice")["state"] == "running").then_some(()));
    assert_eq!(daemon.status("alice")["generation"], 1);
}

#[test]
fn a_killed_engine_is_back_at_the_next_request() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    assert_eq!(daemon.get("/?ew=1").status, 200);
    let resource = "/vscode-remote-resource?path=/proc/self/comm";
    for (path, generation) in [("/?ew=1", 2), (resource, 3), ("/?ew=1", 4)] {
        let server = *daemon.processes("default").iter().min().unwrap();
        assert!(Command::new("kill").args(["-9", &server.to_string()]).status().unwrap().success());
        // At once: nobody waits until the crash is seen.
        assert_eq!(daemon.get(path).status, 200, "{path}");
        assert_eq!(daemon.status("default")["generation"], generation);
        assert!(!alive(server));
    }
}

#[test]
fn there_is_room_for_so_many() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nmax_running = 2\n");
    assert_eq!(daemon.get("/i/a/?ew=1").status, 200);
    assert_eq!(daemon.get("/i/b/?ew=1").status, 200);
    for path in ["/i/c/?ew=1", "/i/c/api/v1/code?ew=1", "/i/c/stable-c0ffee/headers"] {
        let full = daemon.get(path);
        assert_eq!((full.status, full.code().as_str()), (503, "too_many_instances"), "{path}");
        assert!(full.header("retry-after").is_some());
    }
    assert_eq!(daemon.get("/i/a/?ew=1").status, 200);
    // A crash gives its place back.
    daemon.get("/i/b/stable-c0ffee/die");
    eventually("there is room again", || (daemon.get("/i/c/?ew=1").status == 200).then_some(()));
}

#[test]
fn everything_ends_with_the_daemon_even_what_detached_itself() {
    let engine = FakeEngine::new();
    engine.behave("detach");
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let pids = daemon.processes("alice");
    assert!(pids.len() >= 2, "{pids:?}");
    drop(daemon.stop());
    assert!(!pids.iter().any(|pid| alive(*pid)), "{pids:?}");
}

#[test]
fn a_killed_daemon_takes_its_engines_along_and_the_next_one_sweeps() {
    let engine = FakeEngine::new();
    engine.behave("detach");
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let pids = daemon.processes("alice");
    let server = *pids.iter().min().unwrap();
    let dir = daemon.kill();
    eventually("the engine dies with its parent", || (!alive(server)).then_some(()));
    let survivors: Vec<_> = pids.into_iter().filter(|pid| alive(*pid)).collect();
    assert!(!survivors.is_empty(), "a detached job outlives a kill -9");
    // The socket that was left behind is no obstacle either.
    assert!(dir.path().join("data/instances/alice/run/vscode.sock").exists());
    let daemon = Daemon::start_in(dir, engine.path(), "", |_| {});
    assert!(!survivors.iter().any(|pid| alive(*pid)), "the next daemon ends it");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
}

/// The number and the port of a daemon that was started in `alice`, has cut every tie and written over its environment.
fn hidden_daemon(daemon: &Daemon) -> (i32, u16) {
    let file = daemon.instance_dir("alice").join("user-data/daemon");
    let text = eventually("the daemon in it is up", || std::fs::read_to_string(&file).ok().filter(|text| text.contains(' ')));
    let (pid, port) = text.split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(environ.iter().all(|byte| *byte == 0), "nothing is left of its environment");
    assert!(!daemon.processes("alice").contains(&pid), "its mark is gone");
    (pid, port.parse().unwrap())
}

#[test]
fn a_daemon_that_writes_over_its_environment_is_still_the_instances() {
    let engine = FakeEngine::new();
    engine.behave("daemon");
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let (pid, port) = hidden_daemon(&daemon);
    engine.behave("");
    assert_eq!(daemon.get("/i/bob/?ew=1").status, 200);
    let users = |id: &str| daemon.status(id)["usage"]["user_processes"].as_u64();
    eventually("it is counted", || (users("alice") == Some(1)).then_some(()));
    assert_eq!(users("bob"), Some(0), "as nobody else's");
    assert_eq!(daemon.get(&format!("/i/alice/proxy/{port}/")).text(), "daemon", "and its port is reached");
    assert_eq!(daemon.get(&format!("/i/bob/proxy/{port}/")).code(), "port_refused");
    drop(daemon.stop());
    assert!(!alive(pid), "it ends with its instance");
}

#[test]
fn a_daemon_that_writes_over_its_environment_is_swept_by_the_next_service() {
    let engine = FakeEngine::new();
    engine.behave("daemon");
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let (pid, _) = hidden_daemon(&daemon);
    let dir = daemon.kill();
    assert!(alive(pid), "a daemon outlives a kill -9");
    let daemon = Daemon::start_in(dir, engine.path(), "", |_| {});
    assert!(!alive(pid), "the next service ends it");
    drop(daemon);
}

#[test]
fn a_deep_data_directory_still_has_sockets() {
    let engine = real_engine();
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    let daemon = Daemon::start_with(engine.dir(), "", |command| {
        command.arg("--data-dir").arg(&deep);
        // The later of two wins nowhere; clap refuses them, so the first is taken out again.
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut again = Command::new(command.get_program());
        let at = args.iter().position(|arg| arg == "--data-dir").unwrap();
        again.args(args[..at].iter().chain(&args[at + 2..]));
        again.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        *command = again;
    });
    let page = daemon.get(&format!("/i/{}/?ew=1", "x".repeat(63)));
    assert_eq!(page.status, 200, "{}", page.text());
}
