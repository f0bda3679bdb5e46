//! A host that is being emptied, over the real program.

use std::process::{Command, Output};

use crate::support::{Daemon, FakeEngine, eventually};

fn command(daemon: &Daemon, words: &[&str]) -> Output {
    let socket = daemon.data().join("control.sock");
    Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(words).arg("--socket").arg(socket).output().expect("the program")
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn nothing_new_starts_and_what_runs_goes_on() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    assert!(out(&command(&daemon, &["drain"])).starts_with("draining since "));

    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200, "who is here stays");
    let refused = daemon.get("/i/bob/?ew=1");
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("draining")));
    assert_eq!(refused.header("retry-after"), Some("60"));
    let page = daemon.send("GET", "/i/bob/?ew=1", &[("Accept", "text/html")]);
    assert!(page.status == 503 && page.text().contains("being drained"), "{}", page.text());
    assert_eq!(daemon.status("bob")["state"], "stopped");
    for words in [["instances", "start", "bob"], ["instances", "restart", "alice"]] {
        let output = command(&daemon, &words);
        assert!(output.status.code() == Some(75) && String::from_utf8_lossy(&output.stderr).contains("emptied"), "{output:?}");
    }
    assert_eq!(daemon.status("alice")["state"], "running");

    let health = daemon.get("/api/v1/code/health");
    assert_eq!((health.status, health.json()["reasons"].clone()), (503, serde_json::json!(["draining"])));
    assert_eq!(command(&daemon, &["health"]).status.code(), Some(69));
    let list = command(&daemon, &["instances", "list"]);
    assert!(String::from_utf8_lossy(&list.stderr).contains("draining since"), "{list:?}");

    // One that ends does not come back.
    out(&command(&daemon, &["instances", "stop", "alice"]));
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 503);
    assert!(out(&command(&daemon, &["drain", "--off"])).starts_with("not draining"));
    assert_eq!(daemon.get("/i/bob/?ew=1").status, 200);
    assert_eq!(daemon.get("/api/v1/code/health").status, 200);
}

#[test]
fn unused_ones_end_then_all_do_and_a_new_daemon_goes_on_with_it() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let used = daemon.begin("/i/alice/stable-c0ffee/drip");
    eventually("alice is in use", || (daemon.status("alice")["clients"] == 1).then_some(()));
    assert_eq!(daemon.get("/i/bob/?ew=1").status, 200);
    out(&command(&daemon, &["drain", "--idle", "0s"]));
    eventually("bob has ended", || (daemon.status("bob")["state"] == "stopped").then_some(()));
    assert_eq!(daemon.status("alice")["state"], "running", "somebody uses it");
    let report = out(&command(&daemon, &["drain", "--deadline", "0s", "--wait", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["active"], 0);
    assert!(daemon.processes("alice").is_empty());
    drop(used);

    let daemon = Daemon::start_in(daemon.stop(), engine.path(), "", |_| {});
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 503, "a restart changes nothing");
    out(&command(&daemon, &["drain", "--off"]));
    let daemon = Daemon::start_in(daemon.stop(), engine.path(), "", |_| {});
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    for words in [&["drain", "--deadline", "soon"][..], &["drain", "--off", "--wait"]] {
        assert_eq!(command(&daemon, words).status.code(), Some(64), "{words:?}");
    }
    assert_eq!(daemon.get("/api/v1/drain").status, 404, "not on the public listener");
}
