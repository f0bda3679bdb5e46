//! `docs/openapi.json` against the real thing: what schemathesis makes of it is sent to a daemon over the real engine, and every
//! answer has to be one that is described.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Daemon, FakeEngine, post_password, real_engine, request};

/// Left out: the ports, whose answers are other people's; what never ends; and what would end the session of all the others.
const LEFT_OUT: [&str; 8] = [
    "--exclude-tag",
    "ports",
    "--exclude-operation-id",
    "events",
    "--exclude-operation-id",
    "logout",
    "--exclude-operation-id",
    "logoutOfPage",
];

fn stored() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json")
}

/// The value of the session's cookie.
fn session(daemon: &Daemon) -> String {
    let answer = post_password(daemon, "/", "secret", &[]);
    let cookies = answer.all("set-cookie");
    let cookie = cookies.iter().find_map(|cookie| cookie.strip_prefix("hoody-code-session-default=")).expect("a session");
    cookie.split(';').next().expect("a value").to_owned()
}

fn schemathesis(daemon: &Daemon, session: &str, words: &[&str]) {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let program = cache.join("hoody-code/tools/schemathesis/bin/schemathesis");
    assert!(program.exists(), "{} is not there: run packaging/setup.sh test", program.display());
    let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis/schemathesis.toml");
    // It leaves files where it is run.
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .current_dir(dir.path())
        .env("BASE", format!("http://{}", daemon.address))
        .env("SESSION", session)
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(stored())
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_description_is_served_to_everybody() {
    let engine = FakeEngine::new();
    let daemon = Daemon::with_login(engine.path(), "");
    let answer = daemon.get("/i/alice/api/v1/code/openapi.json");
    let elsewhere =
        daemon.send("GET", "/i/alice/api/v1/code/openapi.json", &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")]);
    assert_eq!((elsewhere.status, elsewhere.header("access-control-allow-origin")), (200, Some("*")), "a page of another site reads it");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.body, std::fs::read(stored()).unwrap());
    let page_of_another_site = [("Origin", "https://viewer.example"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")];
    let answer = daemon.send("GET", "/api/v1/code/openapi.json", &page_of_another_site);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
}

#[test]
fn no_answer_is_undescribed() {
    let gallery = tempfile::tempdir().unwrap();
    let config = format!("[extensions]\ngallery = '{}'\n", gallery.path().display());
    let daemon = Daemon::launch(tempfile::tempdir().unwrap(), real_engine().dir(), &config, |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", "secret"]);
    });
    // Once: after all its guesses, no password is looked at for a while.
    let session = session(&daemon);
    schemathesis(&daemon, &session, &LEFT_OUT);
    // As a browser: pages instead of JSON. Who has not signed in is sent to the login, and gets no 401.
    let browser = ["--header", "Accept:text/html", "--exclude-checks", "ignored_auth,negative_data_rejection"];
    schemathesis(&daemon, &session, &[&LEFT_OUT[..], &browser].concat());
    schemathesis(&daemon, &session, &["--include-operation-id", "logout", "--include-operation-id", "logoutOfPage"]);
    // It has really come through, and was not turned away at the door.
    let log = daemon.log();
    for seen in [
        "route=\"workbench\" method=\"GET\" status=200",
        "route=\"workbench\" method=\"GET\" status=404",
        "route=\"embed\" method=\"GET\" status=200",
        "route=\"extensions\" method=\"GET\" status=200",
        "route=\"extensions\" method=\"POST\" status=404",
        "route=\"extensions\" method=\"DELETE\" status=4",
        "route=\"start\" method=\"POST\" status=200",
        "route=\"start\" method=\"POST\" status=303",
        "route=\"mint-key\" method=\"POST\" status=200",
        "route=\"login\" method=\"POST\" status=401",
        "route=\"engine\" method=\"GET\" status=200",
    ] {
        assert!(log.contains(seen), "{seen}");
    }
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["running"], 1);
}

#[test]
fn an_upload_of_the_wrong_kind_is_refused_before_it_is_read() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let post = |path: &str, kind: &str, body: &[u8]| request(daemon.address, "POST", path, &[("Content-Type", kind)], body).status;
    assert_eq!(post("/api/v1/code/login", "text/plain", b"secret"), 415);
    assert_eq!(post("/api/v1/code/extensions", "multipart/form-data; boundary=x", b"--x--"), 400);
    assert_eq!(post("/api/v1/code/extensions", "application/json", &[b' '; 5000]), 413);
}
