//! Bodies both ways: of any size and any kind, as they come, and what becomes of broken ones.

use std::io::{Read, Write};

use crate::support::{App, Daemon, FakeEngine, eventually, exchange, read_response, request};

#[test]
fn every_method_is_the_apps_own() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let answer = daemon.send(method, &format!("/proxy/{}/x", app.port), &[]);
        assert_eq!((answer.status, answer.json()["method"].as_str()), (200, Some(method)));
    }
    let head = daemon.send("HEAD", &format!("/proxy/{}/answer?header=Content-Length:+12345", app.port), &[]);
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("12345"), 0));
    let unchanged = daemon.get(&format!("/proxy/{}/answer?status=304&header=ETag:+x", app.port));
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some("x")));
}

#[test]
fn a_connection_is_kept_alive() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let head = format!("GET /proxy/{}/x HTTP/1.1\r\nHost: {}\r\n\r\n", app.port, daemon.address);
    let mut stream = exchange(daemon.address, head.as_bytes());
    for _ in 0..3 {
        let answer = read_response(&mut stream, false).unwrap();
        assert_eq!((answer.status, answer.json()["url"].as_str()), (200, Some("/x")));
        stream.get_mut().write_all(head.as_bytes()).unwrap();
    }
}

#[test]
fn two_gibibytes_each_way_in_constant_memory() {
    const SIZE: usize = 2 << 30;
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    app.seen(&format!("/proxy/{}/x", app.port), &[]);
    let before = daemon.peak_memory();
    let mut piece = vec![0; 1 << 20];
    for query in ["", "&length"] {
        let mut stream = daemon.begin(&format!("/proxy/{}/big?bytes={SIZE}{query}", app.port));
        let mut left = SIZE;
        while left > 0 {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "ended {left} bytes early");
            left = left.saturating_sub(n);
        }
    }
    let head = format!("POST /proxy/{}/count HTTP/1.1\r\nHost: {}\r\nContent-Length: {SIZE}\r\n\r\n", app.port, daemon.address);
    let mut stream = exchange(daemon.address, head.as_bytes());
    for _ in 0..SIZE / piece.len() {
        stream.get_mut().write_all(&piece).unwrap();
    }
    let answer = read_response(&mut stream, false).unwrap().json();
    assert_eq!(answer["size"], SIZE);
    assert_eq!(answer["framing"][0], SIZE.to_string(), "a length stays a length");
    let grown = daemon.peak_memory().saturating_sub(before);
    println!("4 GiB down and 2 GiB up: the daemon's peak grew by {} KiB", grown >> 10);
    assert!(grown < 32 << 20, "6 GiB grew the daemon by {grown} bytes");
}

#[test]
fn what_nobody_takes_is_not_asked_for() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    app.seen(&format!("/proxy/{}/x", app.port), &[]);
    let before = daemon.peak_memory();
    let mut lazy: Vec<_> = (0..10).map(|_| daemon.begin(&format!("/proxy/{}/big?bytes=2000000000", app.port))).collect();
    for stream in &mut lazy {
        stream.read_exact(&mut [0; 100_000]).unwrap();
    }
    let grown = daemon.peak_memory().saturating_sub(before);
    assert!(grown < 40 << 20, "ten stalled downloads grew the daemon by {grown} bytes");
}

#[test]
fn events_arrive_one_by_one() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let mut stream = daemon.begin(&format!("/proxy/{}/events", app.port));
    let mut seen = String::new();
    let mut until = |what: &str| {
        while !seen.contains(what) {
            let mut piece = [0; 1024];
            let n = stream.read(&mut piece).unwrap_or_else(|e| panic!("{what}: {e}; seen {seen}"));
            assert!(n > 0, "ended before {what}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    };
    until("data: first\n\n");
    for what in ["second", "third"] {
        daemon.get(&format!("/proxy/{}/tell?what={what}", app.port));
        until(&format!("data: {what}\n\n"));
    }
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let head = format!(
        "POST /proxy/{}/count HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n",
        app.port, daemon.address
    );
    let answer = read_response(&mut exchange(daemon.address, head.as_bytes()), false).unwrap().json();
    assert_eq!((answer["size"].as_u64(), answer["trailers"]["x-sum"].as_str()), (Some(4), Some("42")), "{answer}");
    let head =
        format!("GET /proxy/{}/trailers HTTP/1.1\r\nHost: {}\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n", app.port, daemon.address);
    let mut text = String::new();
    exchange(daemon.address, head.as_bytes()).read_to_string(&mut text).unwrap();
    assert!(text.to_ascii_lowercase().contains("\r\ntrailer: x-sum\r\n") && text.ends_with("0\r\nx-sum: 42\r\n\r\n"), "{text}");
}

#[test]
fn the_app_says_whether_a_body_is_welcome() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let ask = |path: &str| {
        let head = format!(
            "POST /proxy/{}/{path} HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            app.port, daemon.address
        );
        exchange(daemon.address, head.as_bytes())
    };
    let mut stream = ask("count");
    let go_on = read_response_head(&mut stream);
    assert!(go_on.starts_with("HTTP/1.1 100"), "{go_on}");
    stream.get_mut().write_all(b"body").unwrap();
    assert_eq!(read_response(&mut stream, false).unwrap().json()["size"], 4);
    let mut stream = ask("refuse");
    let refused = read_response(&mut stream, false).unwrap();
    assert_eq!((refused.status, refused.text().as_str()), (413, "too large for me"), "before a byte of the body was sent");
}

fn read_response_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn an_app_that_breaks_off_is_no_complete_answer() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let none = daemon.get(&format!("/proxy/{}/none", app.port));
    assert_eq!((none.status, none.code().as_str()), (502, "port_unreachable"));
    let mut stream = daemon.begin(&format!("/proxy/{}/half", app.port));
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("content-length: 1000") && text.ends_with("half"), "{text}");
    eventually("nothing is left open", || (daemon.status("default")["clients"] == 0).then_some(()));
}

#[test]
fn answers_that_could_be_read_in_two_ways_are_read_in_one() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    for (what, bytes) in [
        ("both lengths", format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len())),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: 4\r\n\r\n{smuggled}")),
        ("a list of lengths", format!("Content-Length: 0, 4\r\n\r\n{smuggled}")),
        ("a body behind 204", String::new()),
        ("more than was said", format!("Content-Length: 2\r\n\r\nok{smuggled}")),
        ("a folded header", format!("X-A: b\r\n Content-Length: 0\r\n\r\n{smuggled}")),
        ("a bare line feed", format!("X-A: b\nContent-Length: 0\r\n\r\n{smuggled}")),
        ("a bare carriage return", format!("X-A: b\rSet-Cookie: x=1\r\nContent-Length: 0\r\n\r\n{smuggled}")),
        ("a space before the colon", format!("Content-Length : 0\r\n\r\n{smuggled}")),
        ("an early 1xx", format!("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{smuggled}")),
    ] {
        let status = if what.contains("204") {
            "204 No Content\r\n\r\nEVIL"
        } else if what.contains("1xx") {
            "103 Early Hints"
        } else {
            "200 OK"
        };
        let port = app.parrot(format!("HTTP/1.1 {status}\r\n{bytes}").as_bytes());
        let next = format!("GET /update/check HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", daemon.address);
        let head = format!("GET /proxy/{port}/ HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address);
        let mut stream = exchange(daemon.address, head.as_bytes());
        let first = read_response(&mut stream, false);
        assert!(first.is_some(), "{what}");
        // Whatever the app has said: the next answer on this connection is ours, or there is none.
        let _ = stream.get_mut().write_all(next.as_bytes());
        if let Some(second) = read_response(&mut stream, false) {
            assert!(second.text().contains("isLatest"), "{what}: {first:?} then {second:?}");
        }
    }
}

#[test]
fn an_upload_that_is_given_up_ends_there() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let head = format!("POST /proxy/{}/count HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000\r\n\r\nhalf", app.port, daemon.address);
    let stream = exchange(daemon.address, head.as_bytes());
    eventually("it is under way", || (daemon.status("default")["clients"] == 1).then_some(()));
    drop(stream);
    eventually("it is given up", || (daemon.status("default")["clients"] == 0).then_some(()));
    assert_eq!(request(daemon.address, "POST", &format!("/proxy/{}/count", app.port), &[], b"whole").json()["size"], 5);
}
