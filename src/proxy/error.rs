//! What can go wrong between us and an upstream.

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
}

impl ProxyError {
    pub(super) fn client(error: hyper_util::client::legacy::Error) -> Self {
        if error.is_connect() { Self::Connect(error) } else { Self::Exchange(error) }
    }
}
