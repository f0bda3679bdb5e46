//! The pass that opens what only the editor's own page may ask for: given with the page, demanded of browsers.

use std::time::SystemTime;

use askama::Template;
use http::header::HeaderMap;

use super::answer::{ApiError, ErrorCode};
use super::app::Context;
use super::handlers::open::aside;
use crate::auth::PagePasses;

/// The header in which a page shows its pass.
const HEADER: &str = "hoody-code-page";

#[derive(Template)]
#[template(path = "page-pass.html", config = "src/front/pages/askama.toml")]
struct Script<'a> {
    pass: &'a str,
}

/// The script for the editor's page. In a frame the page gets no pass: the page around it may be an app's. The page for embedding
/// hands its own one down.
pub(super) async fn script(context: &Context, headers: &HeaderMap) -> Result<String, ApiError> {
    let pass = if framed(headers) { String::new() } else { issue(context).await };
    Script { pass: &pass }.render().map_err(ApiError::internal)
}

/// The pass for the page for embedding. None in a page of our own origin, where only an app can be what embeds; and none in any
/// frame while apps can have our origin at all: one of them, in another frame of the page that embeds, could reach into ours and
/// take it.
pub(super) async fn for_embedding(context: &Context, headers: &HeaderMap) -> Option<String> {
    let own = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let ports = &context.live.config.ports;
    if framed(headers) && (own || ports.path_form) {
        return None;
    }
    Some(issue(context).await)
}

/// Demands the pass of whatever is sent by a browser. Other programs have no pages, and no scripts of strangers in them.
pub(super) async fn check(context: &Context, headers: &HeaderMap) -> Result<(), ApiError> {
    let browser = ["sec-fetch-site", "origin", "referer"].iter().any(|name| headers.contains_key(*name));
    let pass = headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !browser {
        return Ok(());
    }
    let (store, id) = (context.app.store.clone(), context.instance.clone());
    // None has been given where there is no key: a page of a purged instance makes no new one.
    let key = aside(context, move || store.known_mint_key(&id)).await?;
    if key.is_some_and(|key| PagePasses::new(&key).admits(pass, now())) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::OriginRefused, "only the editor's own page may ask for this"))
}

fn framed(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|dest| dest != "document")
}

async fn issue(context: &Context) -> String {
    match passes(context).await {
        Ok(passes) => passes.issue(now()),
        // A full disk must not keep the editor from opening: it goes on without what needs a pass. The cause is in the log.
        Err(_) => String::new(),
    }
}

async fn passes(context: &Context) -> Result<PagePasses, ApiError> {
    let (store, id, life) = (context.app.store.clone(), context.instance.clone(), context.life);
    let runs = !context.app.instances.status(&id).0.state.is_at_rest();
    let key = move || {
        if runs && store.last_used(&id).is_none() {
            // Else it would be one of the many names that were never started, until the uses of all instances are next written down.
            store.set_last_used(&id, life, SystemTime::now())?;
        }
        store.mint_key(&id, life)
    };
    let secret: [u8; 32] = aside(context, key).await??;
    Ok(PagePasses::new(&secret))
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}
