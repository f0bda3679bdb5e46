//! What a running instance is said to use, and what of that is the user's.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use crate::support::{Daemon, FakeEngine, eventually, real_engine};

#[test]
fn an_engine_alone_runs_nothing_of_the_users() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    assert!(daemon.status("default")["usage"].is_null(), "nothing runs yet");
    assert_eq!(daemon.get("/?ew=1").status, 200);
    let usage = daemon.status("default")["usage"].clone();
    assert_eq!((usage["user_processes"].as_u64(), usage["programs"].as_array().map(Vec::len)), (Some(0), Some(0)), "{usage}");
    assert!(usage["processes"].as_u64() >= Some(1) && usage["memory"].as_u64() > Some(10 << 20) && usage["cpu_usec"].as_u64() > Some(0));
    assert_eq!(daemon.status("default")["clients"], 0, "asking is no use");
}

#[test]
fn a_job_that_cut_every_tie_is_the_users_and_its_instances_only() {
    let engine = FakeEngine::new();
    engine.behave("detach");
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    engine.behave("");
    assert_eq!(daemon.get("/i/bob/?ew=1").status, 200);
    let users = |id: &str| daemon.status(id)["usage"]["user_processes"].as_u64();
    eventually("the job is seen", || (users("alice") >= Some(2)).then_some(()));
    assert_eq!(users("bob"), Some(0));
    eventually("by its name", || daemon.status("alice")["usage"]["programs"].as_array()?.contains(&"sleep".into()).then_some(()));
}

#[test]
fn the_operator_sees_it() {
    let engine = FakeEngine::new();
    engine.behave("detach");
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        let output = command.arg("instances").args(words).arg("--socket").arg(daemon.data().join("control.sock")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let list = eventually("the job is in the list", || Some(run(&["list"])).filter(|list| list.contains("sleep")));
    assert!(list.starts_with("INSTANCE") && list.contains("MEMORY") && list.contains("RUNS"), "{list}");
    assert!(run(&["show", "alice"]).contains("user_processes  "), "{}", run(&["show", "alice"]));
    let json: serde_json::Value = serde_json::from_str(&run(&["list", "--json"])).unwrap();
    assert!(json[0]["usage"]["user_processes"].as_u64() >= Some(2), "{json}");
}

#[test]
fn what_the_files_take_is_told_also_of_one_that_does_not_run() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let dir = daemon.instance_dir("alice");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("large"), vec![7; 3 << 20]).unwrap();
    std::os::unix::fs::symlink("/", dir.join("everything")).unwrap();
    assert!(daemon.status("alice")["disk"].is_null(), "nobody has counted yet");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let disk = eventually("it is counted", || Some(daemon.status("alice")["disk"].clone()).filter(|disk| !disk.is_null()));
    let bytes = disk["bytes"].as_u64().unwrap();
    assert!((3 << 20..8 << 20).contains(&bytes) && disk["complete"] == true, "{disk}");
    assert!(disk["measured"].as_str().unwrap().ends_with('Z'), "{disk}");
    assert_eq!(daemon.status("alice")["clients"], 0, "counting is no use");

    let daemon = Daemon::start_in(daemon.stop(), engine.path(), "", |_| {});
    let status = daemon.status("alice");
    assert_eq!((&status["state"], &status["disk"]), (&"stopped".into(), &disk), "what was counted last");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        let output = command.args(words).arg("--socket").arg(daemon.data().join("control.sock")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for words in [&["instances", "list"][..], &["top"]] {
        let text = run(words);
        assert!(text.contains("DISK") && text.contains(&format!("  {}M  ", bytes >> 20)), "{text}");
    }
    assert!(run(&["instances", "show", "alice"]).contains(disk["measured"].as_str().unwrap()));
    let mut stream = std::net::TcpStream::connect(daemon.address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    stream.write_all(format!("GET /i/alice/api/v1/code/events HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).as_bytes()).unwrap();
    let data = BufReader::new(stream).lines().map(Result::unwrap).find(|line| line.starts_with("data: ")).unwrap();
    assert!(data.contains(&format!("\"disk\":{{\"bytes\":{bytes}")), "{data}");
}
