//! The configuration as the rest of the program uses it: every value present and usable.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::extensions::Extensions;
use super::file::Written;
use super::hosting::Hosting;
use super::idle::Idle;
use super::login::Login;
use super::tls::Tls;
use crate::model::WebOrigin;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[login]`
    pub login: Login,
    /// `[tls]`: none when neither the file nor systemd's credentials have a certificate.
    pub tls: Option<Tls>,
    /// `[engine] path`: an entry or a store; none means look in the usual places.
    pub engine: Option<PathBuf>,
    /// `[instances]`
    pub instances: Instances,
    /// `[extensions]`
    pub extensions: Extensions,
    /// `[ports]`
    pub ports: super::Ports,
    /// `[page]`
    pub page: Page,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[dashboard]`
    pub dashboard: super::Dashboard,
    /// `[accounts]`, `[network]`, `[class.…]`, `[instance.…]`
    pub hosting: Hosting,
    /// `[service.…]`
    pub services: super::Services,
    /// What the files say, for telling what a reload changes.
    pub written: Written,
}

/// Where the daemon listens and who it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Addresses to bind; sockets passed by systemd win over them.
    pub listen: Vec<ListenAddress>,
    /// How instances come to run.
    pub launcher: Launcher,
    /// Where instances and their state are kept.
    pub data_dir: PathBuf,
    /// Domains whose host names are answered, besides loopback names. Lower case.
    pub domains: Vec<String>,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// How long open websockets may go on after SIGTERM.
    pub drain: Duration,
}

/// How instances come to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// As plain children of the daemon.
    Process,
    /// As transient units, asked for through the broker.
    Systemd,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `ADDR:PORT` or `http://ADDR:PORT`: plain HTTP
    Tcp(SocketAddr),
    /// `https://ADDR:PORT`: HTTP over TLS
    Tls(SocketAddr),
    /// `redirect://ADDR:PORT`: plain HTTP that sends everybody to the first TLS listener
    Redirect(SocketAddr),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// How many instances, how fast, how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instances {
    /// The most instances that run or start at the same time.
    pub max_running: usize,
    /// The most starts in flight; further ones wait for their turn.
    pub max_starting: usize,
    /// The time an engine has to answer after it was launched.
    pub start_timeout: Duration,
    /// The time a request waits for a start before it gets 503 `starting`.
    pub request_wait: Duration,
    /// How long terminals of closed windows go on.
    pub keep_terminals: Duration,
    /// How long the extension host of a page that is gone goes on.
    pub abandoned_after: Duration,
    /// When they are stopped unasked.
    pub idle: Idle,
}

/// What the pages look like and what VS Code is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The product's name in titles, the loader and the installed app.
    pub name: String,
    /// Whether a fresh start shows the loader.
    pub loader: bool,
    /// Logo of the loader: content type and bytes.
    pub logo: Option<(&'static str, Bytes)>,
    /// Background colour of our pages, a CSS colour.
    pub background: String,
    /// Text colour of our pages, a CSS colour.
    pub foreground: String,
    /// Accent colour of our pages, a CSS colour.
    pub accent: String,
    /// Style sheets added to the workbench.
    pub css: Vec<Bytes>,
    /// Scripts added to the workbench.
    pub js: Vec<Bytes>,
    /// Defaults for VS Code's settings; a user's own settings win.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// `[embed] allow`: whose pages may hold ours in a frame, besides our own.
    pub embedders: Vec<WebOrigin>,
    /// VS Code's embedder options, merged into the page's.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// What is different on touch screens.
    pub touch: Touch,
}

/// What is different on touch screens. Whether a device is one, the page finds out.
#[derive(Clone, Debug, PartialEq)]
pub struct Touch {
    /// Whether there is a row of keys that keyboards on screens lack.
    pub keys: bool,
    /// Whether a phone's side bar is a drawer, closed at first, and its layout its own.
    pub drawer: bool,
    /// Defaults for VS Code's settings on touch screens of any size; a user's own settings win.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// As `settings`, on phones only; these win over those.
    pub phone_settings: serde_json::Map<String, serde_json::Value>,
}

/// Caps on what a peer can grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections open at the same time.
    pub connections: usize,
    /// The most requests and websockets of one instance at the same time; from there on it gets no further websocket.
    pub clients: usize,
    /// The most bytes of a request's head.
    pub header_bytes: usize,
    /// The time a client has to send a request's head; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// The time between two pieces of a body.
    pub body_idle_timeout: Duration,
}

/// What is counted, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where it is told besides the control socket: to everybody who can connect, without a login.
    pub listen: Option<SocketAddr>,
    /// The most instances of which each has figures of its own.
    pub instances: usize,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A tracing filter such as `info` or `hoody_code=debug`.
    pub level: String,
    /// Where records go.
    pub format: LogFormat,
    /// Whether each request is a record.
    pub access: bool,
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// To the journal when systemd runs us, else to the terminal.
    Auto,
    /// To standard error, for people.
    Terminal,
    /// To the journal.
    Journal,
}
