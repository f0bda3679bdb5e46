//! From a request to its handler: one file per answer.

pub(super) mod custom;
mod embed;
mod engine;
mod events;
mod files;
mod health;
mod mint_key;
mod open;
mod start;
mod status;
mod workbench;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, ApiError, ErrorCode};
use super::app::{App, Context, Live, Peer, forwarded};
use super::connection::Handled;
use super::gate;
use super::request_id::RequestId;
use super::route::{Route, Target, route};
use crate::config::Page;
use crate::model::InstanceId;
use crate::proxy::{Body, Guarded};

/// Answers one request.
pub(super) async fn handle(app: Arc<App>, live: Arc<Live>, request: Request<Incoming>, peer: Peer, id: RequestId) -> Handled {
    let forwarded = forwarded(request.headers(), peer, &live.config.server.trusted_proxies);
    let client = forwarded.client.clone();
    let html = answer::wants_html(request.headers());
    let refused =
        |error: ApiError, route, client| Handled { response: error.answer(html, &live.config.page), route, instance: None, client };
    let host = match gate::check_framing(&request).and_then(|()| gate::host(&request)) {
        Ok(host) => host,
        Err(error) => {
            let mut handled = refused(error, "malformed", client);
            // Whatever follows on this connection cannot be trusted to be a request.
            handled.response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            return handled;
        }
    };
    let route = route(&host, request.uri().path(), app.engine.base());
    let name = match &route {
        Route::Of(_, target) => target.name(),
        Route::AddSlash(_) => "add-slash",
        Route::InvalidInstance | Route::NotFound => "not-found",
    };
    // Monitors ask for health by whatever address they know.
    let open = matches!(route, Route::Of(_, Target::Health));
    if !open && let Err(error) = gate::check_origins(&request, &host, forwarded.proto, &live.config.server.domains) {
        return refused(error, name, client);
    }
    let (instance, target) = match route {
        Route::Of(instance, target) => (instance, target),
        Route::AddSlash(id) => {
            return Handled { response: add_slash(&id, &request, html, &live.config.page), route: name, instance: Some(id), client };
        }
        Route::InvalidInstance => {
            let error = ApiError::new(ErrorCode::InvalidInstance, "not an instance id");
            return refused(error, name, client);
        }
        Route::NotFound => return refused(ApiError::not_found(), name, client),
    };
    let context = Context { app, live, instance: instance.clone(), peer, forwarded, id };
    Handled { response: dispatch(context, target, request, html).await, route: name, instance: Some(instance), client }
}

async fn dispatch(context: Context, target: Target, request: Request<Incoming>, html: bool) -> Response<Body> {
    let live = Arc::clone(&context.live);
    let page = &live.config.page;
    if let Target::Asset(path) = &target {
        let response = context.app.assets.respond(request.method(), path, request.headers());
        return match response.status() {
            StatusCode::NOT_FOUND => files::absent(path).unwrap_or_else(|| ApiError::not_found().answer(html, page)),
            StatusCode::METHOD_NOT_ALLOWED => answer::method_not_allowed("GET, HEAD", html, page),
            _ => response.map(Body::from),
        };
    }
    let read_only = matches!(*request.method(), Method::GET | Method::HEAD);
    let allowed = match target {
        Target::MintKey | Target::Start => request.method() == Method::POST,
        _ => read_only,
    };
    if !allowed {
        let allow = if matches!(target, Target::MintKey | Target::Start) { "POST" } else { "GET, HEAD" };
        return answer::method_not_allowed(allow, html, page);
    }
    let head = request.method() == Method::HEAD;
    let answered = match target {
        Target::Workbench => workbench::answer(context, request).await,
        Target::Embed => embed::answer(&context, &request).await,
        Target::MintKey => mint_key::answer(&context).await,
        Target::Health => Ok(health::answer(&context, request.headers())),
        Target::Start => start::answer(&context, html).await,
        Target::Status => Ok(status::answer(&context)),
        Target::Events => events::answer(&context, &request),
        Target::OwnFile(name) => files::own_file(&context, &name),
        Target::Manifest => Ok(files::manifest(page, &context.instance)),
        Target::UpdateCheck => Ok(files::update_check(&context.app.engine)),
        Target::Robots => Ok(answer::plain("text/plain; charset=utf-8", &b"User-agent: *\nDisallow: /\n"[..])),
        // Without a login there is no session to end: back to the editor.
        Target::Logout => answer::redirect("./"),
        Target::Engine => engine::answer(context, request).await,
        Target::Asset(_) => Err(ApiError::not_found()),
    };
    let mut response = answered.unwrap_or_else(|error| error.answer(html, page));
    if head {
        // The headers are those of GET; hyper sends the length of what it is given, so the length is said here.
        if let Some(length) = http_body::Body::size_hint(response.body()).exact() {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = Body::Empty;
    }
    response
}

fn add_slash(id: &InstanceId, request: &Request<Incoming>, html: bool, page: &Page) -> Response<Body> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    answer::redirect(&format!("{id}/{query}")).unwrap_or_else(|error| error.answer(html, page))
}

/// Keeps `guard` until `body` has been sent.
fn guarded<G: Send + 'static>(body: Incoming, guard: G) -> Body {
    Body::boxed(Guarded::new(body, guard))
}
