//! `POST /api/v1/code/start`: somebody wants an instance back that was stopped on purpose, or for want of memory or time.

use http::Response;
use serde::Serialize;

use super::super::answer::{self, ApiError, json};
use super::super::app::Context;
use crate::instances::Begun;
use crate::model::InstanceId;
use crate::proxy::Body;

#[derive(Serialize)]
struct Answer<'a> {
    instance: &'a InstanceId,
    state: &'static str,
}

pub(super) async fn answer(context: &Context, html: bool) -> Result<Response<Body>, ApiError> {
    context.app.instances.lift(&context.instance);
    let state = match context.app.instances.begin(&context.instance)? {
        Begun::Running(_) => "running",
        Begun::Starting => "starting",
    };
    if html {
        // From the page that said it was stopped, back to the editor.
        return answer::see_other("../../../");
    }
    Ok(json(&Answer { instance: &context.instance, state }))
}
