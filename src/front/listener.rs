//! Where connections come from.

use std::os::fd::OwnedFd;

use super::error::ServeError;
use crate::config::ListenAddress;
use crate::sys::Listener;

/// The name systemd gives the sockets that speak plain HTTP (`FileDescriptorName=` of `hoody-code.socket`); its default is the
/// unit's own name.
const HTTP_NAMES: [&str; 2] = ["http", "hoody-code.socket"];

/// Takes the sockets that systemd passed, by name; when it passed none, binds `addresses`.
///
/// # Errors
/// When an address cannot be bound, or a passed socket is of no use.
pub async fn bind(passed: Vec<(String, OwnedFd)>, addresses: &[ListenAddress]) -> Result<Vec<Listener>, ServeError> {
    let mut listeners = Vec::new();
    for (name, fd) in passed {
        if !HTTP_NAMES.contains(&name.as_str()) {
            tracing::warn!("systemd passed a socket named '{name}', which means nothing here");
            continue;
        }
        listeners.push(Listener::from_fd(fd).map_err(|source| ServeError::Listen { address: format!("the socket '{name}'"), source })?);
    }
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    for address in addresses {
        let (text, listener) = match address {
            ListenAddress::Tcp(address) => (address.to_string(), Listener::tcp(*address).await),
            ListenAddress::Unix(path) => (format!("unix:{}", path.display()), Listener::unix(path)),
        };
        listeners.push(listener.map_err(|source| ServeError::Listen { address: text, source })?);
    }
    Ok(listeners)
}
