//! `GET /`: VS Code itself, started when it is not running.

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::super::answer::{self, ApiError};
use super::super::app::Context;
use super::super::gate::is_navigation;
use super::super::page_pass;
use super::super::pages;
use super::super::query::Parameters;
use super::extension_view::{self, Prepared, Shape};
use super::language;
use super::open::{self, Opening};
use super::{check_crowd, engine, files, port, state, touch};
use crate::engine::workspace;
use crate::engine::{PageChanges, policy_nonce, rewrite};
use crate::instances::{Begun, Lease};
use crate::proxy::{Body, Reply, strip_request_cookies};

/// The most bytes of a workbench page; the real one has about 4 kB.
const MAX_PAGE: usize = 128 << 10;

pub(super) async fn answer(context: Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    if let Some(page) = extension_view::ask_first(&context, &request).await? {
        return Ok(page);
    }
    let early = match seen(&context, &request).await? {
        Seen::Now(lease) => lease,
        Seen::Loader => return Ok(pages::loader(&context.live.config.page)),
    };
    let parameters = match open::decide(&context, request.uri().query().unwrap_or_default(), request.method()).await? {
        Opening::Here(parameters) => parameters,
        Opening::At(parameters) => return answer::redirect(&format!("./?{}", parameters.to_query())),
    };
    if request.method() == Method::HEAD {
        // Whoever only asks whether there is something here does not need an editor for that.
        return Ok(answer::plain("text/html; charset=utf-8", Body::Empty));
    }
    let config = &context.live.config;
    let lease = match early {
        Some(lease) => lease,
        None => match wake(&context, request.headers()).await? {
            Some(lease) => lease,
            None => return Ok(pages::loader(&config.page)),
        },
    };
    check_crowd(&context, false)?;
    context.app.extensions.settle(&context, &lease);
    if let Some(locale) = &parameters.locale
        && let Some(page) = language::prepare(&context, &lease, locale, request.headers()).await
    {
        return Ok(page);
    }
    let special = match &parameters.extension {
        None => None,
        Some(id) => match extension_view::prepare(&context, &lease, id, request.headers()).await? {
            Prepared::Show(special) => Some(special),
            Prepared::Wait(page) => return Ok(page),
        },
    };
    remember_workspace(&context, &lease, &parameters).await;
    let pass = page_pass::script(&context, request.headers()).await?;
    let shaped = async {
        let page = fetch(&context, lease, &parameters, request).await?;
        // A broken store must not keep the editor from opening: it goes on with what the browser has. The cause is in the log.
        let module = state::module(&context, &parameters).await.ok();
        shape(&context, page, special, &pass, module.as_deref()).await
    };
    // An engine that hangs, or was stopped by a debugger, takes connections and answers none.
    tokio::time::timeout(config.instances.request_wait, shaped).await.unwrap_or_else(|_| Err(ApiError::no_answer()))
}

/// What is known of an instance's files.
enum Seen {
    /// Enough to decide what to open; the lease is there when the instance had to be started for it.
    Now(Option<Lease>),
    /// Nothing before it runs, and the client is one that can wait on a page of ours.
    Loader,
}

/// Starts the instance first where only a running one can tell what files it has. What cannot be right is refused before that.
async fn seen(context: &Context, request: &Request<Incoming>) -> Result<Seen, ApiError> {
    if context.app.instances.sees_files(&context.instance) || request.method() == Method::HEAD {
        return Ok(Seen::Now(None));
    }
    Parameters::parse(request.uri().query().unwrap_or_default())?;
    Ok(wake(context, request.headers()).await?.map_or(Seen::Loader, |lease| Seen::Now(Some(lease))))
}

/// A lease; none when it is still starting and the client should see the loader meanwhile.
async fn wake(context: &Context, headers: &http::HeaderMap) -> Result<Option<Lease>, ApiError> {
    let config = &context.live.config;
    match context.app.instances.begin(&context.instance).await? {
        Begun::Running(lease) => Ok(Some(lease)),
        Begun::Starting if config.page.loader && is_navigation(headers) => Ok(None),
        Begun::Starting => Ok(Some(context.app.instances.acquire(&context.instance, config.instances.request_wait).await?)),
    }
}

/// Without it the page may come up without the workspace's folders. With none the page still opens, as VS Code does by itself.
async fn remember_workspace(context: &Context, lease: &Lease, parameters: &Parameters) {
    let (Some(path), Ok(host)) = (&parameters.workspace, context.forwarded.host.to_str()) else { return };
    let _turn = context.app.asides.take(&context.instance).await;
    if let Err(e) = lease.remember_workspace(path.clone(), workspace::key(host, path)).await {
        tracing::debug!(instance = %context.instance, "VS Code may show this workspace without its folders: {e}");
    }
}

/// The page as the engine makes it.
async fn fetch(
    context: &Context,
    lease: Lease,
    parameters: &Parameters,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, ApiError> {
    let (mut parts, _) = request.into_parts();
    strip_request_cookies(&mut parts.headers);
    let query = parameters.to_query();
    parts.uri = format!("/?{query}").parse::<Uri>().map_err(ApiError::internal)?;
    // The page is rewritten, so it has to come as it is and whole.
    for name in
        [header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE, header::UPGRADE, header::CONTENT_LENGTH]
    {
        parts.headers.remove(name);
    }
    if let Some(locale) = &parameters.locale {
        // The engine reads the display language from this cookie; a cookie of its own name that the browser sent comes first and
        // would win, so the request carries only ours.
        set_locale_cookie(&mut parts.headers, locale.as_str());
    }
    match engine::ask(context, lease, Request::from_parts(parts, Body::Empty), true).await?.0 {
        Reply::Response(mut response) => {
            if let Some(locale) = &parameters.locale {
                // Without a Path the browser keeps it for the page's own, so that the language stays when the parameter is gone.
                let cookie = format!("{LOCALE_COOKIE}={locale}; SameSite=Lax; Max-Age=31536000");
                answer::set(response.headers_mut(), header::SET_COOKIE, &cookie);
            }
            Ok(response)
        }
        Reply::Switched(..) => Err(ApiError::internal("the engine switched protocols on its page")),
    }
}

/// The cookie by which the engine is told a display language.
const LOCALE_COOKIE: &str = "vscode.nls.locale";

fn set_locale_cookie(headers: &mut http::HeaderMap, locale: &str) {
    // Bytes, because what others have set may be no text.
    let mut line = format!("{LOCALE_COOKIE}={locale}").into_bytes();
    let sent = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).map(<[u8]>::trim_ascii);
    for pair in sent.filter(|pair| !pair.starts_with(LOCALE_COOKIE.as_bytes()) && !pair.is_empty()) {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(pair);
    }
    headers.remove(header::COOKIE);
    if let Ok(line) = HeaderValue::from_bytes(&line) {
        headers.insert(header::COOKIE, line);
    }
}

/// The page as we want it.
async fn shape(
    context: &Context,
    response: Response<Incoming>,
    special: Option<Shape>,
    pass: &str,
    module: Option<&str>,
) -> Result<Response<Body>, ApiError> {
    let (mut parts, body) = response.into_parts();
    let is_html = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let body = Limited::new(body, MAX_PAGE).collect().await.map_err(ApiError::internal)?.to_bytes();
    if !parts.status.is_success() || !is_html {
        parts.headers.remove(header::CONTENT_LENGTH);
        return Ok(Response::from_parts(parts, Body::Full(body)));
    }
    let policy = parts.headers.get(header::CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let nonce = policy_nonce(policy).unwrap_or_default().to_owned();
    let page = &context.live.config.page;
    let (mut settings, mut options) = (page.settings.clone(), port::with_template(context, page.options.clone()));
    let mut head = if page.loader { format!("{pass}{}", pages::overlay(page)) } else { pass.to_owned() };
    head.push_str(pages::RECONNECT);
    let own = special.as_ref().map(|special| &special.settings);
    head.push_str(&touch::head(&page.touch, files::short_name(page, &context.instance), own));
    let config = &context.live.config;
    if let Some(limit) = config.hosting.class_of(&context.instance).idle_tabs.unwrap_or(config.instances.idle.idle_tabs) {
        head.push_str(&pages::attend(limit));
    }
    if let Some(special) = special {
        settings.extend(special.settings);
        options.extend(special.options);
        head.push_str(&special.head);
    }
    let changes = PageChanges {
        settings,
        options,
        styles: context.live.custom.styles(),
        scripts: context.live.custom.scripts(),
        head: &head,
        module,
    };
    let body = match rewrite(&body, &nonce, &changes) {
        Ok(rewritten) => rewritten.into(),
        // Better an editor with its own defaults than none.
        Err(e) => {
            tracing::error!(instance = %context.instance, "the workbench page is passed on as it came: {e}");
            body
        }
    };
    let admitting = context.live.config.extensions.gallery.plain_origin().map(|origin| {
        let admit = |policy: String, name: &str| policy.replace(&format!("{name} 'self'"), &format!("{name} 'self' {origin}"));
        admit(admit(policy.to_owned(), "connect-src"), "img-src")
    });
    let headers = &mut parts.headers;
    if let Some(policy) = admitting {
        answer::set(headers, header::CONTENT_SECURITY_POLICY, &policy);
    }
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ETAG);
    // The nonce is good for one answer.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&pages::frame_ancestors(page)) {
        headers.append(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    pages::own_window(headers, &context.forwarded);
    Ok(Response::from_parts(parts, Body::Full(body)))
}
