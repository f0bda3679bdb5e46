//! The small files that make the editor an installable app, and the answers the workbench expects of its host.

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderName, HeaderValue};
use serde_json::json;

use super::super::answer::{self, ApiError, ErrorCode};
use super::super::app::Context;
use super::super::compress;
use super::super::pages;
use crate::assets::Refused;
use crate::config::Page;
use crate::engine::Engine;
use crate::engine::manifest::compressible;
use crate::model::InstanceId;
use crate::proxy::Body;

/// Our icons and service worker, under the names that the workbench's page links to.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("src/browser/media/favicon-dark-support.svg", "image/svg+xml", include_bytes!("../pages/media/icon.svg")),
    ("src/browser/media/favicon.ico", "image/x-icon", include_bytes!("../pages/media/favicon.ico")),
    ("src/browser/media/pwa-icon-192.png", "image/png", include_bytes!("../pages/media/icon-192.png")),
    ("src/browser/media/pwa-icon-512.png", "image/png", include_bytes!("../pages/media/icon-512.png")),
    ("src/browser/media/pwa-icon-maskable-192.png", "image/png", include_bytes!("../pages/media/icon-maskable-192.png")),
    ("src/browser/media/pwa-icon-maskable-512.png", "image/png", include_bytes!("../pages/media/icon-maskable-512.png")),
    ("out/browser/serviceWorker.js", "text/javascript; charset=utf-8", include_bytes!("../pages/media/service-worker.js")),
];

/// The page of a tab at which nobody was (`pages/attend.html` leads there).
const ASLEEP: &str = "page/asleep";

/// One of our own files; `gzip` says whether its reader takes that.
pub(in super::super) fn own_file(context: &Context, name: &str, gzip: bool) -> Result<Response<Body>, ApiError> {
    if name == ASLEEP {
        return Ok(compress::packed(pages::asleep(&context.live.config.page), gzip));
    }
    let response = own_file_as_it_is(context, name)?;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let smaller = kind.is_some_and(compressible);
    Ok(if smaller { compress::packed_by(response, gzip, |content| context.live.custom.packed(name, content)) } else { response })
}

fn own_file_as_it_is(context: &Context, name: &str) -> Result<Response<Body>, ApiError> {
    if let Some((kind, content)) = context.live.custom.get(name) {
        return Ok(cached(kind, content, if name == "page/logo" { "max-age=300" } else { "public, max-age=31536000, immutable" }));
    }
    if let Some((kind, content)) = super::touch::file(name).or_else(|| super::state::file(name)) {
        return Ok(cached(kind, content, "public, max-age=31536000, immutable"));
    }
    if let Some((kind, content)) = super::extension_view::file(name) {
        return Ok(cached(kind, content, "public, max-age=86400"));
    }
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == name).ok_or_else(ApiError::not_found)?;
    let mut response = cached(kind, Bytes::from_static(content), "public, max-age=86400");
    if name.ends_with("serviceWorker.js") {
        // Seen from `_static/out/browser/`, this is the instance's root, wherever a proxy has put it.
        response.headers_mut().insert(HeaderName::from_static("service-worker-allowed"), HeaderValue::from_static("../../../"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    Ok(response)
}

fn cached(kind: &'static str, content: Bytes, cache: &'static str) -> Response<Body> {
    let mut response = answer::plain(kind, content);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// The name below an installed app's icon. There is room for a word or two: which instance it is says more than whose editor.
pub(super) fn short_name<'a>(page: &'a Page, instance: &'a InstanceId) -> &'a str {
    if instance.as_str() == "default" { &page.name } else { instance.as_str() }
}

pub(super) fn manifest(page: &Page, instance: &InstanceId) -> Response<Body> {
    let icon = |name: &str, size: u32, purpose: &str| json!({"src": format!("./_static/src/browser/media/{name}-{size}.png"), "type": "image/png", "sizes": format!("{size}x{size}"), "purpose": purpose});
    let short_name = short_name(page, instance);
    let name = if instance.as_str() == "default" { page.name.clone() } else { format!("{} – {instance}", page.name) };
    let manifest = json!({
        // No `id`: that would be seen from the origin, and be the same for all instances below it. Without one it is the start URL.
        "name": name, "short_name": short_name, "start_url": "./", "scope": "./",
        "display": "standalone", "display_override": ["window-controls-overlay"],
        "background_color": page.background, "theme_color": page.background,
        "icons": [
            icon("pwa-icon", 192, "any"), icon("pwa-icon", 512, "any"),
            icon("pwa-icon-maskable", 192, "maskable"), icon("pwa-icon-maskable", 512, "maskable"),
        ],
    });
    answer::plain("application/manifest+json", manifest.to_string())
}

/// Stand-ins for files that the workbench asks for and that no open build of VS Code has: the closed module that signs the
/// handshake. It goes on without, and so does the server; answered like this, nobody's console shows an error for it.
pub(super) fn absent(path: &str, refused: Refused) -> Option<Response<Body>> {
    if refused != Refused::NotFound {
        return None;
    }
    let (kind, content): (_, &[u8]) = match path {
        "node_modules/vsda/rust/web/vsda.js" => ("text/javascript; charset=utf-8", b"define([], () => ({}));\n"),
        "node_modules/vsda/rust/web/vsda_bg.wasm" => ("application/wasm", b""),
        _ => return None,
    };
    Some(cached(kind, Bytes::from_static(content), "public, max-age=86400"))
}

/// Why there is no file of the engine's to be had.
pub(super) fn refused(refused: Refused, html: bool, page: &Page) -> Response<Body> {
    let error = match refused {
        Refused::NotFound => ApiError::not_found(),
        Refused::Method => return answer::method_not_allowed("GET, HEAD", html, page),
        Refused::Range { size } => {
            let error = ApiError::new(ErrorCode::RangeNotSatisfiable, format!("the file has {size} bytes"));
            let mut response = error.answer(html, page);
            answer::set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
            return response;
        }
        Refused::Broken => ApiError::new(ErrorCode::Internal, "something went wrong; the log says more"),
    };
    error.answer(html, page)
}

/// Operators update; an editor has nothing to nag about.
pub(super) fn update_check(engine: &Engine) -> Response<Body> {
    let version = &engine.product().version;
    answer::json(&json!({"checked": jiff::Timestamp::now().as_millisecond(), "latest": version, "current": version, "isLatest": true}))
}
