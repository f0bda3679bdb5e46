//! `/api/v1/code/state`: what the workbench keeps in a browser, for every browser of the instance; and the part of the editor's
//! page that keeps the two together. No instance is started for it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::answer::{self, ApiError, ErrorCode};
use super::super::app::Context;
use super::super::compress;
use super::super::page_pass;
use super::super::query::Parameters;
use super::open::blocking;
use super::small::{self, wrong_json};
use super::while_signed_in;
use crate::assets::takes_gzip;
use crate::instances::{News, RoamingError, Sender, Turn, Update, Updated};
use crate::proxy::{Body, IdleTimeout};

/// Where the module is, below `/_static/`; behind it follows a name that changes with its content, so that a browser may keep it.
const PREFIX: &str = "state/";

static VERSION: LazyLock<String> = LazyLock::new(|| hex::encode(&Sha256::digest(MODULE)[..8]));

/// The module that runs in the editor's page, of several files.
const MODULE: &str = concat!(
    include_str!("state/names.js"),
    include_str!("state/stores.js"),
    include_str!("state/secrets.js"),
    include_str!("state/page.js")
);

/// The most bytes of a request: one value of the greatest length, with every quote in it escaped.
const MAX_BODY: usize = 5 << 20;

/// The most bytes of news in one answer: two scopes that are full.
const MAX_NEWS: usize = 16 << 20;

/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the editor's page waits to hear how far the state is.
const PATIENCE_FOR_PAGE: Duration = Duration::from_secs(2);

/// The most scopes in one request.
const MAX_SCOPES: usize = 32;

/// The most bytes of the name that a page gives itself.
const MAX_PAGE: usize = 64;

/// The most of VS Code's own profiles whose state comes along with a page.
const MAX_PROFILES: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with page, sequence and scopes")]
struct Changes {
    page: String,
    sequence: u64,
    scopes: BTreeMap<String, Update>,
}

#[derive(Serialize)]
struct Changed {
    scopes: BTreeMap<String, Updated>,
}

/// `GET` and `PATCH …/state`.
pub(super) async fn answer(context: &Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    page_pass::check(context, request.headers()).await?;
    let gzip = takes_gzip(request.headers());
    let roaming = context.app.store.roaming();
    // Before the body is read: what waits for its turn holds nothing.
    let turn = roaming.turn(&context.instance).await;
    if request.method() == Method::PATCH {
        let changed = change(context, &turn, request).await?;
        return packed(changed, gzip, turn).await;
    }
    let query = request.uri().query().unwrap_or_default();
    let Some(scope) = query.split('&').find_map(|pair| pair.strip_prefix("scope=")) else {
        let scopes = roaming.list(&context.instance, turn.clone()).await?;
        return packed(json!({ "scopes": scopes }), gzip, turn).await;
    };
    let scope = percent_decode_str(scope).decode_utf8().map_err(|_| RoamingError::InvalidScope)?.into_owned();
    let reader = Sender { page: String::new(), sequence: 0 };
    let update = Update { want: true, ..Update::default() };
    let all = roaming.update(&context.instance, turn.clone(), context.life, scope, reader, update).await?;
    packed(all, gzip, turn).await
}

async fn change(context: &Context, turn: &Turn, request: Request<Incoming>) -> Result<Changed, ApiError> {
    let body = IdleTimeout::new(request.into_body(), context.live.config.limits.body_idle_timeout);
    // What is sent piece by piece must not arrive after its sender was signed out, and the instance was given to somebody else.
    let body = small::read(while_signed_in(context, body), MAX_BODY, PATIENCE).await?;
    let changes: Changes = serde_json::from_slice(&body).map_err(|e| ApiError::new(ErrorCode::BadRequest, wrong_json(&e)))?;
    if changes.page.len() > MAX_PAGE || changes.scopes.len() > MAX_SCOPES {
        return Err(ApiError::new(ErrorCode::TooLarge, format!("at most {MAX_SCOPES} scopes, and {MAX_PAGE} bytes of a page's name")));
    }
    let (mut scopes, mut bytes) = (BTreeMap::new(), 0);
    for (scope, update) in changes.scopes {
        let sender = Sender { page: changes.page.clone(), sequence: changes.sequence };
        let updated =
            context.app.store.roaming().update(&context.instance, turn.clone(), context.life, scope.clone(), sender, update).await?;
        bytes += updated.news.as_ref().map_or(0, News::bytes);
        if bytes > MAX_NEWS {
            return Err(ApiError::new(ErrorCode::TooLarge, "what is new is too much for one answer: ask for fewer scopes at a time"));
        }
        scopes.insert(scope, updated);
    }
    Ok(Changed { scopes })
}

/// The module, when `name` below `/_static/` is its name.
pub(super) fn file(name: &str) -> Option<(&'static str, Bytes)> {
    let version = name.strip_prefix(PREFIX)?.strip_suffix(".js")?;
    (version == *VERSION).then(|| ("text/javascript; charset=utf-8", Bytes::from_static(MODULE.as_bytes())))
}

/// The script that takes the place of the workbench's: it brings this browser up to date first. `{workbench}` in it is to become
/// the address of the workbench's, as JSON.
pub(super) async fn module(context: &Context, parameters: &Parameters) -> Result<String, ApiError> {
    let workspace = workspace(parameters);
    let mut names: Vec<String> = ["global", "global-shared", "local"].map(str::to_owned).into();
    names.push(workspace.clone());
    let positions = context.app.store.roaming().positions(&context.instance, names, "profile/", MAX_PROFILES);
    // A disk that hangs must not keep the editor from opening.
    let positions = tokio::time::timeout(PATIENCE_FOR_PAGE, positions).await.map_err(ApiError::internal)??;
    let scopes: BTreeMap<_, _> = positions.iter().map(|(scope, at)| (scope, json!([at.epoch, at.revision]))).collect();
    let extension = parameters.extension.is_some();
    let config = json!({"instance": context.instance, "workspace": workspace, "scopes": scopes, "extension": extension});
    // Inside a script nothing but its end tag matters to HTML.
    let config = config.to_string().replace('<', "\\u003c");
    let version = &*VERSION;
    Ok(format!("import {{ begin }} from \"./_static/{PREFIX}{version}.js\";\nawait begin({config}, {{workbench}});\n"))
}

/// The scope of what is open. The view of one extension has a layout of its own.
fn workspace(parameters: &Parameters) -> String {
    let opened = parameters.workspace.as_ref().or(parameters.folder.as_ref());
    let path = opened.map(|path| path.as_str().trim_end_matches('/')).unwrap_or_default();
    match &parameters.extension {
        None => format!("workspace/{path}"),
        Some(id) => format!("workspace/{path}?extension={}", id.key()),
    }
}

/// JSON, compressed: state is mostly words that come again and again. As long as there is much of it, it keeps its turn: made or sent, it is
/// in memory.
async fn packed(value: impl Serialize + Send + 'static, gzip: bool, turn: Turn) -> Result<Response<Body>, ApiError> {
    blocking(move || compress::packed(answer::json(&value), gzip).map(|body| body.hold(turn))).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_per_folder_and_view() {
        let of = |query| workspace(&Parameters::parse(query).unwrap());
        assert_eq!(of(""), "workspace/");
        assert_eq!(of("ew=1"), "workspace/");
        assert_eq!(of("folder=/a%20b/"), "workspace//a b");
        assert_eq!(of("workspace=/x.code-workspace&folder=/a"), "workspace//x.code-workspace");
        assert_eq!(of("folder=/a&extension=Pub.Name"), "workspace//a?extension=pub.name");
    }

    #[test]
    fn the_module_is_there_under_its_name_alone() {
        assert!(file(&format!("state/{}.js", *VERSION)).is_some());
        assert!(file("state/0123456789abcdef.js").is_none() && file("state/").is_none() && file("touch/x.js").is_none());
    }
}
