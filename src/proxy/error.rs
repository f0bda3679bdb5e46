//! What can go wrong between us and an upstream.

use std::io;

/// A request that the upstream did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No connection could be made.
    #[error("cannot connect to the upstream: {0}")]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// The connection broke before a whole head of an answer had come.
    #[error("the upstream broke off: {0}")]
    Exchange(#[source] hyper_util::client::legacy::Error),
    /// The client's request body ended badly.
    #[error("the request cannot be forwarded: {0}")]
    Request(#[from] http::Error),
    /// The upstream speaks another protocol than it was asked for.
    #[error("the upstream switched protocols unasked")]
    Unasked,
}

impl ProxyError {
    /// Why no connection could be made, when that is what went wrong.
    pub fn connect_failure(&self) -> Option<io::ErrorKind> {
        let Self::Connect(error) = self else { return None };
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            cause = error.source();
        }
        Some(io::ErrorKind::Other)
    }

    pub(super) fn client(error: hyper_util::client::legacy::Error) -> Self {
        if error.is_connect() { Self::Connect(error) } else { Self::Exchange(error) }
    }
}
