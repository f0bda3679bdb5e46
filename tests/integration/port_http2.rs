//! Apps on ports, asked over HTTP/2: what they are told and what they say is what it is over HTTP/1.1, which they speak.

use std::convert::Infallible;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Certificate, DEADLINE, Daemon, FakeEngine, Http2, expect_echoes};

struct Scene {
    http: Http2,
    /// `/proxy/PORT` of an app.
    app: String,
    port: String,
    daemon: Daemon,
    _engine: FakeEngine,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (dir, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new());
        let certificate = Certificate::new(dir.path(), "first");
        let daemon = Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), &certificate.config(), |command| {
            command.args(["--listen", "https://127.0.0.1:0", "--auth", "none"]);
        });
        let mut http = Http2::connect(&daemon, &certificate).await;
        let port = http.send("GET", "/stable-c0ffee/listen?address=127.0.0.1", &[]).await.text();
        Self { http, app: format!("/proxy/{port}"), port, daemon, _engine: engine, _dir: dir }
    }
}

/// `bytes` of a body, none of which is there before it is asked for.
fn large(bytes: usize) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send {
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = std::iter::repeat_n(piece, bytes >> 20);
    StreamBody::new(futures_util::stream::iter(pieces.map(|piece| Ok(Frame::data(piece)))))
}

/// What comes of `body`, until `text` is there.
async fn until(body: &mut Incoming, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap_or_else(|_| panic!("{text}: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&frame.expect("it goes on").unwrap().into_data().unwrap()));
    }
    seen
}

#[tokio::test]
async fn every_method_and_what_the_app_is_told() {
    let mut scene = Scene::new().await;
    let Scene { http, app, port, daemon, .. } = &mut scene;
    for method in ["GET", "POST", "DELETE", "OPTIONS", "PROPFIND"] {
        let answer = http.send(method, &format!("{app}/x?y"), &[]).await.json();
        assert_eq!((answer["method"].as_str(), answer["url"].as_str()), (Some(method), Some("/x?y")));
        let raw: Vec<&str> = answer["raw"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let own = format!("localhost:{}", daemon.address.port());
        for (name, value) in [("host", own.as_str()), ("x-forwarded-proto", "https"), ("x-forwarded-prefix", app.as_str())] {
            assert!(raw.chunks(2).any(|pair| pair == [name, value]), "{name}: {raw:?}");
        }
        assert!(raw.chunks(2).all(|pair| !pair[0].starts_with(':') && pair[0] != "connection" || pair[1] == "keep-alive"), "{raw:?}");
    }
    let head = http.send("HEAD", &format!("{app}/answer?header=Content-Length:+12345"), &[]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("12345"), 0));
    let moved = http.send("GET", &format!("{app}/a/answer?status=302&header=Location:+http://localhost:{port}/login"), &[]).await;
    assert_eq!((moved.status, moved.header("location")), (302, Some("../login")));
    // What an HTTP/1.1 server may say of its connection, HTTP/2 forbids.
    let said = http.send("GET", &format!("{app}/answer?header=Connection:+close&header=Keep-Alive:+timeout%3D5&body=there"), &[]).await;
    assert_eq!((said.header("connection"), said.header("keep-alive"), said.text().as_str()), (None, None, "there"));
    let gone = http.send("HEAD", &format!("{app}/none"), &[]).await;
    assert_eq!((gone.status, gone.body.len()), (502, 0));
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let mut scene = Scene::new().await;
    let Scene { http, app, .. } = &mut scene;
    let mut events = http.begin("GET", &format!("{app}/events"), &[("accept", "text/event-stream")], Empty::new()).await.into_body();
    until(&mut events, "data: first\n\n").await;
    for what in ["second", "third"] {
        http.send("GET", &format!("{app}/tell?what={what}"), &[]).await;
        assert_eq!(until(&mut events, "\n\n").await, format!("data: {what}\n\n"));
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut scene = Scene::new().await;
    let Scene { http, app, .. } = &mut scene;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let answer = http.begin("POST", &format!("{app}/count"), &[("trailer", "x-sum")], body).await.into_body().collect().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
    assert_eq!((answer["size"].as_u64(), answer["trailers"]["x-sum"].as_str()), (Some(4), Some("42")), "{answer}");
    let answer = http.begin("GET", &format!("{app}/trailers"), &[("te", "trailers")], Empty::new()).await.into_body();
    let answer = answer.collect().await.unwrap();
    assert_eq!(answer.trailers().map(|trailers| trailers["x-sum"].to_str().unwrap()), Some("42"));
    assert_eq!(answer.to_bytes(), "body");
}

#[tokio::test]
async fn large_bodies_both_ways_in_constant_memory() {
    const SIZE: usize = 64 << 20;
    let mut scene = Scene::new().await;
    let Scene { http, app, daemon, .. } = &mut scene;
    http.send("GET", &format!("{app}/x"), &[]).await;
    let before = daemon.peak_memory();
    for query in ["", "&length"] {
        let mut body = http.begin("GET", &format!("{app}/big?bytes={SIZE}{query}"), &[], Empty::new()).await.into_body();
        let mut got = 0;
        while let Some(frame) = body.frame().await {
            got += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(got, SIZE);
    }
    for headers in [vec![], vec![("content-length", SIZE.to_string())]] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http.begin("POST", &format!("{app}/count"), &headers, large(SIZE)).await.into_body().collect().await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
        assert_eq!(answer["size"], SIZE);
        assert_eq!(answer["framing"][0].as_str(), headers.first().map(|(_, value)| *value), "a length stays a length");
    }
    let grown = daemon.peak_memory().saturating_sub(before);
    println!("128 MiB down and 128 MiB up over HTTP/2: the daemon's peak grew by {} KiB", grown >> 10);
    assert!(grown < 32 << 20, "256 MiB grew the daemon by {grown} bytes");
}

#[tokio::test]
async fn the_app_says_whether_a_body_is_welcome() {
    let mut scene = Scene::new().await;
    let Scene { http, app, .. } = &mut scene;
    let expect = [("expect", "100-continue"), ("content-length", "4")];
    let body = || Full::new(Bytes::from_static(b"body"));
    let answer = http.begin("POST", &format!("{app}/count"), &expect, body()).await.into_body().collect().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
    assert_eq!(answer["size"], 4);
    let refused = http.begin("POST", &format!("{app}/refuse"), &expect, body()).await;
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.into_body().collect().await.unwrap().to_bytes(), "too large for me");
    assert_eq!(http.send("GET", &format!("{app}/x"), &[]).await.status, 200, "nothing of it is in anybody's way");
}

#[tokio::test]
async fn websockets_on_both_forms() {
    let mut scene = Scene::new().await;
    let Scene { http, app, port, daemon, .. } = &mut scene;
    let origin = format!("https://localhost:{}", daemon.address.port());
    let mut socket = http.upgrade("websocket", &format!("{app}/socket"), &[("origin", &origin)]).await.unwrap();
    expect_echoes(&mut socket).await;
    let refused = http.upgrade("websocket", &format!("{app}/socket"), &[("origin", "https://evil.example")]).await.map(|_| ());
    assert_eq!(refused.unwrap_err(), 403, "ours");
    let refused = http.upgrade("websocket", &format!("{app}/refuse"), &[("origin", &origin)]).await.map(|_| ());
    assert_eq!(refused.unwrap_err(), 403, "the app's");
    socket.shutdown().await.unwrap();
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0, "a close is a close on the other side, too");

    // The host form: the name is that of the app.
    http.say_host(&format!("{port}--default.localhost"));
    let origin = format!("https://{port}--default.localhost:{}", daemon.address.port());
    assert_eq!(http.send("GET", "/x", &[]).await.json()["url"], "/x");
    let mut socket = http.upgrade("websocket", "/socket", &[("origin", &origin)]).await.unwrap();
    socket.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    socket.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
}
