//! An app on a port of an instance: `fake-app.js`, started in the fake engine's process as a user would start one in a terminal.

use super::daemon::Daemon;
use super::eventually;

pub(crate) struct App<'a> {
    daemon: &'a Daemon,
    id: String,
    pub(crate) port: u16,
}

impl<'a> App<'a> {
    /// Listens on a free port of `address`.
    pub(crate) fn start(daemon: &'a Daemon, id: &str, address: &str) -> Self {
        Self::listen(daemon, id, &format!("address={address}"))
    }

    /// Listens on this very port.
    pub(crate) fn start_on(daemon: &'a Daemon, id: &str, address: &str, port: u16) -> Self {
        Self::listen(daemon, id, &format!("address={address}&port={port}"))
    }

    fn listen(daemon: &'a Daemon, id: &str, query: &str) -> Self {
        // A port that this process has just let go may be held by a child that another test is starting.
        let look = || daemon.get(&format!("/i/{id}/stable-c0ffee/listen?{query}")).text().parse().ok();
        let port = eventually(&format!("the app listens: {query}"), look);
        Self { daemon, id: id.to_owned(), port }
    }

    /// Another port of the same instance, on which everybody is told `bytes`.
    pub(crate) fn parrot(&self, bytes: &[u8]) -> u16 {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::listen(self.daemon, &self.id, &format!("bytes={hex}")).port
    }

    /// Stops listening.
    pub(crate) fn close(&self) {
        assert_eq!(self.daemon.get(&format!("/i/{}/stable-c0ffee/close?port={}", self.id, self.port)).text(), "closed");
    }

    /// The headers that the app saw of a request for `path`, in order.
    pub(crate) fn seen(&self, path: &str, headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let answer = self.daemon.send("GET", path, headers).json();
        let raw: Vec<String> = serde_json::from_value(answer["raw"].clone()).expect("the raw headers");
        raw.chunks(2).map(|pair| (pair[0].to_ascii_lowercase(), pair[1].clone())).collect()
    }
}

/// `text` as a value in a query.
pub(crate) fn percent(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
