//! `GET /api/v1/code/events`: an instance's state as server-sent events. Starts nothing and counts as no use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use serde::Serialize;

use super::super::access::session_over;
use super::super::answer::{self, ApiError};
use super::super::app::Context;
use super::super::disks;
use crate::instances::Status;
use crate::model::InstanceState;
use crate::proxy::{Body, BoxError, Guarded};

/// How often a line is sent when there is no news, so that proxies keep the connection and a gone client is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct News<'a> {
    #[serde(flatten)]
    state: &'a InstanceState,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    frozen: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    log: &'a [String],
    /// What its files take on the disk, as it was counted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<disks::Shown>,
}

pub(super) fn answer(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    if request.method() == Method::HEAD {
        return Ok(answer::plain("text/event-stream", Body::Empty));
    }
    let turn = context.app.follows.try_take(&context.instance).ok_or_else(|| ApiError::too_many_connections("the instance"))?;
    let follow = context.app.instances.follow(&context.instance);
    let (app, session, id) = (Arc::clone(&context.app), context.session.clone(), context.instance.clone());
    let events = stream::unfold((follow, true), move |(mut follow, first)| {
        let (app, session, id) = (Arc::clone(&app), session.clone(), id.clone());
        async move {
            let disk = || disks::shown(&app, &id);
            let line = if first {
                event(&follow.borrow_and_update(), disk())
            } else {
                tokio::select! {
                    () = app.stopping.cancelled() => return None,
                    () = session_over(&app, session.as_ref()) => return None,
                    changed = tokio::time::timeout(HEARTBEAT, follow.changed()) => match changed {
                        Ok(Ok(())) => event(&follow.borrow_and_update(), disk()),
                        Ok(Err(_)) => return None,
                        Err(_) => Bytes::from_static(b": still here\n\n"),
                    },
                }
            };
            Some((Ok::<_, BoxError>(Frame::data(line)), (follow, false)))
        }
    });
    let mut response = answer::plain("text/event-stream", Body::boxed(Guarded::new(StreamBody::new(events), turn)));
    // nginx would hold events back otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    Ok(response)
}

fn event(status: &Status, disk: Option<disks::Shown>) -> Bytes {
    let state = status.state.for_client();
    let (message, log) = match &state {
        InstanceState::Failed { cause } => (Some(format!("the instance {cause}")), status.log.as_slice()),
        _ => (None, &[][..]),
    };
    let (generation, position, frozen) = (status.generation, status.position, status.frozen);
    let news = News { state: &state, generation, position, frozen, message, log, disk };
    let json = serde_json::to_string(&news).unwrap_or_else(|_| "{}".to_owned());
    Bytes::from(format!("event: state\ndata: {json}\n\n"))
}
