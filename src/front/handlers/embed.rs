//! `GET /api/v1/code`: a page made to be embedded in other pages, with the editor in an iframe.

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::super::answer::ApiError;
use super::super::app::Context;
use super::super::page_pass;
use super::super::pages;
use super::open::{self, Opening};
use crate::proxy::Body;

pub(super) async fn answer(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    if let Some(page) = super::extension_view::ask_first(context, request).await? {
        return Ok(page);
    }
    let (Opening::Here(parameters) | Opening::At(parameters)) =
        open::decide(context, request.uri().query().unwrap_or_default(), request.method()).await?;
    if request.method() == Method::GET {
        // The editor comes up while the browser fetches the frame. Whoever finds no room learns it here, with a proper status.
        context.app.instances.begin(&context.instance).await?;
    }
    let pass = page_pass::for_embedding(context, request.headers()).await;
    let mut response = pages::embed(&context.live.config.page, &parameters.to_query(), pass.as_deref().unwrap_or_default());
    pages::own_window(response.headers_mut(), &context.forwarded);
    Ok(response)
}
