//! `GET /api/v1/code`: a page made to be embedded in other pages, with the editor in an iframe.

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::super::answer::ApiError;
use super::super::app::Context;
use super::super::pages;
use super::open::{self, Opening};
use crate::proxy::Body;

pub(super) async fn answer(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let (Opening::Here(parameters) | Opening::At(parameters)) =
        open::decide(context, request.uri().query().unwrap_or_default(), request.method()).await?;
    if request.method() == Method::GET {
        // The editor comes up while the browser fetches the frame. Whoever finds no room learns it here, with a proper status.
        context.app.instances.begin(&context.instance)?;
    }
    Ok(pages::embed(&context.live.config.page, &parameters.to_query()))
}
