//! Where connections come from.

use std::os::fd::OwnedFd;

use super::error::ServeError;
use crate::config::{Config, ConfigError, ListenAddress};
use crate::sys::Listener;

/// What the connections of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Plain HTTP, only to be told to come by TLS.
    Redirect,
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
            _ => None,
        }
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
    if !listeners.is_empty() {
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

/// What the configuration checks of its own addresses.
fn check_passed(listener: &Listener, kind: Kind, config: &Config) -> Result<(), ConfigError> {
    let open = listener.tcp_address().filter(|address| !address.ip().is_loopback());
    if let Some(address) = open
        && !config.login.required
    {
        let message = format!("without a login, {address} would be open to everybody");
        return Err(ConfigError::Value { key: "a socket of systemd", message });
    }
    if kind == Kind::Https && config.tls.is_none() {
        let message = "one named 'https' needs [tls] certificate and key".to_owned();
        return Err(ConfigError::Value { key: "a socket of systemd", message });
    }
    Ok(())
}
