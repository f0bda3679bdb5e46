//! `/api/v1/code/extensions`: what is installed, and how that is changed. Starts the instance: only inside it can it be done.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::super::access::session_over;
use super::super::answer::{self, ApiError, ErrorCode};
use super::super::app::Context;
use super::super::extensions::{Installed, Listed, Progress, ended, install_key};
use super::small::{self, wrong_json};
use super::{check_crowd, while_signed_in};
use crate::instances::Lease;
use crate::model::{ExtensionId, ExtensionJob, ExtensionSpec};
use crate::proxy::{Body, BoxError, Guarded, IdleTimeout};
use crate::sys::Stream;

/// The most bytes of a JSON body here.
const MAX_JSON: usize = 4096;

/// The most bytes of one piece that is passed on (the receiver takes up to 1 MiB).
const PIECE: usize = 256 << 10;

/// How often a line is sent when there is no news.
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(15);

#[derive(Serialize)]
struct Row<'a> {
    id: &'a ExtensionId,
    version: &'a str,
    display_name: &'a str,
    /// What is installed is on; a user may have switched it off in one browser or another.
    enabled: bool,
    built_in: bool,
    size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the id of an extension")]
struct Wish {
    id: ExtensionSpec,
}

#[derive(Serialize)]
struct Done<'a> {
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

/// `GET` and `POST …/extensions`.
pub(in super::super) async fn answer(context: &Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    if request.method() == Method::HEAD {
        return Ok(answer::plain("application/json", Body::Empty));
    }
    if request.method() == Method::POST {
        return install(context, request).await;
    }
    let lease = acquire(context).await?;
    let Listed { extensions, turn } = context.app.extensions.list(&lease, true).await?;
    let rows: Vec<_> = extensions
        .iter()
        .map(|one| Row {
            id: &one.id,
            version: &one.version,
            display_name: &one.display_name,
            enabled: true,
            built_in: one.built_in,
            size: one.size,
        })
        .collect();
    Ok(answer::json(&rows).map(|body| body.hold(turn)))
}

/// `DELETE …/extensions/PUB.NAME`.
pub(in super::super) async fn remove(context: &Context, name: &str) -> Result<Response<Body>, ApiError> {
    let id: ExtensionId = name.parse().map_err(invalid)?;
    let lease = acquire(context).await?;
    let key = format!("remove {}", id.key());
    let follow = context.app.extensions.begin(lease, key, ExtensionJob::Remove { id })?;
    done(&ended(follow).await?)
}

/// `GET …/extensions/events?id=PUB.NAME`: how far the install of an extension is. The loader follows it.
pub(super) fn events(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let query = request.uri().query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id=")).unwrap_or_default();
    let id: ExtensionId = id.parse().map_err(invalid)?;
    if request.method() == Method::HEAD {
        return Ok(answer::plain("text/event-stream", Body::Empty));
    }
    let follow = context.app.extensions.find(&context.instance, &install_key(&id));
    event_stream(context, follow)
}

/// The job that installs `id`, begun when it is not under way.
pub(super) fn begin_install(context: &Context, lease: Lease, spec: ExtensionSpec) -> Result<watch::Receiver<Progress>, ApiError> {
    let from = context.live.config.extensions.gallery.directory().cloned();
    let key = match &spec.version {
        None => install_key(&spec.id),
        Some(version) => format!("{}@{version}", install_key(&spec.id)),
    };
    context.app.extensions.begin(lease, key, ExtensionJob::Install { spec, from })
}

pub(super) fn invalid(error: impl ToString) -> ApiError {
    ApiError::new(ErrorCode::InvalidExtension, error.to_string())
}

async fn acquire(context: &Context) -> Result<Lease, ApiError> {
    let lease = context.app.instances.acquire(&context.instance, context.live.config.instances.request_wait).await?;
    check_crowd(context, false)?;
    context.app.extensions.settle(context, &lease);
    Ok(lease)
}

async fn install(context: &Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let headers = request.headers();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    // The forms that a page of another site can send without asking are none of ours.
    if kind.starts_with("multipart/") || kind.starts_with("application/x-www-form-urlencoded") {
        return Err(ApiError::new(ErrorCode::BadRequest, "send JSON, or the VSIX itself as application/octet-stream"));
    }
    let wants_events = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
    let follow = if is_json {
        let body = small::read(request.into_body(), MAX_JSON, context.live.config.limits.header_timeout).await?;
        let wish: Wish = serde_json::from_slice(&body).map_err(|e| invalid(wrong_json(&e)))?;
        begin_install(context, acquire(context).await?, wish.id)?
    } else {
        upload(context, request).await?
    };
    if wants_events {
        return event_stream(context, Some(follow));
    }
    done(&ended(follow).await?)
}

/// Hands the VSIX in the body over to the instance, piece by piece: it is never on a disk of ours.
async fn upload(context: &Context, request: Request<Incoming>) -> Result<watch::Receiver<Progress>, ApiError> {
    let config = &context.live.config;
    let limit = config.extensions.max_upload;
    let too_large = || ApiError::new(ErrorCode::TooLarge, format!("a VSIX may have {limit} bytes here"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    if announced == Some(0) {
        return Err(invalid("there is nothing in this request: send JSON with an id, or a VSIX"));
    }
    let _turn = context.app.extensions.uploads.take(&context.instance).await;
    let lease = acquire(context).await?;
    let mut stream = lease.extensions(ExtensionJob::InstallFile).await.map_err(ApiError::internal)?;
    let mut body = Box::pin(while_signed_in(context, IdleTimeout::new(request.into_body(), config.limits.body_idle_timeout)));
    let (mut received, mut first) = (0u64, true);
    while let Some(frame) = body.frame().await {
        // A client that goes away in the middle has sent nothing: without its end the file is thrown away.
        let frame = frame.map_err(|e| ApiError::new(ErrorCode::BadRequest, format!("the upload broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        received += data.len() as u64;
        if received > limit {
            return Err(too_large());
        }
        if first && !data.is_empty() {
            first = false;
            // Of a zip, before a gigabyte of something else is taken in (APPNOTE.TXT, 4.3.7).
            if !b"PK\x03\x04".starts_with(&data[..data.len().min(4)]) {
                return Err(invalid("this is no VSIX"));
            }
        }
        // One that takes no more has said why: no room on its disk, most likely.
        if send(&mut stream, &data).await.is_err() {
            break;
        }
    }
    let _ = stream.write_all(&0u32.to_be_bytes()).await;
    // Two uploads are never the same job.
    let key = format!("upload {}", context.app.extensions.next_number());
    context.app.extensions.follow_stream(lease, key, stream)
}

async fn send(stream: &mut Stream, data: &Bytes) -> std::io::Result<()> {
    for piece in data.chunks(PIECE) {
        let length = u32::try_from(piece.len()).map_err(std::io::Error::other)?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(piece).await?;
    }
    Ok(())
}

fn done(installed: &Installed) -> Result<Response<Body>, ApiError> {
    Ok(answer::json(&Done { id: installed.id.as_deref(), version: installed.version.as_deref() }))
}

/// A job as server-sent events; the last one says how it ended. Without a job there is one event, `idle`.
fn event_stream(context: &Context, follow: Option<watch::Receiver<Progress>>) -> Result<Response<Body>, ApiError> {
    let turn = context.app.follows.try_take(&context.instance).ok_or_else(|| ApiError::too_many_connections("the instance"))?;
    let (app, session) = (Arc::clone(&context.app), context.session.clone());
    let begin = (follow, true, false);
    let events = stream::unfold(begin, move |(follow, first, over)| {
        let (app, session) = (Arc::clone(&app), session.clone());
        async move {
            if over {
                return None;
            }
            let Some(mut follow) = follow else { return Some((frame(event(None).0), (None, false, true))) };
            let (text, over) = if first {
                event(Some(&follow.borrow_and_update()))
            } else {
                tokio::select! {
                    () = app.stopping.cancelled() => return None,
                    () = session_over(&app, session.as_ref()) => return None,
                    changed = tokio::time::timeout(HEARTBEAT, follow.changed()) => match changed {
                        Ok(Ok(())) => event(Some(&follow.borrow_and_update())),
                        Ok(Err(_)) => return None,
                        Err(_) => (": still here\n\n".to_owned(), false),
                    },
                }
            };
            Some((frame(text), (Some(follow), false, over)))
        }
    });
    let mut response = answer::plain("text/event-stream", Body::boxed(Guarded::new(StreamBody::new(events), turn)));
    // nginx would hold events back otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    Ok(response)
}

fn frame(text: String) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from(text)))
}

/// The event, and whether it is the last.
fn event(progress: Option<&Progress>) -> (String, bool) {
    let over = progress.is_none_or(|progress| progress.end.is_some());
    let value = match progress {
        None => serde_json::json!({"state": "idle"}),
        Some(Progress { end: None, line }) => serde_json::json!({"state": "installing", "line": line}),
        Some(Progress { end: Some(Ok(done)), .. }) => {
            serde_json::json!({"state": "done", "id": done.id, "version": done.version})
        }
        Some(Progress { end: Some(Err(failed)), .. }) => {
            serde_json::json!({"state": "failed", "message": failed.message, "code": ApiError::from(failed.clone()).code.text()})
        }
    };
    (format!("event: extension\ndata: {value}\n\n"), over)
}
