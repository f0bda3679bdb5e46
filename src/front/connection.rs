//! One connection: requests in, answers out, with deadlines and caps; and the record that each request leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::OwnedSemaphorePermit;

use super::app::{App, Peer};
use super::handlers;
use super::linger::Lingering;
use super::request_id::{self, RequestId};
use crate::config::Limits;
use crate::proxy::{Body, BoxError};
use crate::sys::Stream;
use crate::telemetry::ACCESS;

/// The most headers of one request. Browsers send about 20.
const MAX_HEADERS: usize = 128;

/// Serves one connection until it ends or the daemon drains.
pub(super) async fn serve(app: Arc<App>, stream: Stream, peer: Peer, limits: Limits, permit: OwnedSemaphorePermit) {
    let stopping = app.stopping.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(respond(app, request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(limits.header_bytes)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            // The answer under way is finished; an idle connection ends at once.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // What breaks here is the client's connection; each request that it carried has its own record.
    if let Err(e) = ended {
        tracing::debug!(client = ?peer.client, "connection ended: {e}");
    }
    drop(permit);
}

async fn respond(app: Arc<App>, request: Request<Incoming>, peer: Peer) -> Response<Recorded> {
    let began = Instant::now();
    let id = RequestId::next();
    let live = app.live();
    let method = request.method().clone();
    let handled = handlers::handle(app, live.clone(), request, peer, id).await;
    let (mut parts, body) = handled.response.into_parts();
    if let Some(id) = id.header() {
        parts.headers.insert(request_id::HEADER, id);
    }
    let record = live.config.log.access.then(|| Record {
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
