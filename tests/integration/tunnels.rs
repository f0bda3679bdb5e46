//! Websockets.

use std::io::Write;

use crate::support::{Daemon, FakeEngine, WebSocket, eventually, real_engine};

#[test]
fn bytes_are_echoed_both_ways() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let mut socket = WebSocket::open(daemon.address, "/i/alice/stable-c0ffee?reconnectionToken=1", &[]).map_err(|r| r.text()).unwrap();
    for size in [1, 100, 10_000, 1_000_000] {
        let bytes: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        let mut writer = socket.writer();
        let sent = bytes.clone();
        // Both at once: what is not read stops what is written.
        let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
        socket.expect_raw(&bytes);
        writing.join().unwrap();
    }
    drop(socket);
    daemon.wait_log("websocket closed");
    daemon.wait_log("bytes_in=1010101");
}

#[test]
fn a_refusal_passes_with_its_body() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let refused = WebSocket::open(daemon.address, "/stable-c0ffee/refuse", &[]).map(|_| ()).unwrap_err();
    assert_eq!((refused.status, refused.text().as_str(), refused.header("x-why")), (403, "no entry", Some("test")));
}

#[test]
fn the_last_words_arrive_before_the_close() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let mut socket = WebSocket::open(daemon.address, "/stable-c0ffee/hangup", &[]).map_err(|r| r.text()).unwrap();
    socket.expect_raw(b"bye");
    assert!(socket.is_closed());
}

#[test]
fn one_instance_does_not_take_what_all_have() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nclients = 2\n");
    let open = |path: &str| WebSocket::open(daemon.address, path, &[]);
    let mut held: Vec<_> = (0..2).map(|_| open("/i/alice/stable-c0ffee").map_err(|r| r.text()).unwrap()).collect();
    let refused = open("/i/alice/stable-c0ffee").map(|_| ()).unwrap_err();
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_connections"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200, "its page is there all the same");
    assert!(open("/i/bob/stable-c0ffee").is_ok(), "nobody else's");
    // Requests whose answers do not end are no way around it.
    let begin = || {
        let mut stream = daemon.begin("/i/alice/stable-c0ffee/drip");
        let mut status = String::new();
        std::io::BufRead::read_line(&mut stream, &mut status).unwrap();
        (status, stream)
    };
    let dripping: Vec<_> = (0..2).map(|_| begin()).collect();
    assert!(dripping.iter().all(|(status, _)| status.contains("200")));
    for path in ["stable-c0ffee/drip", "proxy/3000/", "api/v1/code/extensions", "?ew=1"] {
        let refused = daemon.get(&format!("/i/alice/{path}"));
        assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_connections"), "{path}");
    }
    assert_eq!(daemon.get("/i/alice/api/v1/code/status").status, 200);
    drop(dripping);
    std::fs::write(daemon.config_file(), "[limits]\nclients = 3\n").unwrap();
    daemon.signal("HUP");
    held.push(eventually("more of them, without a restart", || open("/i/alice/stable-c0ffee").ok()));
    held.pop();
    eventually("room for another", || open("/i/alice/stable-c0ffee").ok());
}

#[test]
fn a_websocket_is_a_connection_for_as_long_as_it_is_open() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nconnections = 2\n");
    let open = || WebSocket::open(daemon.address, "/stable-c0ffee", &[]).map_err(|r| r.text()).unwrap();
    let mut held = vec![open(), open()];
    let open_now = || {
        let mut curl = std::process::Command::new("curl");
        curl.arg("--silent").arg("--unix-socket").arg(daemon.data().join("control.sock")).arg("http://localhost/metrics");
        let text = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        text.lines().find_map(|line| line.strip_prefix("hoody_code_connections_open{listener=\"http\"} ")?.parse::<usize>().ok())
    };
    assert_eq!(open_now(), Some(2));
    let refused = daemon.get("/manifest.json");
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_connections"), "there is no place");
    held.pop();
    eventually("a place", || (daemon.get("/manifest.json").status == 200).then_some(()));
    drop(held);
    eventually("all places are given back", || (open_now() == Some(0)).then_some(()));
}

#[test]
fn a_thousand_at_once() {
    hoody_code::sys::raise_fd_limit();
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let mut sockets: Vec<_> = (0..1000)
        .map(|n| WebSocket::open(daemon.address, &format!("/stable-c0ffee?reconnectionToken={n}"), &[]).map_err(|r| r.text()).unwrap())
        .collect();
    let health = daemon.get("/api/v1/code/health").json();
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(daemon.status("default")["clients"], 1000);
    for (n, socket) in sockets.iter_mut().enumerate() {
        socket.send_raw(format!("message {n}").as_bytes()).unwrap();
    }
    for (n, socket) in sockets.iter_mut().enumerate() {
        socket.expect_raw(format!("message {n}").as_bytes());
    }
    drop(sockets);
    eventually("all leases end", || (daemon.status("default")["clients"] == 0).then_some(()));
}

/// The engine's own protocol: a frame header of 13 bytes (type, id, ack, length), and JSON in control messages.
#[test]
fn the_real_engine_answers_its_own_handshake() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), "");
    let path =
        format!("{}?reconnectionToken=00000000-0000-4000-8000-000000000000&reconnection=false&skipWebSocketFrames=false", engine.base());
    let mut socket =
        WebSocket::open(daemon.address, &path, &[("Origin", &format!("http://{}", daemon.address))]).map_err(|r| r.text()).unwrap();
    let message = br#"{"type":"auth","auth":"00000000000000000000"}"#;
    let mut frame = vec![2];
    frame.extend([0; 8]);
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    socket.send(&frame);
    let answer = socket.receive();
    let answer: serde_json::Value = serde_json::from_slice(&answer[13..]).unwrap();
    assert_eq!(answer["type"], "sign", "{answer}");
}
