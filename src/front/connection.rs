//! One connection: requests in, answers out, with deadlines and caps; and the record that each request leaves.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::app::{App, Peer};
use super::counted::{Counted, Place};
use super::doors::Seat;
use super::linger::Lingering;
use super::listener::Kind;
use super::request_id::{self, RequestId};
use super::tls::Protocol;
use super::{control, dashboard, handlers, http2, metrics as scrape, redirect};
use crate::config::Limits;
use crate::proxy::{Body, BoxError};
use crate::sys::Stream;
use crate::telemetry::{ACCESS, metrics};

/// The most headers of one request. Browsers send about 20.
pub(super) const MAX_HEADERS: usize = 128;

/// How long a client may take to send a request on a connection for which there is no place, and how long that is open at most.
const SPARE_HEAD: Duration = Duration::from_secs(2);
const SPARE: Duration = Duration::from_secs(10);

/// A connection that somebody has opened.
pub(super) struct Arrival {
    pub(super) stream: Stream,
    pub(super) client: Option<SocketAddr>,
    pub(super) kind: Kind,
    /// Kept until the connection ends, a websocket that it has become included.
    pub(super) seat: Seat,
    /// All other places are taken: there is one answer, and soon.
    pub(super) spare: bool,
}

/// Serves one connection until it ends or the daemon drains.
pub(super) async fn serve(app: Arc<App>, arrival: Arrival, limits: Limits) {
    if arrival.spare {
        let limits = Limits { header_timeout: limits.header_timeout.min(SPARE_HEAD), ..limits };
        let _ = tokio::time::timeout(SPARE, converse(app, arrival, limits)).await;
    } else {
        converse(app, arrival, limits).await;
    }
}

async fn converse(app: Arc<App>, arrival: Arrival, limits: Limits) {
    let Arrival { stream, client, kind, seat, spare } = arrival;
    let stopping = app.stopping.clone();
    // In the stream rather than here: one that becomes a websocket leaves this function, not the number of connections.
    let place = Place { _seat: seat, _open: metrics().connection(kind.name()) };
    let peer = Peer { client, local: stream.local_address(), secure: kind.is_secure(), spare };
    let respond = move |app: Arc<App>| move |request| respond(Arc::clone(&app), request, peer, kind.is_dashboard());
    let ended = match (kind, &app.secrets.certificate) {
        (Kind::Http | Kind::Dashboard, _) => {
            http1(Counted::new(Lingering::new(stream), place), &limits, stopping, respond(Arc::clone(&app))).await
        }
        (Kind::Control, _) => {
            let peer = stream.peer_uid();
            let answer = move |request: Request<Incoming>| {
                let app = Arc::clone(&app);
                async move { control::answer(app, request, peer).await.map(|body| Recorded { body, record: None }) }
            };
            http1(Counted::new(Lingering::new(stream), place), &limits, stopping, answer).await
        }
        (Kind::Metrics, _) => {
            let answer = move |request: Request<Incoming>| {
                let app = Arc::clone(&app);
                async move { scrape::answer(&app, &request).await.map(|body| Recorded { body, record: None }) }
            };
            http1(Counted::new(Lingering::new(stream), place), &limits, stopping, answer).await
        }
        (Kind::Redirect, _) => {
            let redirected = Arc::clone(&app);
            let answer = move |request: Request<Incoming>| {
                let response = redirect::answer(&redirected, &request);
                std::future::ready(response.map(|body| Recorded { body, record: None }))
            };
            http1(Counted::new(Lingering::new(stream), place), &limits, stopping, answer).await
        }
        (Kind::Https | Kind::DashboardTls, Some(certificate)) => {
            let accepted = tokio::select! {
                accepted = certificate.accept(stream) => accepted,
                () = stopping.cancelled() => None,
            };
            match accepted {
                Some((stream, Protocol::Http2)) => {
                    http2::serve(Counted::new(stream, place), &limits, stopping, respond(Arc::clone(&app))).await
                }
                Some((stream, Protocol::Http1)) => http1(Counted::new(stream, place), &limits, stopping, respond(Arc::clone(&app))).await,
                None => Ok(()),
            }
        }
        // No listener of this kind is opened without a certificate.
        (Kind::Https | Kind::DashboardTls, None) => Ok(()),
    };
    // What breaks here is the client's connection; each request that it carried has its own record.
    if let Err(e) = ended {
        tracing::debug!(?client, "connection ended: {e}");
    }
}

async fn http1<I, F>(
    stream: I,
    limits: &Limits,
    stopping: CancellationToken,
    respond: impl Fn(Request<Incoming>) -> F + Send + 'static,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response<Recorded>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            // The answer under way is finished; an idle connection ends at once.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn respond(app: Arc<App>, request: Request<Incoming>, peer: Peer, dashboard: bool) -> Response<Recorded> {
    let began = Instant::now();
    let id = RequestId::next();
    let live = app.live();
    let method = request.method().clone();
    let handled = if dashboard {
        dashboard::handle(app, live.clone(), request, peer, id).await
    } else {
        handlers::handle(app, live.clone(), request, peer, id).await
    };
    let (mut parts, mut body) = handled.response.into_parts();
    if method == Method::HEAD {
        // The headers are those of GET, as far as they are known: what is empty here was mostly never made.
        if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
            parts.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
        }
        body = Body::Empty;
    }
    metrics().answered(handled.route, parts.status.as_u16(), began.elapsed());
    if let Some(id) = id.header() {
        // An app on a port has ids of its own.
        parts.headers.entry(request_id::HEADER).or_insert(id);
    }
    if peer.spare {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if peer.secure {
        redirect::insist(&mut parts.headers, &live.config);
    }
    let record = Some(Record {
        logged: live.config.log.access,
        id,
        began,
        method,
        status: parts.status.as_u16(),
        route: handled.route,
        instance: handled.instance,
        client: handled.client,
        bytes: 0,
    });
    Response::from_parts(parts, Recorded { body, record })
}

/// What a handled request leaves for its record: no path and no query, they may hold secrets.
pub(super) struct Handled {
    pub(super) response: Response<Body>,
    pub(super) route: &'static str,
    pub(super) instance: Option<crate::model::InstanceId>,
    pub(super) client: Option<String>,
}

struct Record {
    /// Whether it goes to the log; it is counted in any case.
    logged: bool,
    id: RequestId,
    began: Instant,
    method: Method,
    status: u16,
    route: &'static str,
    instance: Option<crate::model::InstanceId>,
    client: Option<String>,
    bytes: u64,
}

impl Drop for Record {
    fn drop(&mut self) {
        metrics().sent(self.route, self.bytes);
        if !self.logged {
            return;
        }
        tracing::info!(
            target: ACCESS,
            request_id = %self.id,
            instance = self.instance.as_ref().map(|id| id.as_str()),
            route = self.route,
            method = self.method.as_str(),
            status = self.status,
            duration_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes = self.bytes,
            client = self.client.as_deref(),
            "request"
        );
    }
}

/// A body that counts what was sent; its record is written when it ends, or when the client goes away before.
pub(super) struct Recorded {
    body: Body,
    record: Option<Record>,
}

impl Recorded {
    /// Nothing, of which no record is left.
    pub(super) fn nothing() -> Self {
        Self { body: Body::Empty, record: None }
    }

    /// Sends nothing after all: the answer became one with `status`.
    pub(super) fn withdraw(&mut self, status: http::StatusCode) {
        self.body = Body::Empty;
        if let Some(record) = &mut self.record {
            record.status = status.as_u16();
        }
    }
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(record)) = (&polled, &mut self.record) {
            record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
