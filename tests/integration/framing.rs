//! Requests that two parties could read differently, and requests without end.

use std::io::{Read, Write};

use crate::support::{Daemon, FakeEngine, Response, exchange, read_response, request};

#[test]
fn smuggling_attempts_are_refused_and_the_connection_is_closed() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let smuggled = "GET /update/check HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (what, head) in [
        ("both lengths", format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", smuggled.len() + 5)),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 50\r\n\r\n".to_owned()),
        ("a list of lengths", "Content-Length: 0, 50\r\n\r\n".to_owned()),
        ("a signed length", "Content-Length: +0\r\n\r\n".to_owned()),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n".to_owned()),
        ("a coding behind chunked", "Transfer-Encoding: chunked, identity\r\n\r\n".to_owned()),
        ("two codings", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("a space before the colon", "Content-Length : 0\r\n\r\n".to_owned()),
        ("a folded header", "X-A: 1\r\n Content-Length: 50\r\n\r\n".to_owned()),
        ("a bare carriage return", "X-A: 1\rContent-Length: 50\r\n\r\n".to_owned()),
        ("a NUL", "X-A: 1\0\r\n\r\n".to_owned()),
        ("a second host", "Host: evil.example\r\n\r\n".to_owned()),
    ] {
        let bytes = format!("GET /stable-c0ffee/body HTTP/1.1\r\nHost: {}\r\n{head}{smuggled}", daemon.address);
        let mut stream = exchange(daemon.address, bytes.as_bytes());
        let answer = read_response(&mut stream, false);
        // With both lengths the coding counts and the connection ends there (RFC 9112, section 6.1): nothing is left to smuggle.
        let closes = |answer: &Response| answer.status == 400 || answer.header("connection") == Some("close");
        assert!(answer.as_ref().is_none_or(closes), "{what}: {answer:?}");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{what}: the rest was taken for a request: {:?}", String::from_utf8_lossy(&rest));
    }
    for line in
        ["GET http://evil.example/ HTTP/1.1", "CONNECT localhost:1 HTTP/1.1", "GET / HTTP/1.1\r\nHost:", "GET / HTTP/1.1\r\nX-No-Host: 1"]
    {
        let host = if line.contains('\n') { String::new() } else { format!("Host: {}\r\n", daemon.address) };
        let mut stream = exchange(daemon.address, format!("{line}\r\n{host}\r\n").as_bytes());
        let status = read_response(&mut stream, false).map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 403) | None), "{line}: {status:?}");
    }
}

#[test]
fn heads_have_a_size_and_a_deadline() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nheader_bytes = 8192\nheader_timeout = '1s'\n");
    let long = "a".repeat(20_000);
    let status = |bytes: String| read_response(&mut exchange(daemon.address, bytes.as_bytes()), false).map(|answer| answer.status);
    assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n")), Some(431));
    let many = "X-Many: 1\r\n".repeat(500);
    assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")), Some(431));
    // What never ends its head is let go.
    let mut slow = exchange(daemon.address, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&rest));
    let mut stuck = daemon.connect();
    assert!(matches!(stuck.read(&mut [0; 1]), Ok(0) | Err(_)), "an idle connection is let go too");
}

#[test]
fn bodies_have_a_deadline_between_their_pieces() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nbody_idle_timeout = '4s'\n");
    let head = format!("GET /stable-c0ffee/body HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\n", daemon.address);
    let mut steady = exchange(daemon.address, head.as_bytes());
    for piece in 0..10 {
        // Slower altogether than the deadline, and never slower between two pieces: pacing, not waiting.
        std::thread::sleep(std::time::Duration::from_millis(450));
        steady.get_mut().write_all(&[b'0' + piece]).unwrap();
    }
    assert_eq!(read_response(&mut steady, false).unwrap().text(), "10");
    let mut stalled = exchange(daemon.address, head.as_bytes());
    stalled.get_mut().write_all(b"123").unwrap();
    let answer = read_response(&mut stalled, false);
    assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{answer:?}");
}

#[test]
fn health_answers_to_no_name_at_all() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let status = |line: &str| read_response(&mut exchange(daemon.address, format!("{line}\r\n\r\n").as_bytes()), false).unwrap().status;
    assert_eq!(status("GET /api/v1/code/health HTTP/1.0"), 200, "as load balancers ask");
    assert_eq!(status("GET /api/v1/code/health HTTP/1.0\r\nHost: web-code-1"), 200, "or by the machine's own name");
    assert_eq!(status("GET /api/v1/code/health HTTP/1.1"), 400);
    assert_eq!(status("GET /i/alice/api/v1/code/health HTTP/1.0"), 400);
    assert_eq!(status("GET /api/v1/code/openapi.json HTTP/1.0"), 400);
    let odd = read_response(&mut exchange(daemon.address, b"GET /api/v1/code/health HTTP/1.0\r\nUser-Agent: M\xffnitor\r\n\r\n"), false);
    assert_eq!(odd.unwrap().json()["userAgent"], "M\u{fffd}nitor");
}

#[test]
fn what_is_said_to_be_too_long_is_not_asked_for() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    for (line, kind) in [
        ("POST /api/v1/code/login", "application/json"),
        ("POST /api/v1/code/login", "application/x-www-form-urlencoded"),
        ("POST /api/v1/code/extensions", "application/json"),
        ("PATCH /api/v1/code/state", "application/json"),
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let head =
                format!("{line} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\n{expect}Content-Length: 99999999\r\n\r\n", daemon.address);
            let answer = read_response(&mut exchange(daemon.address, head.as_bytes()), false).unwrap();
            assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"), "{line} {kind} {expect}");
        }
    }
}

#[test]
fn a_name_meant_as_an_instance_opens_no_other() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    for host in ["web-code-1.localhost", "a_b-c-code-1.localhost", "a-b-code-01.localhost"] {
        let answer = read_response(&mut exchange(daemon.address, format!("GET /?ew=1 HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()), false);
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_instance"), "{host}");
    }
}

#[test]
fn what_is_wrong_with_json_is_said_without_our_own_words() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    for (method, path) in [("POST", "/api/v1/code/extensions"), ("PATCH", "/api/v1/code/state")] {
        for body in ["[]", "1", "{}", "{\"id\":", "{\"id\": \"x\"}", "{\"x\": 1}"] {
            let answer = request(daemon.address, method, path, &[("Content-Type", "application/json")], body.as_bytes());
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            let leaks = ["struct", "Wish", "Changes", "line 1", "column"].iter().any(|word| message.contains(word));
            assert!(answer.status == 400 && !leaks, "{path} {body}: {} {message}", answer.status);
        }
    }
}
