//! The control socket and the commands that use it, over the real program.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use crate::support::{Daemon, FakeEngine, sign_in, with_password};

fn run(daemon: &Daemon, words: &[&str]) -> Output {
    let socket = daemon.data().join("control.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
    command.arg("instances").args(words).arg("--socket").arg(socket).output().expect("the program")
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn instances_are_seen_and_managed() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(out(&run(&daemon, &["list"])).lines().count(), 1, "headings");
    assert_eq!(out(&run(&daemon, &["start", "alice"])), "alice running\n");
    assert_eq!(out(&run(&daemon, &["start", "alice"])), "alice running\n", "a second time changes nothing");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    assert_eq!(daemon.get("/i/bob/?ew=1").status, 200);

    let list: serde_json::Value = serde_json::from_str(&out(&run(&daemon, &["list", "--json"]))).unwrap();
    let rows: Vec<_> = list.as_array().unwrap().iter().map(|row| (row["id"].as_str().unwrap(), row["state"].as_str().unwrap())).collect();
    assert_eq!(rows, [("alice", "running"), ("bob", "running")]);
    assert!(list.as_array().unwrap().iter().all(|row| row["uptime_seconds"].is_u64()), "{list}");
    assert!(out(&run(&daemon, &["list"])).lines().any(|line| line.starts_with("alice     running")));
    assert!(out(&run(&daemon, &["show", "bob"])).contains("state  running"));

    assert_eq!(out(&run(&daemon, &["stop", "alice"])), "alice stopped\n");
    assert!(daemon.processes("alice").is_empty());
    assert_eq!(daemon.status("alice")["cause"]["kind"], "stopped_by_operator");
    let page = daemon.send("GET", "/i/alice/?ew=1", &[("Accept", "text/html")]);
    assert!(page.status == 503 && page.text().contains("Open it again"), "an open tab undoes nothing: {}", page.text());
    assert_eq!(out(&run(&daemon, &["start", "alice"])), "alice running\n");
    assert_eq!(out(&run(&daemon, &["restart", "bob"])), "bob running\n");
    assert_eq!(daemon.status("bob")["generation"], 2);

    let home = daemon.instance_dir("bob");
    assert_eq!(out(&run(&daemon, &["remove", "bob"])), "bob removed\n");
    assert!(home.is_dir(), "files stay");
    assert_eq!(out(&run(&daemon, &["remove", "bob", "--purge"])), "bob purged\n");
    assert!(!home.exists());
    assert!(daemon.instance_dir("alice").is_dir(), "nobody else's");
}

#[test]
fn a_stop_outlasts_the_daemon() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/bob/?ew=1").status, 200);
    let daemon = Daemon::start_in(daemon.stop(), engine.path(), "", |_| {});
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    assert_eq!(out(&run(&daemon, &["stop", "alice"])), "alice stopped\n");
    assert_eq!(out(&run(&daemon, &["stop", "bob"])), "bob stopped\n", "one that does not run is held as well");
    assert_eq!(run(&daemon, &["stop", "alise"]).status.code(), Some(66));
    assert_eq!(daemon.get("/i/alise/?ew=1").status, 200, "a slip of the pen holds nobody");
    let daemon = Daemon::start_in(daemon.stop(), engine.path(), "", |_| {});
    for id in ["alice", "bob"] {
        assert_eq!(daemon.get(&format!("/i/{id}/?ew=1")).code(), "instance_stopped", "{id}");
    }
    assert_eq!(out(&run(&daemon, &["start", "alice"])), "alice running\n");
    let daemon = Daemon::start_in(daemon.stop(), engine.path(), "", |_| {});
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200, "started on purpose, it is as any other");
    assert_eq!(daemon.get("/i/bob/?ew=1").code(), "instance_stopped");
}

#[test]
fn what_is_wrong_has_a_message_and_a_status() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let fails = |words: &[&str], code: i32, text: &str| {
        let output = run(&daemon, words);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {message}");
        assert!(message.contains(text), "{words:?}: {message}");
    };
    fails(&["show", "nobody"], 66, "no such instance");
    fails(&["remove", "nobody", "--purge"], 66, "no such instance");
    fails(&["stop", "../etc"], 64, "1 to 63");
    engine.behave("die");
    fails(&["start", "alice"], 75, "ended before it answered");
    // Of what has ended as well: without systemd it is the daemon that knows what was said.
    assert_eq!(daemon.get("/i/dies-at-once/?ew=1").status, 502);
    let told = out(&run(&daemon, &["logs", "dies-at-once"]));
    assert!(told.lines().any(|line| line == "I cannot go on") && told.lines().count() > 1, "{told}");
    assert_eq!(out(&run(&daemon, &["logs", "dies-at-once", "--lines", "1"])).lines().count(), 1);
    let json = out(&run(&daemon, &["logs", "dies-at-once", "--json"]));
    assert!(json.lines().any(|line| line == r#"{"MESSAGE":"I cannot go on"}"#), "{json}");
    // There is one user for all here, and no snapshots.
    fails(&["snapshot", "alice"], 75, "made by the broker");
    fails(&["restore", "alice", "first"], 75, "made by the broker");

    let nowhere = Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(["instances", "list", "--socket", "/nowhere/s"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("/nowhere/s"));
}

#[test]
fn the_door_is_the_operators_own() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let socket = daemon.data().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // Not on the public listener, and nothing of the public routes here.
    assert_eq!(daemon.get("/api/v1/instances").status, 404);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /api/v1/code/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
fn a_browser_that_comes_through_a_tunnel_brings_nobody_elses_orders() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let ask = |head: &str| {
        let mut stream = UnixStream::connect(daemon.data().join("control.sock")).unwrap();
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let page = ask("GET / HTTP/1.1\r\nHost: localhost:9000");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("frame-ancestors 'none'") && page.contains("<h1>Hoody Code</h1>"), "{page}");
    let start = "POST /api/v1/instances/alice/start HTTP/1.1\r\nHost: localhost:9000\r\nContent-Length: 0";
    assert!(ask(&format!("{start}\r\nOrigin: https://evil.example")).starts_with("HTTP/1.1 403"));
    assert!(ask(&format!("{start}\r\nSec-Fetch-Site: same-site")).starts_with("HTTP/1.1 403"));
    assert!(ask("GET /api/v1/instances HTTP/1.1\r\nHost: evil.example").starts_with("HTTP/1.1 403"), "a name that was bound anew");
    assert_eq!(daemon.status("alice")["state"], "stopped");
    assert!(ask(&format!("{start}\r\nOrigin: http://localhost:9000\r\nSec-Fetch-Site: same-origin")).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_the_operator_has_stopped_is_no_failure_of_the_service() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/?ew=1").status, 200);
    assert_eq!(out(&run(&daemon, &["stop", "default"])), "default stopped\n");
    let health = daemon.get("/api/v1/code/health");
    assert_eq!((health.status, health.json()["status"].as_str().unwrap()), (200, "ok"));
}

#[test]
fn the_daemons_health_and_its_sessions() {
    let engine = FakeEngine::new();
    let daemon = with_password(&engine, "secret", "");
    let command = |words: &[&str]| {
        let socket = daemon.data().join("control.sock");
        out(&Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(words).arg("--socket").arg(socket).output().expect("the program"))
    };
    let health: serde_json::Value = serde_json::from_str(&command(&["health", "--json"])).unwrap();
    assert_eq!((health["status"].as_str(), health["service"].as_str()), (Some("ok"), Some("hoody-code")));
    assert!(command(&["health"]).contains("status  ok"));
    let (alice, bob) = (sign_in(&daemon, "/i/alice/", "secret"), sign_in(&daemon, "/i/bob/", "secret"));
    let status = |id: &str, cookie: &str| daemon.send("GET", &format!("/i/{id}/api/v1/code/status"), &[("Cookie", cookie)]).status;
    assert_eq!(command(&["sessions", "revoke", "alice"]), "sessions revoked: alice\n");
    assert_eq!((status("alice", &alice), status("bob", &bob)), (401, 200));
    command(&["sessions", "revoke", "--all"]);
    assert_eq!(status("bob", &bob), 401);
}

#[test]
fn a_purge_ends_the_sessions_of_the_purged() {
    let engine = FakeEngine::new();
    let daemon = with_password(&engine, "secret", "");
    let (alice, bob) = (sign_in(&daemon, "/i/alice/", "secret"), sign_in(&daemon, "/i/bob/", "secret"));
    let open = |id: &str, cookie: &str| daemon.send("GET", &format!("/i/{id}/?ew=1"), &[("Cookie", cookie)]).status;
    assert_eq!((open("alice", &alice), open("bob", &bob)), (200, 200));
    assert_eq!(out(&run(&daemon, &["remove", "alice"])), "alice removed\n");
    assert_eq!(open("alice", &alice), 200, "whoever opens it has it back");
    assert_eq!(out(&run(&daemon, &["remove", "alice", "--purge"])), "alice purged\n");
    assert_eq!((open("alice", &alice), open("bob", &bob)), (401, 200));
    assert!(!daemon.instance_dir("alice").exists(), "its open page does not make it anew");
}

#[test]
fn extensions_and_open() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let command = |words: &[&str]| {
        let socket = daemon.data().join("control.sock");
        Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(words).arg("--socket").arg(socket).output().expect("the program")
    };
    assert_eq!(out(&command(&["extensions", "install", "pub.one@1.2.3", "--instance", "alice"])), "installed pub.one@1.2.3\n");
    let vsix = daemon.data().join("two.vsix");
    std::fs::write(&vsix, b"PK\x03\x04pub.two").unwrap();
    assert_eq!(out(&command(&["extensions", "install", vsix.to_str().unwrap(), "--instance", "alice"])), "installed pub.two@2.0.0\n");
    let list = out(&command(&["extensions", "list", "--instance", "alice"]));
    assert!(list.lines().any(|line| line.starts_with("pub.one    1.2.3    one")), "{list}");
    assert_eq!(out(&command(&["extensions", "list", "--json"])).trim(), "[]", "another instance has nothing of it");
    assert_eq!(out(&command(&["extensions", "uninstall", "pub.one", "--instance", "alice"])), "uninstalled pub.one\n");
    let gone = command(&["extensions", "uninstall", "pub.one", "--instance", "alice"]);
    assert_eq!(gone.status.code(), Some(66), "{}", String::from_utf8_lossy(&gone.stderr));
    assert_eq!(command(&["extensions", "install", "/nowhere/x.vsix"]).status.code(), Some(66));

    let url = out(&command(&["open", "--folder", "/home/me/a b", "--locale", "fr", "--instance", "alice", "--no-browser"]));
    assert_eq!(url, format!("http://{}/i/alice/?folder=/home/me/a%20b&locale=fr\n", daemon.address));
    let url = out(&command(&["open", "--extension", "pub.two", "--url", "https://code.example.com/", "--no-browser"]));
    assert_eq!(url, "https://code.example.com/?extension=pub.two\n");
    let elsewhere =
        ["open", "--folder", "/a b", "--instance", "ida", "--url", "https://code.example.com", "--socket", "/nowhere", "--no-browser"];
    let output = Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(elsewhere).output().unwrap();
    assert_eq!(out(&output), "https://code.example.com/i/ida/?folder=/a%20b\n");
    assert_eq!(daemon.status("default")["state"], "running");
}

#[test]
fn a_configuration_is_checked_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(["config", "check"]).arg(&file).output().expect("the program")
    };
    assert!(out(&check("[instances]\nmax_running = 3\n[class.exam]\nmemory_max = '1G'\n")).contains("can be used"));
    for (text, ok) in [("", true), ("[nowhere]\n", false)] {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(["config", "check", "--json"]).arg(&file).output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((said["ok"].as_bool(), said["error"].is_null(), output.status.success()), (Some(ok), ok, ok), "{said}");
    }
    for (text, word) in
        [("[instances]\nmax_runing = 3\n", "max_runing"), ("[class.exam]\nmemory_max = 'much'\n", "much"), ("[server\n", "config.toml")]
    {
        let output = check(text);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(78) && message.contains(word), "{text}: {message}");
    }
}

#[test]
fn a_configuration_is_shown_with_its_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "[instances]\nmax_running = 3\n[login]\nhashed_password = '$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA'\n").unwrap();
    let show = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        out(&command.args(["config", "show"]).arg(&file).args(words).output().expect("the program"))
    };
    let text = show(&[]);
    for line in ["[instances]", "max_running = 3", "max_starting = 4", "hashed_password = \"(hidden)\""] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    assert_eq!((&json["instances"]["max_running"], &json["tls"]["certificate"]), (&3.into(), &serde_json::Value::Null));
    let wrong = Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(["config", "show", "/nowhere"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(78));
}

#[test]
fn who_is_busy() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let socket = daemon.data().join("control.sock");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let top = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        out(&command.arg("top").args(words).arg("--socket").arg(&socket).output().expect("the program"))
    };
    let text = top(&[]);
    assert!(text.starts_with("1 of 200 running, 0 starting, 0 failed, 1 in all, 0 clients"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("alice     running")) && !text.contains('\x1b'), "{text}");
    let json: serde_json::Value = serde_json::from_str(&top(&["--json"])).unwrap();
    assert_eq!((&json["instances"][0]["id"], &json["host"]["limit"]), (&"alice".into(), &200.into()));

    // On a terminal it goes on until somebody has seen enough, and leaves the screen as it was.
    let words = format!("stty cols 60 rows 10; {} top -d 1 --socket {}; echo done", env!("CARGO_BIN_EXE_hoody-code"), socket.display());
    let mut child = Command::new("script")
        .args(["-qec", &words, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut wait_for = |times: usize, text: &str| {
        let mut piece = [0; 4096];
        while String::from_utf8_lossy(&seen).matches(text).count() < times {
            let n = screen.read(&mut piece).unwrap();
            assert!(n > 0, "{text}: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..n]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    };
    wait_for(2, "alice     running");
    keys.write_all(b"q").unwrap();
    let seen = wait_for(1, "done");
    assert!(child.wait().unwrap().success());
    assert!(seen.contains("\x1b[?1049h") && seen.contains("\x1b[?1049ldone"), "{seen:?}");
    assert!(seen.split("\r\n").all(|line| line.chars().filter(|c| !c.is_control()).count() < 90), "{seen:?}");
}

#[test]
fn when_somebody_was_there_last_outlives_the_run() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let used = || {
        let list: serde_json::Value = serde_json::from_str(&out(&run(&daemon, &["list", "--json"]))).unwrap();
        list[0]["last_used"].as_str().map(str::to_owned)
    };
    let list = out(&run(&daemon, &["list"]));
    assert!(list.contains("LAST USED") && (list.contains("  now  ") || list.contains(" ago  ")), "{list}");
    let file = daemon.data().join("state/alice/last-used");
    crate::support::eventually("it is written down", || file.exists().then_some(()));
    out(&run(&daemon, &["stop", "alice"]));
    assert!(used().is_some_and(|time| time.ends_with('Z') && time.len() == 20), "{:?}", used());
}
