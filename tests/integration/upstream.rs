//! What a request becomes on its way to the engine, and what happens when either end breaks off.

use std::io::Read;

use crate::support::{Daemon, FakeEngine, eventually, read_response, request};

#[test]
fn headers_pass_except_those_of_the_connection() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let sent = [
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Secret", "1"),
        ("Connection", "X-Secret"),
        ("TE", "trailers"),
        ("Proxy-Connection", "close"),
    ];
    let path = "/i/alice/stable-c0ffee/headers?q=%2F&r=1";
    assert_eq!(daemon.get(path).json()["url"], "/stable-c0ffee/headers?q=%2F&r=1");
    let seen = daemon.seen_headers(path, &sent);
    let all = |name: &str| seen.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    assert_eq!(all("x-twice"), ["1", "2"]);
    assert_eq!(all("host"), [daemon.address.to_string()]);
    assert_eq!(all("x-forwarded-for"), ["127.0.0.1"]);
    for gone in ["x-secret", "te", "proxy-connection", "forwarded"] {
        assert!(all(gone).is_empty(), "{gone}");
    }
    let answer = daemon.get("/i/alice/stable-c0ffee/repeated");
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!((answer.header("x-hop"), answer.header("x-kept")), (None, Some("1")));
}

#[test]
fn large_bodies_pass_both_ways() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let body = vec![b'y'; 8 << 20];
    let counted = request(daemon.address, "GET", "/stable-c0ffee/body", &[], &body);
    assert_eq!(counted.text(), body.len().to_string());
    let big = daemon.get("/stable-c0ffee/big?bytes=50000000");
    assert_eq!(big.body.len(), 50_000_000);
}

#[test]
fn an_answer_that_nobody_takes_is_not_hoarded() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let rss = || daemon.get("/api/v1/code/health").json()["memory"]["rss"].as_u64().unwrap();
    daemon.get("/stable-c0ffee/big?bytes=1000");
    let before = rss();
    let mut lazy: Vec<_> = (0..10).map(|_| daemon.begin("/stable-c0ffee/big?bytes=2000000000")).collect();
    for stream in &mut lazy {
        stream.read_exact(&mut [0; 100_000]).unwrap();
    }
    let grown = rss().saturating_sub(before);
    assert!(grown < 40 << 20, "ten stalled downloads of 2 GB grew the daemon by {grown} bytes");
}

#[test]
fn a_client_that_leaves_ends_the_engines_work() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let mut stream = daemon.begin("/stable-c0ffee/drip");
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 200");
    assert_eq!(daemon.status("default")["clients"], 1);
    drop(stream);
    let closed = daemon.instance_dir("default").join("user-data/closed");
    eventually("the engine sees the client leave", || closed.exists().then_some(()));
    eventually("the lease ends", || (daemon.status("default")["clients"] == 0).then_some(()));
}

#[test]
fn an_engine_that_dies_in_mid_answer_breaks_it_off() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let mut stream = daemon.begin("/stable-c0ffee/die");
    let answer = read_response(&mut stream, false);
    assert!(answer.is_none_or(|answer| answer.status == 502 || !answer.text().contains("complete")), "half an answer is none");
    eventually("the crash is seen", || (daemon.status("default")["state"] == "failed").then_some(()));
    assert_eq!(daemon.status("default")["cause"]["kind"], "crashed");
    assert_eq!(daemon.get("/stable-c0ffee/headers").status, 200, "the next request has it back");
}
