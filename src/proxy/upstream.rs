//! One upstream and its pool of connections.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::body::Body;
use crate::sys::Stream;

/// Kept shorter than node's own keep-alive time of 5 seconds, so that a connection is rarely reused while it is being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// How many idle connections are kept per upstream.
const POOL_SIZE: usize = 64;

/// The most bytes that are taken of an answer before a client has taken them; with that, the most that its head may have. Clients refuse
/// larger heads as well.
const BUFFER: usize = 128 << 10;

type Connect = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Stream>> + Send + Sync>;

/// An upstream: a way to connect, and the connections that are kept alive. Cheap to clone; dropping the last clone closes them.
#[derive(Clone)]
pub struct Upstream {
    pub(super) client: Client<Connector, Body>,
}

impl Upstream {
    /// An upstream that is reached by `connect`.
    pub fn new(connect: impl Fn() -> BoxFuture<'static, io::Result<Stream>> + Send + Sync + 'static) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER)
            // The Host of the request goes on as it came.
            .set_host(false)
            .build(Connector(Arc::new(connect)));
        Self { client }
    }
}

/// What hyper's client asks for a connection; the address in the request's URI says nothing here.
#[derive(Clone)]
pub(super) struct Connector(Connect);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = (self.0)();
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

/// Nothing to say about it: no proxy, no ALPN.
impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn a_head_without_end_is_not_read_to_its_end() {
        let answer_with = async |bytes: usize| {
            let upstream = Upstream::new(move || {
                Box::pin(async move {
                    let (ours, mut app) = UnixStream::pair()?;
                    tokio::spawn(async move {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: {}\r\n\r\n", "x".repeat(bytes));
                        let _ = app.read_u8().await;
                        let _ = app.write_all(head.as_bytes()).await;
                        // What is not closed could be read on.
                        std::future::pending::<()>().await;
                    });
                    Ok(Stream::Unix(ours))
                })
            });
            upstream.client.request(Request::get("http://upstream/").body(Body::Empty).unwrap()).await.map(|answer| answer.status())
        };
        assert_eq!(answer_with(BUFFER - 1000).await.unwrap(), 200);
        assert!(answer_with(2 * BUFFER).await.is_err());
    }
}
