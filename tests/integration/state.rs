//! The workbench's state, kept by the daemon: the API of it, and the page that carries it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{DEADLINE, Daemon, FakeEngine, Response, exchange, read_response, real_engine, request};

const STATE: &str = "/i/alice/api/v1/code/state";

fn patch(daemon: &Daemon, body: &Value) -> Response {
    request(daemon.address, "PATCH", STATE, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

fn change(daemon: &Daemon, scope: &str, changes: Value) -> Value {
    let answer = patch(daemon, &json!({"page": "p", "sequence": 1, "scopes": {scope: {"changes": changes}}}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["scopes"][scope].clone()
}

#[test]
fn what_one_browser_has_left_another_one_gets() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let first = change(&daemon, "workspace//a", json!({"editors": "one", "panel": "open"}));
    assert_eq!((&first["before"], &first["revision"]), (&json!(0), &json!(1)));
    let ask = json!({"page": "q", "sequence": 1, "scopes": {
        "workspace//a": {"since": {"epoch": first["epoch"], "revision": 1}, "changes": {"panel": null}, "want": true},
        "global": {"want": true},
    }});
    let answer = patch(&daemon, &ask).json();
    assert_eq!(answer["scopes"]["workspace//a"]["news"], json!({"full": false, "entries": {}}), "one's own is no news");
    assert_eq!(answer["scopes"]["global"], json!({"epoch": null, "revision": 0, "before": 0, "news": {"full": false, "entries": {}}}));
    let all = daemon.get(&format!("{STATE}?scope=workspace%2F%2Fa")).json();
    assert_eq!(all["news"], json!({"full": true, "entries": {"editors": "one"}}));
    let list = daemon.get(STATE).json();
    assert_eq!((&list["scopes"][0]["scope"], &list["scopes"][0]["revision"]), (&json!("workspace//a"), &json!(2)));
    assert_eq!(daemon.get("/i/bob/api/v1/code/state").json(), json!({"scopes": []}));
    assert!(!daemon.instance_dir("alice").exists(), "no instance is started for it");

    let large = json!({"text": "0123456789".repeat(1000)});
    change(&daemon, "global", large);
    let packed = daemon.send("GET", &format!("{STATE}?scope=global"), &[("Accept-Encoding", "br, gzip")]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 1000);

    let dir = daemon.stop();
    let daemon = Daemon::start_in(dir, engine.path(), "", |_| {});
    assert_eq!(daemon.get(&format!("{STATE}?scope=workspace%2F%2Fa")).json(), all, "the same after a restart");
}

#[test]
fn what_is_wrong_or_too_much_is_refused() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let scope = |name: &str, update: Value| json!({"page": "p", "sequence": 1, "scopes": {name: update}});
    for (body, status, code) in [
        (json!([]), 400, "bad_request"),
        (json!({"page": "p", "sequence": 1, "scopes": {}, "more": 1}), 400, "bad_request"),
        (scope("global", json!({"changes": {"x": 1}})), 400, "bad_request"),
        (scope("elsewhere", json!({})), 400, "bad_request"),
        (scope("global", json!({"changes": {"x": "v".repeat((2 << 20) + 1)}})), 413, "too_large"),
        (scope("global", json!({"changes": {"k".repeat(5000): "v"}})), 413, "too_large"),
        (scope("global", json!({"changes": {"x": "v".repeat(6 << 20)}})), 413, "too_large"),
        (json!({"page": "p".repeat(100), "sequence": 1, "scopes": {}}), 413, "too_large"),
    ] {
        let answer = patch(&daemon, &body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{:.80}", body.to_string());
    }
    assert_eq!(daemon.get(&format!("{STATE}?scope=no")).status, 400);
    assert_eq!(daemon.send("PUT", STATE, &[]).header("allow"), Some("GET, HEAD, PATCH"));
    assert_eq!(daemon.get(STATE).json(), json!({"scopes": []}));
    // A page of an app on the same origin has no pass.
    let own = format!("http://{}", daemon.address);
    let headers = [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    for method in ["GET", "PATCH"] {
        let answer = request(daemon.address, method, STATE, &headers, b"{}");
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_refused"), "{method}");
    }
}

#[test]
fn who_asks_for_much_and_reads_nothing_gets_no_more() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    // Six bytes of JSON for each byte; more than sockets hold.
    for key in 0..5 {
        change(&daemon, "global", json!({ key.to_string(): "\u{1}".repeat(800_000) }));
    }
    let ask = || {
        let stream = daemon.begin(&format!("{STATE}?scope=global"));
        stream.get_ref().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream
    };
    let answered = |stream: &mut BufReader<TcpStream>| stream.fill_buf().is_ok_and(|read| !read.is_empty());
    let mut first = [ask(), ask()];
    for stream in &mut first {
        stream.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
        assert!(answered(stream));
    }
    let mut third = ask();
    assert!(!answered(&mut third), "two answers are in memory, a third is not made");
    assert_eq!(daemon.get("/i/bob/api/v1/code/state").status, 200, "nobody else waits");
    drop(first);
    third.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
    let answer = read_response(&mut third, false).unwrap().json();
    assert_eq!(answer["news"]["entries"]["4"].as_str().unwrap().len(), 800_000);
}

#[test]
fn the_page_says_how_far_the_state_is() {
    let daemon = Daemon::start(real_engine().dir(), "");
    let project = tempfile::tempdir().unwrap();
    let folder = project.path().display().to_string();
    let page = || daemon.get(&format!("/i/alice/?folder={folder}")).text();
    assert!(page().contains(&format!("\"workspace/{folder}\":[null,0]")), "{}", page());
    let at = change(&daemon, &format!("workspace/{folder}"), json!({"x": "1"}));
    change(&daemon, "profile/1a2b", json!({"x": "</script>"}));
    let text = page();
    assert!(text.contains(&format!("\"workspace/{folder}\":[{},1]", at["epoch"])), "{text}");
    assert!(text.contains("\"profile/1a2b\":[\""), "{text}");
    assert_eq!(text.matches("/workbench.js").count(), 2, "fetched beforehand, and imported by our module alone: {text}");
    assert!(!text.contains("<script type=\"module\" src=\"stable-") || !text.contains("workbench.js\"></script>"), "{text}");
}

#[test]
fn a_broken_store_is_set_aside_and_a_purge_takes_it_along() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    change(&daemon, "global", json!({"x": "1"}));
    let dir = daemon.data().join("state/alice/roaming");
    let file = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, b"{}\n").unwrap();
    assert_eq!(daemon.get(&format!("{STATE}?scope=global")).json()["news"], json!({"full": false, "entries": {}}));
    assert_eq!(fs::read(file.with_extension("broken")).unwrap(), b"{}\n");
    change(&daemon, "global", json!({"x": "2"}));
    assert_eq!(daemon.get(&format!("{STATE}?scope=global")).json()["news"]["entries"], json!({"x": "2"}));

    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let program = env!("CARGO_BIN_EXE_hoody-code");
    let remove = |more: &[&str]| {
        let socket = daemon.data().join("control.sock");
        let words = ["instances", "remove", "alice", "--socket"];
        assert!(Command::new(program).args(words).arg(socket).args(more).status().unwrap().success());
    };
    remove(&[]);
    assert!(dir.is_dir(), "files stay");
    remove(&["--purge"]);
    assert!(!daemon.data().join("state/alice").exists());
}

#[test]
fn nothing_of_before_a_purge_comes_back() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let left = || daemon.data().join("state/alice").exists();
    let purge = || {
        let socket = daemon.data().join("control.sock");
        let words = ["instances", "remove", "alice", "--purge", "--socket"];
        assert!(Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(words).arg(socket).status().unwrap().success());
        assert!(!left());
    };
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200);
    let at = change(&daemon, "global", json!({"x": "1"}));

    // One that is under way while it happens: the answer to the head says that the body is being read.
    let body = json!({"page": "p", "sequence": 2, "scopes": {"global": {"changes": {"x": "2"}}}}).to_string();
    let head = format!(
        "PATCH {STATE} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        daemon.address,
        body.len()
    );
    let mut stream = exchange(daemon.address, head.as_bytes());
    assert_eq!(read_response(&mut stream, true).unwrap().status, 100);
    purge();
    stream.get_mut().write_all(body.as_bytes()).unwrap();
    let late = read_response(&mut stream, false).unwrap();
    assert_eq!((late.status, late.code().as_str(), left()), (404, "instance_not_found", false));

    // One of somebody who knows a state that is gone, and one of a page whose pass was for it.
    let since =
        json!({"page": "p", "sequence": 3, "scopes": {"global": {"since": {"epoch": at["epoch"], "revision": 1}, "changes": {"x": "3"}}}});
    let late = patch(&daemon, &since);
    assert_eq!((late.status, late.code().as_str(), left()), (404, "instance_not_found", false));
    let own = format!("http://{}", daemon.address);
    let headers = [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin"), ("hoody-code-page", "7fffffff.00")];
    let late = request(daemon.address, "PATCH", STATE, &headers, body.as_bytes());
    assert_eq!((late.status, left()), (403, false), "no key is made to judge it by");

    // A new instance of that name begins anew.
    let anew = change(&daemon, "global", json!({"y": "1"}));
    assert_eq!(anew["before"], 0);
    assert_ne!(anew["epoch"], at["epoch"]);
}
