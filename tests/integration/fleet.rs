//! Several daemons: two beside each other, and an instance that moves from one to the other (docs/fleet.md).

use std::path::Path;
use std::process::Command;

use crate::support::{Daemon, FakeEngine};

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

fn instances(daemon: &Daemon, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
    let output = command.arg("instances").args(words).arg("--socket").arg(daemon.data().join("control.sock")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_daemons_on_a_host_know_nothing_of_each_other() {
    let engine = FakeEngine::new();
    let (one, two) = (Daemon::start(engine.path(), "[page]\nname = 'One'\n"), Daemon::start(engine.path(), ""));
    for daemon in [&one, &two] {
        assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    }
    instances(&one, &["stop", "alice"]);
    assert_eq!(two.status("alice")["state"], "running");
    assert_eq!(two.get("/api/v1/code/health").json()["pid"], two.pid());
}

#[test]
fn an_instance_moves_with_its_home_and_its_state() {
    let engine = FakeEngine::new();
    let (old, new) = (Daemon::start(engine.path(), ""), Daemon::start(engine.path(), ""));
    let folder = old.data().join("instances");
    let folder = folder.to_str().unwrap();
    assert_eq!(old.get(&format!("/i/alice/?folder={folder}")).status, 200);
    let key = |daemon: &Daemon| {
        let page = daemon.get("/i/alice/?ew=1");
        assert_eq!(page.status, 200);
        std::fs::read(daemon.data().join("state/alice/mint-key")).unwrap()
    };
    let install = |daemon: &Daemon, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        let socket = daemon.data().join("control.sock");
        let output = command.arg("extensions").args(words).args(["--instance", "alice", "--socket"]).arg(socket).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    install(&old, &["install", "pub.one@1.2.3"]);
    std::fs::write(old.data().join("state/alice/mint-key"), [7; 32]).unwrap();
    instances(&old, &["stop", "alice"]);

    std::fs::create_dir_all(new.data().join("instances")).unwrap();
    copy(&old.instance_dir("alice"), &new.instance_dir("alice"));
    copy(&old.data().join("state/alice"), &new.data().join("state/alice"));
    let opened = new.send("GET", "/i/alice/", &[]);
    assert_eq!((opened.status, opened.header("location")), (302, Some(format!("./?folder={folder}").as_str())), "what was opened last");
    assert!(install(&new, &["list"]).contains("pub.one"));
    assert_eq!(key(&new), [7; 32]);
}
