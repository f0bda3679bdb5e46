//! `POST /api/v1/code/start`: somebody wants an instance back that was stopped on purpose, or for want of memory or time.

use http::{Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use super::super::access::{safe_page, to_root};
use super::super::answer::{self, ApiError, json};
use super::super::app::Context;
use super::super::body::check_length;
use super::login::parse_form;
use crate::instances::Begun;
use crate::model::InstanceId;
use crate::proxy::Body;

/// The most bytes of the form: a long address, percent-encoded.
const MOST_BODY: usize = 32 << 10;

#[derive(Serialize)]
struct Answer<'a> {
    instance: &'a InstanceId,
    state: &'static str,
}

pub(super) async fn answer(context: &Context, request: Request<Incoming>, html: bool) -> Result<Response<Body>, ApiError> {
    context.app.instances.lift(&context.instance);
    let state = match context.app.instances.begin(&context.instance).await? {
        Begun::Running(_) => "running",
        Begun::Starting => "starting",
    };
    if html {
        // From the page that said it was stopped, back to what was asked for.
        let to = wanted(context, request).await;
        return answer::see_other(&format!("{}{}", to_root(&context.rest), safe_page(&to)));
    }
    Ok(json(&Answer { instance: &context.instance, state }))
}

/// The page that the form names; a form that cannot be read is no reason not to start.
async fn wanted(context: &Context, request: Request<Incoming>) -> String {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") || check_length(&parts.headers, MOST_BODY).is_err() {
        return String::new();
    }
    let reading = tokio::time::timeout(context.live.config.limits.header_timeout, Limited::new(body, MOST_BODY).collect());
    let Ok(Ok(read)) = reading.await else { return String::new() };
    let bytes = read.to_bytes();
    std::str::from_utf8(&bytes).map(|text| parse_form(text).to).unwrap_or_default()
}
