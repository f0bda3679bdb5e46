//! Instances that nobody has used for long: announced, forgotten with all they have kept, and back when somebody opens one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Daemon, FakeEngine, eventually};

const DAY: Duration = Duration::from_secs(24 * 3600);

const MONTH: &str = "[instances]\nremove_after = '30d'\n";

fn run(daemon: &Daemon, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
    let output = command.arg("instances").args(words).arg("--socket").arg(daemon.data().join("control.sock")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn line(daemon: &Daemon, words: &[&str], id: &str) -> Option<String> {
    run(daemon, words).lines().find(|line| line.split(' ').next() == Some(id)).map(str::to_owned)
}

/// A data directory in which the last use of each instance was so many days ago.
fn used(engine: &FakeEngine, all: &[(&str, u32)]) -> tempfile::TempDir {
    let daemon = Daemon::start(engine.path(), "");
    for (id, _) in all {
        assert_eq!(daemon.get(&format!("/i/{id}/?ew=1")).status, 200);
    }
    let file = |data: &Path, id: &str| data.join("state").join(id).join("last-used");
    for (id, _) in all {
        eventually("its use is written down", || file(&daemon.data(), id).exists().then_some(()));
    }
    let data = daemon.data();
    let dir = daemon.stop();
    for (id, days) in all {
        let file = std::fs::File::options().append(true).open(file(&data, id)).unwrap();
        file.set_modified(SystemTime::now() - DAY * *days).unwrap();
    }
    dir
}

#[test]
fn what_nobody_uses_is_announced_first() {
    let engine = FakeEngine::new();
    let dir = used(&engine, &[("alice", 100), ("bob", 27)]);
    let daemon = Daemon::start_in(dir, engine.path(), MONTH, |_| {});
    assert_eq!(daemon.get("/i/carol/?ew=1").status, 200);
    let list = run(&daemon, &["list"]);
    assert!(list.lines().next().unwrap().ends_with("REMOVED"), "{list}");
    // To the second: of the first one this may be the same second still.
    let ahead = |text: String, short: &str, whole: &str| text.contains(short) || text.contains(whole);
    assert!(
        ahead(line(&daemon, &["list"], "alice").unwrap(), "in 23h 59min", "in 1d 0h"),
        "not on the day on which it was asked for: {list}"
    );
    assert!(ahead(line(&daemon, &["list"], "bob").unwrap(), "in 2d 23h", "in 3d 0h"), "{list}");
    assert!(line(&daemon, &["list"], "carol").unwrap().ends_with('-'), "who is there is not removed: {list}");
    assert!(ahead(run(&daemon, &["show", "bob"]), "(in 2d 23h)", "(in 3d 0h)"));
    run(&daemon, &["stop", "bob"]);
    assert!(line(&daemon, &["list"], "bob").unwrap().ends_with('-'), "what the operator has stopped stays");
    assert!(!daemon.log().contains("removed"));

    std::fs::write(daemon.config_file(), "").unwrap();
    daemon.signal("HUP");
    daemon.wait_log("configuration reloaded");
    assert!(!run(&daemon, &["list"]).contains("REMOVED"), "off, as it is unless somebody wants it");
}

#[test]
fn it_is_forgotten_and_whoever_opens_it_has_it_back() {
    let engine = FakeEngine::new();
    let dir = used(&engine, &[("alice", 40), ("bob", 27)]);
    let since = (SystemTime::now() - DAY * 2).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let in_force = format!("{{\"after_seconds\":{},\"since\":{since}}}", 30 * DAY.as_secs());
    std::fs::write(dir.path().join("data/state/remove-after.json"), in_force).unwrap();
    let daemon = Daemon::start_in(dir, engine.path(), MONTH, |_| {});
    daemon.wait_log("instance alice removed: last used 20");
    let files = daemon.instance_dir("alice");
    let log = daemon.log();
    let record = log.lines().find(|line| line.contains("instance alice removed")).unwrap();
    assert!(record.contains("WARN") && record.contains(&format!("stay in {}", files.display())), "{record}");
    assert!(line(&daemon, &["list"], "alice").is_none() && line(&daemon, &["list"], "bob").is_some());
    let removed = line(&daemon, &["list", "--all"], "alice").unwrap();
    assert!(removed.starts_with("alice     removed"), "{removed}");
    assert!(files.join("user-data").is_dir(), "its files stay");
    let mut curl = Command::new("curl");
    curl.arg("--silent").arg("--unix-socket").arg(daemon.data().join("control.sock")).arg("http://localhost/metrics");
    let metrics = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    assert!(metrics.contains("\nhoody_code_instances_removed_total 1\n"), "{metrics}");

    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    assert!(line(&daemon, &["list"], "alice").unwrap().contains("running"));
    let file = daemon.data().join("state/alice/last-used");
    let recent = || std::fs::metadata(&file).unwrap().modified().unwrap() > SystemTime::now() - DAY;
    eventually("its use is written down", || recent().then_some(()));
    let daemon = Daemon::start_in(daemon.stop(), engine.path(), MONTH, |_| {});
    assert!(line(&daemon, &["list"], "alice").unwrap().contains("in 29d 23h"));

    // The operator's own removal is the same.
    assert_eq!(run(&daemon, &["remove", "alice"]), "alice removed\n");
    assert!(line(&daemon, &["list"], "alice").is_none() && files.is_dir());
    assert_eq!(run(&daemon, &["remove", "alice", "--purge"]), "alice purged\n");
    assert!(line(&daemon, &["list", "--all"], "alice").is_none() && !files.exists());
}
