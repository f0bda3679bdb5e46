//! HTTP/2 at the edge: everything behind it sees what an HTTP/1.1 client would have sent, websockets included (RFC 8441).

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::{MAX_HEADERS, Recorded};
use crate::config::Limits;
use crate::proxy::Guarded;

/// Requests of one connection at the same time. A cold start of the workbench asks for about 60; each that a stranger leaves open costs us
/// some ten kilobytes, and him fifty bytes.
const STREAMS: u32 = 128;

/// Bytes under way per stream and per connection before the client has to be asked: enough for fast lines that are long.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Bytes that wait to be sent, per stream. A stalled client holds no more than that.
const SEND_BUFFER: usize = 64 << 10;

/// How often a silent client is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(30);

/// The field of a websocket's handshake that HTTP/2 does without; upstreams want it.
const WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Serves one connection until it ends, or nothing is asked of it for as long as a head may take, or the daemon drains.
pub(super) async fn serve<I, F>(
    stream: I,
    limits: &Limits,
    stopping: CancellationToken,
    respond: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response<Recorded>> + Send + 'static,
{
    let (active, mut idle) = watch::channel(0_usize);
    let active = Arc::new(active);
    let service = service_fn(move |request| {
        let (respond, running) = (respond.clone(), Running::new(&active));
        async move { Ok::<_, Infallible>(answer(request, respond).await.map(|body| Guarded::new(body, running))) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stopping.cancelled() => {}
        () = rests(&mut idle, limits.header_timeout) => {}
    }
    // What is under way is finished, websockets too; nothing new is taken.
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Waits until no request has been under way for `limit`.
async fn rests(active: &mut watch::Receiver<usize>, limit: Duration) {
    loop {
        let busy = *active.borrow_and_update() > 0;
        let changed = active.changed();
        if busy {
            if changed.await.is_err() {
                return;
            }
        } else if tokio::time::timeout(limit, changed).await.is_err() {
            return;
        }
    }
}

/// Counts as a request under way until dropped.
pub(super) struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn new(active: &Arc<watch::Sender<usize>>) -> Self {
        active.send_modify(|count| *count += 1);
        Self(Arc::clone(active))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn answer<F: Future<Output = Response<Recorded>>>(
    mut request: Request<Incoming>,
    respond: impl Fn(Request<Incoming>) -> F,
) -> Response<Recorded> {
    let websocket = translate(&mut request);
    // Their size alone is no measure: a header that was sent before takes one byte, and a hundred here.
    if request.headers().len() > MAX_HEADERS {
        let mut response = Response::new(Recorded::nothing());
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return response;
    }
    let mut response = respond(request).await;
    if websocket {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // "Switched" is any success here, and there is no handshake to be proven.
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(WEBSOCKET_ACCEPT);
        } else if response.status().is_success() {
            // For the same reason no other success may be one: the client would take the body for frames.
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response.headers_mut().clear();
            response.body_mut().withdraw(StatusCode::BAD_GATEWAY);
        }
    }
    for name in [header::CONNECTION, header::UPGRADE] {
        response.headers_mut().remove(name);
    }
    response
}

/// Makes `request` what it would be in HTTP/1.1; whether it asks for a websocket. Any other CONNECT stays one, and is refused
/// where HTTP/1.1's is.
fn translate<B>(request: &mut Request<B>) -> bool {
    let websocket =
        request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some_and(|p| p.as_str() == "websocket");
    if websocket {
        *request.method_mut() = Method::GET;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // Only proves to the client that the server understood, and there the client is us.
        headers.insert(WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    }
    // `:authority` is the host. One that comes besides stays, so that two different ones are seen.
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let (Some(authority), false) = (authority, request.headers().contains_key(header::HOST)) {
        request.headers_mut().insert(header::HOST, authority);
    }
    if request.method() != Method::CONNECT
        && let Some(path) = request.uri().path_and_query().cloned()
        && request.headers().get_all(header::HOST).iter().all(|host| request.uri().authority().is_none_or(|own| host == own.as_str()))
    {
        *request.uri_mut() = Uri::from(path);
    }
    join_cookies(request.headers_mut());
    *request.version_mut() = Version::HTTP_11;
    websocket
}

/// HTTP/2 clients send each cookie by itself; HTTP/1.1 knows one line (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut http::HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn an_ordinary_request() {
        let mut r = request("GET", "https://a.example:1/x?y", &[("cookie", "a=1"), ("cookie", "b=2")]);
        assert!(!translate(&mut r));
        assert_eq!((r.uri().to_string().as_str(), r.headers()["host"].to_str().unwrap()), ("/x?y", "a.example:1"));
        assert_eq!(r.headers()["cookie"], "a=1; b=2");
        assert_eq!(r.version(), Version::HTTP_11);
    }

    #[test]
    fn two_hosts_stay_two() {
        let mut r = request("GET", "https://a.example/x", &[("host", "b.example")]);
        translate(&mut r);
        assert_eq!((r.uri().host(), r.headers()["host"].to_str().unwrap()), (Some("a.example"), "b.example"));
    }

    #[test]
    fn a_websocket() {
        let mut r = request("CONNECT", "https://a.example/x", &[("origin", "https://a.example")]);
        r.extensions_mut().insert(Protocol::from_static("websocket"));
        assert!(translate(&mut r));
        assert_eq!((r.method(), r.headers()["upgrade"].to_str().unwrap()), (&Method::GET, "websocket"));
        for other in [None, Some("connect-udp")] {
            let mut r = request("CONNECT", "https://a.example/x", &[]);
            other.map(|name| r.extensions_mut().insert(Protocol::from_static(name)));
            assert!(!translate(&mut r) && r.method() == Method::CONNECT);
        }
    }
}
