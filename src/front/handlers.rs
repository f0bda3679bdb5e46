//! From a request to its handler: one file per answer.

pub(super) mod custom;
mod description;
mod embed;
mod engine;
mod events;
mod extension_view;
pub(super) mod extensions;
pub(super) mod files;
pub(super) mod health;
mod language;
pub(super) mod login;
pub(super) mod logout;
mod mint_key;
pub(super) mod open;
mod port;
mod small;
mod start;
mod state;
mod status;
mod touch;
mod workbench;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, ApiError, ErrorCode, Place};
use super::app::{App, Context, Live, Peer, Realm, client_address, forwarded};
use super::connection::Handled;
use super::cookies::Kind;
use super::request_id::RequestId;
use super::route::{PortForm, Route, Target, route};
use super::transfer::{self, PortHost};
use super::{access, gate};
use crate::assets::takes_gzip;
use crate::auth::Audience;
use crate::config::Page;
use crate::model::InstanceId;
use crate::proxy::{Body, BoxError, CutOff};

/// Answers one request.
pub(super) async fn handle(app: Arc<App>, live: Arc<Live>, request: Request<Incoming>, peer: Peer, id: RequestId) -> Handled {
    let forwarded = forwarded(request.headers(), peer, &live.config.server.trusted_proxies);
    let client = forwarded.client.clone();
    let html = answer::wants_html(request.headers());
    let refused =
        |error: ApiError, route, client| Handled { response: error.answer(html, &live.config.page), route, instance: None, client };
    let find_host = if request.uri().path() == gate::HEALTH { gate::any_host } else { gate::host };
    let host = match gate::check_framing(&request).and_then(|()| find_host(&request)) {
        Ok(host) => host,
        Err(error) => {
            let mut handled = refused(error, "malformed", client);
            // Whatever follows on this connection cannot be trusted to be a request.
            handled.response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            return handled;
        }
    };
    let route = route(&gate::named(&host, request.uri().path(), &live.config.server.domains), request.uri().path(), app.engine.base());
    let name = match &route {
        Route::Of(_, target) => target.name(),
        Route::AddSlash(_) => "add-slash",
        Route::InvalidInstance | Route::InvalidPort | Route::NotFound => "not-found",
    };
    if peer.spare && !matches!(route, Route::Of(_, Target::Health)) {
        return refused(ApiError::too_many_connections("the service"), name, client);
    }
    // Monitors ask for health by whatever address they know.
    let trust = gate::Trust::of(&live.config);
    let admitted = match &route {
        Route::Of(_, Target::Health) => Ok(()),
        Route::Of(_, Target::Port(PortForm::Host, _)) => gate::check_app_origins(&request, &host, forwarded.proto, &trust),
        Route::Of(_, Target::Description) => gate::check_read_origins(&request, &host, forwarded.proto, &trust),
        Route::Of(_, Target::SessionTransfer) => gate::check_transfer_origins(&request, &host, forwarded.proto, &trust),
        _ => gate::check_origins(&request, &host, forwarded.proto, &trust),
    };
    if let Err(error) = admitted {
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
        Route::InvalidPort => {
            let error = ApiError::new(ErrorCode::InvalidPort, "a port is a number from 1 to 65535");
            return refused(error, name, client);
        }
        Route::NotFound => return refused(ApiError::not_found(), name, client),
    };
    let path = request.uri().path();
    let below = path.strip_prefix("/i/").and_then(|rest| rest.strip_prefix(instance.as_str())).filter(|rest| rest.starts_with('/'));
    let rest = below.unwrap_or(path).to_owned();
    // Before it is asked who comes: a purge ends the sessions first.
    let life = app.store.life(&instance);
    let session = match PortHost::parse(&host) {
        // A host name of its own has a session of its own.
        Some(port_host) => transfer::admit(&app, &live, &request, &host, &port_host, forwarded.proto),
        None => {
            let session = access::session(&app, &instance, request.headers(), forwarded.proto == "https", Audience::Instance);
            let admitted = session.is_some() || app.secrets.auth.is_none() || access::is_open(&target);
            match (admitted, &target) {
                (true, _) => Ok(session),
                // The login is not for frames of others.
                (false, Target::SessionTransfer) if gate::opens_in_frame(&request) => Err(Box::new(access::offer_tab(&live.config.page))),
                (false, _) => Err(Box::new(access::refuse(&request, &rest, &live))),
            }
        }
    };
    let session = match session {
        Ok(session) => session,
        Err(response) => return Handled { response: *response, route: name, instance: Some(instance), client },
    };
    let address = client_address(&forwarded, peer);
    let realm = Realm::Instance;
    let context = Context { app, live, realm, instance: instance.clone(), life, peer, forwarded, address, rest, session, id };
    Handled { response: dispatch(context, target, request, html).await, route: name, instance: Some(instance), client }
}

async fn dispatch(context: Context, target: Target, request: Request<Incoming>, html: bool) -> Response<Body> {
    let live = Arc::clone(&context.live);
    let page = &live.config.page;
    if target == Target::Engine
        && let Some(response) = engine::builtin(&context.app, &request, html, page)
    {
        return response;
    }
    if let Target::Asset(path) = &target {
        return match context.app.assets.respond(request.method(), path, request.headers()) {
            Ok(response) => response.map(Body::from),
            Err(refused) => files::absent(path, refused).unwrap_or_else(|| files::refused(refused, html, page)),
        };
    }
    // Every method is the app's own business, and so is what it answers to HEAD.
    match target {
        Target::Port(form, port) => {
            return port::answer(context, form, port, request).await.unwrap_or_else(|error| error.answer(html, page));
        }
        Target::PortSlash(port) => return port::add_slash(port, &request).unwrap_or_else(|error| error.answer(html, page)),
        _ => {}
    }
    let allow = match target {
        Target::MintKey | Target::Start | Target::LogoutApi => "POST",
        Target::LoginApi => "GET, HEAD, POST",
        Target::Extensions => "GET, HEAD, POST",
        Target::Extension(_) => "DELETE",
        Target::State => "GET, HEAD, PATCH",
        _ => "GET, HEAD",
    };
    if !allow.split(", ").any(|method| request.method() == method) {
        return answer::method_not_allowed(allow, html, page);
    }
    let opened = matches!(target, Target::Workbench | Target::Embed);
    if opened && let Err(error) = gate::check_opened(request.headers()) {
        return error.answer(html, page);
    }
    let renewal = renewal(&context, &target, &request);
    let place = place(&context.rest, request.uri().query(), opened);
    let answered = match target {
        Target::Workbench => workbench::answer(context, request).await,
        Target::Embed => embed::answer(&context, &request).await,
        Target::MintKey => mint_key::answer(&context, request.headers()).await,
        Target::Health => Ok(health::answer(&context, request.headers()).await),
        Target::Description => Ok(description::answer()),
        Target::Start => start::answer(&context, request, html).await,
        Target::Status => Ok(status::answer(&context).await),
        Target::Events => events::answer(&context, &request),
        Target::Extensions => extensions::answer(&context, request).await,
        Target::ExtensionEvents => extensions::events(&context, &request),
        Target::Extension(name) => extensions::remove(&context, &name).await,
        Target::State => state::answer(&context, request).await,
        Target::OwnFile(name) => files::own_file(&context, &name, takes_gzip(request.headers())),
        Target::Manifest => Ok(files::manifest(page, &context.instance)),
        Target::UpdateCheck => Ok(files::update_check(&context.app.engine)),
        Target::Robots => Ok(answer::plain("text/plain; charset=utf-8", &b"User-agent: *\nDisallow: /\n"[..])),
        Target::LoginApi if request.method() == Method::POST => login::take(&context, request).await,
        Target::Login | Target::LoginApi => login::show(&context, &request),
        Target::Logout | Target::LogoutApi => logout::answer(&context, &request).await,
        Target::SessionTransfer => session_transfer(&context, &request),
        Target::Engine => engine::answer(context, request).await,
        Target::OtherEngine => engine::answer_if_running(context, request).await,
        Target::Asset(_) | Target::Port(..) | Target::PortSlash(_) => Err(ApiError::not_found()),
    };
    let mut response = answered.unwrap_or_else(|error| error.at(place).answer(html, page));
    if response.status() == StatusCode::OK {
        response.headers_mut().extend(renewal);
    }
    response
}

/// Where an error about the page `rest` is shown. Only what is opened is what somebody wants to come back to.
fn place(rest: &str, query: Option<&str>, opened: bool) -> Place {
    let page = rest.trim_start_matches('/');
    let to = query.map_or_else(|| page.to_owned(), |query| format!("{page}?{query}"));
    Place { root: access::to_root(rest), to: if opened { access::safe_page(&to).to_owned() } else { String::new() } }
}

/// Sends a session on to the host name of a port.
fn session_transfer(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let session = context.session.as_ref().ok_or_else(ApiError::not_found)?;
    transfer::grant(&context.app, session, &context.forwarded, request.uri().query().unwrap_or_default())
}

/// The header that gives a session of somebody who opens the editor a longer life, when it is time for that.
fn renewal(context: &Context, target: &Target, request: &Request<Incoming>) -> Option<(HeaderName, HeaderValue)> {
    if *target != Target::Workbench || request.method() != Method::GET {
        return None;
    }
    let token = context.app.secrets.auth.as_ref()?.renew(context.session.as_ref()?)?;
    let embedded = access::is_embedded(&context.live, request.headers());
    let jar = context.jar(embedded);
    let mut headers = HeaderMap::new();
    jar.set(&mut headers, Kind::Session, &token, &jar.scope(Kind::Session, request.headers()));
    headers.remove(SET_COOKIE).map(|value| (SET_COOKIE, value))
}

fn add_slash(id: &InstanceId, request: &Request<Incoming>, html: bool, page: &Page) -> Response<Body> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = answer::redirect(&format!("{id}/{query}")).unwrap_or_else(|error| error.answer(html, page));
    if response.status() == StatusCode::FOUND && !matches!(*request.method(), Method::GET | Method::HEAD) {
        // What is sent goes on to the other address as it is.
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    }
    response
}

/// Refuses a further client of an instance that has very many: each takes descriptors, of which all instances together have so many.
/// Requests that are none for a websocket have as much room again, so that the page comes of which all websockets are there.
fn check_crowd(context: &Context, websocket: bool) -> Result<(), ApiError> {
    let (_, clients, _) = context.app.instances.status(&context.instance);
    let most = context.live.config.limits.clients;
    // The one that asks is among them.
    if clients > if websocket { most } else { most.saturating_mul(2) } {
        Err(ApiError::too_many_connections("the instance"))
    } else {
        Ok(())
    }
}

/// `body` for as long as the session lasts that it was admitted for: who is signed out neither gets nor sends another byte.
fn while_signed_in<B>(context: &Context, body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match &context.session {
        Some(session) if !body.is_end_stream() => {
            let (app, session) = (Arc::clone(&context.app), session.clone());
            Body::boxed(CutOff::new(body, async move { access::session_over(&app, Some(&session)).await }))
        }
        _ => Body::boxed(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_from_an_error_to_what_was_asked_for() {
        let at = |rest, query, opened| {
            let place = place(rest, query, opened);
            (place.root, place.to)
        };
        assert_eq!(at("/", Some("folder=/a b"), true), ("./".into(), String::new()), "no address");
        assert_eq!(at("/", Some("folder=/a%20b&x=1"), true), ("./".into(), "?folder=/a%20b&x=1".into()));
        assert_eq!(at("/api/v1/code", Some("ew=1"), true), ("../../".into(), "api/v1/code?ew=1".into()));
        assert_eq!(at("/api/v1/code/start", None, false), ("../../../".into(), String::new()));
    }
}
