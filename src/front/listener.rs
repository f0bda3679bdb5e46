//! Where connections come from.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::error::ServeError;
use crate::config::{Config, ConfigError, ListenAddress, NO_PASSWORD, PLAIN};
use crate::sys::{self, Listener};

/// The name of the control socket in the data directory; the command line looks for it there.
const CONTROL: &str = "control.sock";

/// What the connections of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Plain HTTP, only to be told to come by TLS.
    Redirect,
    /// The operator's own routes, over plain HTTP on a unix socket.
    Control,
    /// What is counted, for Prometheus, over plain HTTP.
    Metrics,
    /// The operator's page, behind its own login, over plain HTTP.
    Dashboard,
    /// The same over TLS.
    DashboardTls,
}

/// A listener and its kind.
#[derive(Debug)]
pub struct Bound {
    /// Where connections come from.
    pub listener: Listener,
    /// What they speak.
    pub kind: Kind,
}

impl Kind {
    /// The kind of a socket that systemd passed, by the name it gave it (`FileDescriptorName=` of `hoody-code.socket`); its
    /// default is the unit's own name.
    fn named(name: &str) -> Option<Self> {
        match name {
            "http" | "hoody-code.socket" => Some(Self::Http),
            "https" => Some(Self::Https),
            "redirect" => Some(Self::Redirect),
            "control" => Some(Self::Control),
            "metrics" => Some(Self::Metrics),
            "dashboard" => Some(Self::Dashboard),
            "dashboard-https" => Some(Self::DashboardTls),
            _ => None,
        }
    }

    /// Its name in what is counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Redirect => "redirect",
            Self::Control => "control",
            Self::Metrics => "metrics",
            Self::Dashboard | Self::DashboardTls => "dashboard",
        }
    }

    /// Whether it is for those who run the service, and stays open whatever crowd is at the others.
    pub(super) fn is_operators(self) -> bool {
        matches!(self, Self::Control | Self::Metrics) || self.is_dashboard()
    }

    /// Whether it shows the operator's page, and nothing else.
    pub fn is_dashboard(self) -> bool {
        matches!(self, Self::Dashboard | Self::DashboardTls)
    }

    /// Whether TLS is spoken.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::DashboardTls)
    }
}

/// Takes the sockets that systemd passed, by name; when it passed none, binds the addresses of `config`.
///
/// # Errors
/// When an address cannot be bound, or a passed socket is of no use or must not be served like this.
pub async fn bind(passed: Vec<(String, OwnedFd)>, config: &Config) -> Result<Vec<Bound>, ServeError> {
    let mut listeners = Vec::new();
    for (name, fd) in passed {
        let Some(kind) = Kind::named(&name) else {
            tracing::warn!("systemd passed a socket named '{name}', which means nothing here");
            continue;
        };
        let failed = |source| ServeError::Listen { address: format!("the socket '{name}'"), source };
        let listener = Listener::from_fd(fd).map_err(failed)?;
        check_passed(&listener, kind, config)?;
        listeners.push(Bound { listener, kind });
    }
    let given = !listeners.is_empty();
    if !listeners.iter().any(|bound| bound.kind == Kind::Control) {
        listeners.extend(own_control(config));
    }
    for (section, kind, address) in further(config) {
        if given {
            // Where systemd opens the sockets, the service itself may not.
            tracing::warn!("[{section}] listen {address} is not used where systemd passes sockets: enable hoody-code-{section}.socket");
            continue;
        }
        let listener = Listener::tcp(address).await;
        let listener = listener.map_err(|source| ServeError::Listen { address: address.to_string(), source })?;
        listeners.push(Bound { listener, kind });
    }
    if listeners.iter().any(|bound| !bound.kind.is_operators()) {
        return Ok(listeners);
    }
    for address in &config.server.listen {
        let (text, kind, listener) = match address {
            ListenAddress::Tcp(address) => (address.to_string(), Kind::Http, Listener::tcp(*address).await),
            ListenAddress::Tls(address) => (address.to_string(), Kind::Https, Listener::tcp(*address).await),
            ListenAddress::Redirect(address) => (address.to_string(), Kind::Redirect, Listener::tcp(*address).await),
            ListenAddress::Unix(path) => (format!("unix:{}", path.display()), Kind::Http, Listener::unix(path)),
        };
        let listener = listener.map_err(|source| ServeError::Listen { address: text, source })?;
        listeners.push(Bound { listener, kind });
    }
    Ok(listeners)
}

/// The addresses that are none of those where people come in: the section that has it, and what is there.
fn further(config: &Config) -> impl Iterator<Item = (&'static str, Kind, SocketAddr)> {
    let metrics = config.metrics.listen.map(|address| ("metrics", Kind::Metrics, address));
    let dashboard = match config.dashboard.listen {
        Some(ListenAddress::Tcp(address)) => Some(("dashboard", Kind::Dashboard, address)),
        Some(ListenAddress::Tls(address)) => Some(("dashboard", Kind::DashboardTls, address)),
        _ => None,
    };
    metrics.into_iter().chain(dashboard)
}

/// The control socket of a daemon that systemd gave none: in its data directory, for its own user alone.
fn own_control(config: &Config) -> Option<Bound> {
    let path = config.server.data_dir.join(CONTROL);
    let listening = sys::create_private_dir(&config.server.data_dir).and_then(|()| Listener::unix(&path));
    match listening {
        Ok(listener) => Some(Bound { listener, kind: Kind::Control }),
        // A deep data directory does not fit into a socket's address. Editors are served all the same.
        Err(e) => {
            tracing::warn!("no control socket at {}: {e}", path.display());
            None
        }
    }
}

/// What the configuration checks of its own addresses.
fn check_passed(listener: &Listener, kind: Kind, config: &Config) -> Result<(), ConfigError> {
    let open = listener.tcp_address().filter(|address| !address.ip().is_loopback());
    if let Some(address) = open
        && !config.login.required
        && kind != Kind::Metrics
        && !kind.is_dashboard()
    {
        let message = format!("without a login, {address} would be open to everybody");
        return Err(ConfigError::Value { key: "a socket of systemd", message });
    }
    if kind == Kind::Control && listener.tcp_address().is_some() {
        let message = "one named 'control' has to be a unix socket".to_owned();
        return Err(ConfigError::Value { key: "a socket of systemd", message });
    }
    if kind.is_secure() && config.tls.is_none() {
        let message = "one named 'https' or 'dashboard-https' needs [tls] certificate and key".to_owned();
        return Err(ConfigError::Value { key: "a socket of systemd", message });
    }
    if kind.is_dashboard() && config.dashboard.login.is_none() {
        return Err(ConfigError::Value { key: "a socket of systemd", message: format!("{name}: {NO_PASSWORD}", name = kind.name()) });
    }
    if let (Kind::Dashboard, Some(address)) = (kind, open) {
        let message = format!("the one named 'dashboard' is at {address}, and {PLAIN}; with TLS it is named 'dashboard-https'");
        return Err(ConfigError::Value { key: "a socket of systemd", message });
    }
    Ok(())
}
