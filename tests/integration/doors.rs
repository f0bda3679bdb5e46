//! Connections that somebody holds open: what they keep from others.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::support::{BROWSER, DEADLINE, Daemon, FakeEngine, Response, eventually, post_password, read_response};

/// Connects from one of the addresses that this machine has for itself.
fn from(client: u8, address: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, client), 0))).unwrap();
    connect(&socket, &address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The answer to a GET from there; none when the connection was closed instead.
fn get(client: u8, address: SocketAddr, path: &str, headers: &str) -> Option<Response> {
    let mut stream = from(client, address);
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    read_response(&mut BufReader::new(stream), false)
}

/// `number` connections on which nothing is asked, and which the daemon has let in.
fn crowd(client: u8, address: SocketAddr, path: &str, number: usize) -> Vec<TcpStream> {
    let hold = |_| {
        let mut stream = from(client, address);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        read_response(&mut BufReader::new(stream.try_clone().unwrap()), false).unwrap();
        stream
    };
    (0..number).map(hold).collect()
}

/// Whether the daemon closes it; that nothing comes for long is no close.
fn ends(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn one_client_has_its_share_and_no_more() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nconnections = 80\n");
    let at = daemon.address;
    let mut held = crowd(1, at, "/manifest.json", 20);
    assert!(get(1, at, "/manifest.json", "").is_none() && get(1, at, "/api/v1/code/health", "").is_none());
    assert!(ends(&mut from(1, at)), "without a word");
    assert_eq!(get(2, at, "/manifest.json", "").unwrap().status, 200, "nobody else's");
    daemon.wait_log("127.0.0.1 has 20 connections for http");
    held.pop();
    eventually("its own again", || get(1, at, "/manifest.json", ""));
}

#[test]
fn a_proxy_that_is_trusted_has_no_share() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nconnections = 80\n[server]\ntrusted_proxies = ['127.0.0.1']\n");
    let held = crowd(1, daemon.address, "/manifest.json", 79);
    assert_eq!(get(1, daemon.address, "/manifest.json", "").unwrap().status, 200);
    drop(held);
}

#[test]
fn health_is_told_when_all_places_are_taken() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[limits]\nconnections = 64\n");
    let at = daemon.address;
    let mut held: Vec<_> = (1..5).flat_map(|client| crowd(client, at, "/manifest.json", 16)).collect();
    let health = get(5, at, "/api/v1/code/health", "").unwrap();
    assert_eq!((health.status, health.header("connection")), (200, Some("close")));
    let refused = get(5, at, "/manifest.json", "").unwrap();
    assert_eq!((refused.status, refused.code().as_str(), refused.header("connection")), (503, "too_many_connections", Some("close")));
    assert!(refused.header("retry-after").is_some());
    assert!(get(1, at, "/api/v1/code/health", "").is_none(), "who has had his share takes nothing else");
    // Those who say nothing are let go soon, and one client does not have all of what is left.
    let mut silent: Vec<_> = (0..5).map(|_| from(5, at)).collect();
    assert_eq!(get(6, at, "/api/v1/code/health", "").unwrap().status, 200);
    silent.iter_mut().for_each(|stream| assert!(ends(stream)));
    held.clear();
    eventually("places again", || get(5, at, "/manifest.json", "").filter(|answer| answer.status == 200));
}

#[test]
fn the_operators_page_is_there_whatever_crowd_is_at_it() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("operator"), "boss\n").unwrap();
    let config = format!("[dashboard]\nlisten = '127.0.0.1:0'\npassword_file = '{}'\n", dir.path().join("operator").display());
    let daemon = Daemon::launch(dir, engine.path(), &config, |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", "secret"]);
    });
    daemon.wait_log("dashboard: http://");
    let board: SocketAddr = daemon.log().split("dashboard: http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let one = crowd(1, board, "/login", 16);
    assert!(ends(&mut from(1, board)));
    let shown = |client| get(client, board, "/login", &format!("{}: {}\r\n", BROWSER.0, BROWSER.1)).map(|answer| answer.status);
    assert_eq!(shown(2), Some(200), "one client does not fill it");
    let more: Vec<_> = (2..5).flat_map(|client| crowd(client, board, "/login", 16)).collect();
    assert_eq!(shown(5), Some(200), "nor do four");
    assert_eq!(post_password(&daemon, "/", "secret", &[]).status, 200, "at the other door there is no crowd");
    drop((one, more));
}
