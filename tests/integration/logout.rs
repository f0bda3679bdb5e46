//! Signing out.

use std::io::{BufRead, Read};

use crate::support::{BROWSER, Daemon, FakeEngine, Response, WebSocket, eventually, exchange, read_response, sign_in};

const SECRET: &str = "secret";

fn daemon(engine: &FakeEngine) -> Daemon {
    Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), "", |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", SECRET]);
    })
}

fn status(daemon: &Daemon, cookie: &str) -> u16 {
    daemon.send("GET", "/i/alice/api/v1/code/status", &[("Cookie", cookie)]).status
}

#[test]
fn signing_out_ends_the_session_itself_and_what_it_had_opened() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine);
    let (one, two) = (sign_in(&daemon, "/i/alice/", SECRET), sign_in(&daemon, "/i/alice/", SECRET));
    let mut socket =
        WebSocket::open(daemon.address, "/i/alice/stable-c0ffee?reconnectionToken=1", &[("Cookie", &one)]).map_err(|r| r.text()).unwrap();
    let out = daemon.send("POST", "/i/alice/api/v1/code/logout", &[("Cookie", &one)]);
    assert_eq!(out.status, 200);
    let cleared = out.header("set-cookie").unwrap();
    assert!(
        cleared.starts_with("hoody-code-session-alice=;") && cleared.contains("Max-Age=0") && cleared.contains("Path=/i/alice;"),
        "{cleared}"
    );
    // A copy of the cookie is worth nothing any more; another browser's session is.
    assert_eq!((status(&daemon, &one), status(&daemon, &two)), (401, 200));
    assert!(socket.is_closed());
    let daemon = {
        let dir = daemon.stop();
        Daemon::launch(dir, engine.path(), "", |command| {
            command.args(["--listen", "127.0.0.1:0", "--password", SECRET]);
        })
    };
    assert_eq!((status(&daemon, &one), status(&daemon, &two)), (401, 200), "a restart revives nothing");
    assert_eq!(daemon.send("POST", "/i/alice/api/v1/code/logout", &[]).status, 200, "who has none may sign out too");
}

#[test]
fn the_workbench_signs_out_by_a_link_and_others_links_only_ask() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine);
    let cookie = sign_in(&daemon, "/i/alice/", SECRET);
    let go = |headers: &[(&str, &str)]| -> Response {
        let all: Vec<_> = [BROWSER, ("Cookie", cookie.as_str())].iter().chain(headers).copied().collect();
        daemon.send("GET", "/i/alice/logout?base=.&href=x", &all)
    };
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let old_link = [("Referer", "https://evil.example/")];
    for headers in [&link[..], &old_link] {
        let asked = go(headers);
        assert!(asked.status == 200 && asked.text().contains("action=\"./api/v1/code/logout\""), "{}", asked.text());
        assert_eq!((asked.header("set-cookie"), status(&daemon, &cookie)), (None, 200));
    }
    let image = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    assert_eq!((go(&image).status, status(&daemon, &cookie)), (403, 200));
    let foreign = daemon.send("POST", "/i/alice/api/v1/code/logout", &[("Cookie", &cookie), ("Origin", "https://evil.example")]);
    assert_eq!((foreign.status, status(&daemon, &cookie)), (403, 200));
    assert_eq!(daemon.send("HEAD", "/i/alice/logout", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(status(&daemon, &cookie), 200, "nobody is signed out by looking");
    let out = go(&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]);
    assert_eq!((out.status, out.header("location")), (303, Some("./login")));
    assert_eq!(status(&daemon, &cookie), 401);
    assert_eq!(daemon.send("GET", "/api/v1/code/logout", &[]).header("allow"), Some("POST"));
}

#[test]
fn streams_and_uploads_end_with_the_session() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine);
    let (one, two) = (sign_in(&daemon, "/i/alice/", SECRET), sign_in(&daemon, "/i/alice/", SECRET));
    let port = daemon.send("GET", "/i/alice/stable-c0ffee/listen?address=127.0.0.1", &[("Cookie", &one)]).text();
    let begin = |head: &str, cookie: &str, more: &str| {
        exchange(daemon.address, format!("{head} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n{more}", daemon.address).as_bytes())
    };
    let events = |cookie: &str| {
        let mut stream = begin(&format!("GET /i/alice/proxy/{port}/events"), cookie, "\r\n");
        let mut seen = String::new();
        while !seen.contains("data: first") {
            assert!(stream.read_line(&mut seen).unwrap() > 0, "{seen}");
        }
        stream
    };
    let (mut stream, mut other) = (events(&one), events(&two));
    let half = "Content-Length: 1000\r\n\r\nhalf";
    let mut to_app = begin(&format!("POST /i/alice/proxy/{port}/count"), &one, half);
    let mut to_engine = begin("GET /i/alice/stable-c0ffee/body", &one, half);
    let clients = || daemon.send("GET", "/i/alice/api/v1/code/status", &[("Cookie", &two)]).json()["clients"].as_u64();
    let to_instance = "Content-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nPK\x03\x04pub.half";
    let mut extension = begin("POST /i/alice/api/v1/code/extensions", &one, to_instance);
    eventually("all are under way", || (clients() == Some(5)).then_some(()));
    assert_eq!(daemon.send("POST", "/i/alice/api/v1/code/logout", &[("Cookie", &one)]).status, 200);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "cut, not ended: {}", String::from_utf8_lossy(&rest));
    for upload in [&mut to_app, &mut to_engine, &mut extension] {
        let answer = read_response(upload, false);
        assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{answer:?}");
    }
    eventually("only the other browser's is left", || (clients() == Some(1)).then_some(()));
    daemon.send("GET", &format!("/i/alice/proxy/{port}/tell?what=more"), &[("Cookie", &two)]);
    let mut seen = String::new();
    while !seen.contains("data: more") {
        assert!(other.read_line(&mut seen).unwrap() > 0, "another session's stream goes on: {seen}");
    }
}

#[test]
fn an_extensions_events_end_with_the_session() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine);
    let (one, two) = (sign_in(&daemon, "/i/alice/", SECRET), sign_in(&daemon, "/i/alice/", SECRET));
    let list = "/i/alice/api/v1/code/extensions";
    let follow = |head: &str, cookie: &str, more: &str, what: &str| {
        let head = format!("{head} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {cookie}\r\n{more}", daemon.address);
        let mut stream = exchange(daemon.address, head.as_bytes());
        let mut seen = String::new();
        while !seen.contains(what) {
            assert!(stream.read_line(&mut seen).unwrap() > 0, "{seen}");
        }
        stream
    };
    let wish = r#"{"id":"gallery.slow"}"#;
    let headers = format!("Content-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: {}\r\n\r\n{wish}", wish.len());
    let install = follow(&format!("POST {list}"), &one, &headers, "\"installing\"");
    let watch = format!("GET {list}/events?id=gallery.slow");
    let (mine, mut other) = (follow(&watch, &one, "\r\n", "\"installing\""), follow(&watch, &two, "\r\n", "\"installing\""));
    assert_eq!(daemon.send("POST", "/i/alice/api/v1/code/logout", &[("Cookie", &one)]).status, 200);
    for mut stream in [install, mine] {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    }
    other.get_ref().set_nonblocking(true).unwrap();
    assert_eq!(other.read_to_end(&mut Vec::new()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "another session's go on");
}
