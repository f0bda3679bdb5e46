//! What a running instance is said to use, and what of that is the user's.

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
    let programs = daemon.status("alice")["usage"]["programs"].clone();
    assert!(programs.as_array().unwrap().contains(&"sleep".into()), "{programs}");
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
