//! What pages leave behind.

use std::time::{Duration, Instant};

use crate::support::{Daemon, FakeEngine, WebSocket, eventually};

fn open(daemon: &Daemon, token: &str) -> WebSocket {
    let path = format!("/stable-c0ffee?reconnectionToken={token}&reconnection=false");
    WebSocket::open(daemon.address, &path, &[]).map_err(|refused| refused.text()).unwrap()
}

#[test]
fn what_a_page_has_left_is_ended_and_nothing_else() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nabandoned_after = '1s'\n");
    let goodbyes = || std::fs::read_to_string(daemon.instance_dir("default").join("user-data/goodbyes")).unwrap_or_default();
    let staying = open(&daemon, "exthost-staying");
    let returning = open(&daemon, "exthost-returning");
    let left = Instant::now();
    drop((open(&daemon, "exthost-gone"), open(&daemon, "management-gone"), returning));
    let returned = open(&daemon, "exthost-returning");
    eventually("the extension host is ended", || (goodbyes() == "exthost-gone\n").then_some(()));
    eventually("nobody uses what is held open", || (daemon.status("default")["clients"] == 2).then_some(()));
    eventually("the rest is ended", || (goodbyes() == "exthost-gone\nmanagement-gone\n").then_some(()));
    assert!(left.elapsed() >= Duration::from_secs(9), "too early for text that comes home over it");
    drop((staying, returned));
}
