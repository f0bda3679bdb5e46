//! Commands that ask a daemon by its URL, as one of its users.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Certificate, Daemon, FakeEngine, with_password};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hoody-code");

fn run(url: &str, password: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).arg("--url").arg(url).arg("--password-file").arg(password).env_remove("HOODY_CODE_SOCKET");
    command.output().expect("the program")
}

#[track_caller]
fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn fails(output: &Output, code: i32, text: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && message.contains(text), "{:?}: {message}", output.status);
}

#[test]
fn a_user_asks_by_url() {
    let engine = FakeEngine::new();
    let daemon = with_password(&engine, "secret", "");
    let dir = tempfile::tempdir().unwrap();
    let (password, wrong) = (dir.path().join("password"), dir.path().join("wrong"));
    std::fs::write(&password, "secret\n").unwrap();
    std::fs::write(&wrong, "guess\n").unwrap();
    let url = format!("http://{}", daemon.address);
    let alice = format!("{url}/i/alice/");
    assert!(out(&run(&url, &password, &["health"])).contains("status  ok"));
    assert_eq!(out(&run(&url, &password, &["instances", "start", "alice"])), "alice running\n");
    assert!(out(&run(&alice, &password, &["instances", "show", "alice"])).contains("state  running"));
    assert_eq!(out(&run(&url, &password, &["extensions", "install", "pub.one@1.2.3", "--instance", "alice"])), "installed pub.one@1.2.3\n");
    assert!(out(&run(&alice, &password, &["extensions", "list"])).contains("pub.one"), "the URL says whose");
    assert_eq!(out(&run(&alice, &password, &["extensions", "uninstall", "pub.one"])), "uninstalled pub.one\n");
    let mut listed = Command::new(PROGRAM);
    listed.args(["extensions", "list", "--json", "--password-file"]).arg(&password).env("HOODY_CODE_URL", &url);
    assert_eq!(out(&listed.output().unwrap()).trim(), "[]", "the default instance's");

    fails(&run(&alice, &password, &["instances", "show", "bob"]), 64, "not the address of the instance 'bob'");
    fails(&run(&alice, &password, &["extensions", "uninstall", "pub.one"]), 66, "not installed");
    fails(&run(&alice, &wrong, &["instances", "show", "alice"]), 77, "not the password");
    fails(&run(&alice, Path::new("/nowhere"), &["instances", "show", "alice"]), 77, "/nowhere");
    fails(&run("http://127.0.0.1:1", &password, &["health"]), 69, "http://127.0.0.1:1/");
    fails(&run("code.example.com", &password, &["health"]), 64, "not an address such as");
    let without = Command::new(PROGRAM).args(["extensions", "list", "--url", &url]).stdin(std::process::Stdio::null()).output().unwrap();
    fails(&without, 77, "--password-file");
}

#[test]
fn what_is_the_operators_is_not_asked_by_url() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let url = format!("http://{}/", daemon.address);
    for words in
        [&["instances", "list"][..], &["instances", "stop", "a"], &["instances", "remove", "a", "--purge"], &["sessions", "revoke", "a"]]
    {
        fails(&run(&url, Path::new("/nowhere"), words), 64, "control socket");
        let from_environment = Command::new(PROGRAM).args(words).env("HOODY_CODE_URL", &url).env_remove("HOODY_CODE_SOCKET").output();
        fails(&from_environment.unwrap(), 64, "control socket");
    }
    let socket = daemon.data().join("control.sock");
    let listed = Command::new(PROGRAM).args(["instances", "list", "--socket"]).arg(socket).env("HOODY_CODE_URL", &url).output();
    assert!(out(&listed.unwrap()).starts_with("INSTANCE"), "a socket that is named wins over the variable");
}

#[test]
fn over_tls_only_whom_this_machine_believes() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(dir.path(), "own");
    let daemon = Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), &certificate.config(), |command| {
        command.args(["--listen", "https://127.0.0.1:0", "--password", "secret"]);
    });
    let url = format!("https://localhost:{}", daemon.address.port());
    let ask = |file: &Path| Command::new(PROGRAM).args(["health", "--url", &url]).env("SSL_CERT_FILE", file).output().unwrap();
    assert!(out(&ask(&certificate.certificate)).contains("status  ok"));
    fails(&ask(&Certificate::new(dir.path(), "other").certificate), 69, "certificate");
}

#[test]
fn something_moves_on_a_terminal_only() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let socket = daemon.data().join("control.sock");
    let words = format!("{PROGRAM} open --extension a.b --no-browser --socket {} --instance", socket.display());
    // script(1) gives it a terminal.
    let seen =
        Command::new("script").args(["-qec", &format!("{words} alice"), "/dev/null"]).stdin(std::process::Stdio::null()).output().unwrap();
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("starting alice …") && seen.contains("/i/alice/?extension=a.b"), "{seen:?}");
    let plain = Command::new("sh").args(["-c", &format!("{words} bob")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&plain.stderr), "");
    assert!(out(&plain).ends_with("/i/bob/?extension=a.b\n"));
}
