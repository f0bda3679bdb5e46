//! `?extension=PUB.NAME`: the editor's page with one extension and nothing else, its view in front. By the page's configuration
//! alone, so that the same engine serves the full editor next to it.
//!
//! Where the configuration does not reach (a command to run, an extension's own page to open), a small extension of ours does
//! it, which runs in the browser and is part of this page only. What it has to do is in its address.

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::super::answer::{ApiError, ErrorCode};
use super::super::app::Context;
use super::super::extensions::{ended, install_key};
use super::super::gate::{is_from_elsewhere, is_navigation};
use super::super::pages;
use super::super::query::Parameters;
use super::extensions::begin_install;
use crate::instances::{Begun, Lease};
use crate::model::{ExtensionId, ExtensionSpec, ExtensionView, InstalledExtension, InstanceState};
use crate::proxy::Body;

/// The name of our own extension.
const HELPER: &str = "hoody.extension-view";

/// Where its files are, below `/_static/`.
const PREFIX: &str = "extension-view/";

/// The most bytes of what it is told; more than that would not be a name.
const MAX_TASK: usize = 8 << 10;

/// What the page's own script does before the workbench starts.
const SCRIPT: &str = include_str!("extension_view/page.js");

/// What is not to be seen meanwhile.
const STYLE: &str = include_str!("extension_view/page.css");

/// What our extension does.
const EXTENSION: &[u8] = include_bytes!("extension_view/extension.js");

/// What is to be done with a request for an extension.
pub(super) enum Prepared {
    /// Show the editor like this.
    Show(Shape),
    /// Show this meanwhile.
    Wait(Response<Body>),
}

/// What is different about the page.
pub(super) struct Shape {
    pub(super) settings: Map<String, Value>,
    pub(super) options: Map<String, Value>,
    pub(super) head: String,
}

/// Makes sure that the extension is there, and finds out what to show of it.
pub(super) async fn prepare(context: &Context, lease: &Lease, id: &ExtensionId, headers: &HeaderMap) -> Result<Prepared, ApiError> {
    let mut all = context.app.extensions.list(lease, false).await?;
    if find(&all.extensions, id.as_str()).is_none() {
        // Who waits for its own turn would wait for ever.
        drop(all);
        if let Some(follow) = context.app.extensions.find(&context.instance, &install_key(id))
            && let Some(Err(failed)) = follow.borrow().end.clone()
        {
            // It failed a moment ago: that is what there is to say, not a second try.
            return Err(failed.into());
        }
        let begun = context.app.instances.begin(&context.instance).await?;
        let Begun::Running(own) = begun else { return Err(ApiError::no_answer()) };
        let follow = begin_install(context, own, ExtensionSpec { id: id.clone(), version: None })?;
        if is_navigation(headers) {
            return Ok(Prepared::Wait(pages::installing(&context.live.config.page, id.as_str(), 0)));
        }
        match tokio::time::timeout(context.live.config.instances.request_wait, ended(follow)).await {
            Ok(end) => drop(end?),
            Err(_) => return Err(ApiError::new(ErrorCode::Starting, "the extension is being installed")),
        }
        all = context.app.extensions.list(lease, false).await?;
    }
    match find(&all.extensions, id.as_str()) {
        Some(extension) => Ok(Prepared::Show(shape(extension, &all.extensions))),
        None => Err(ApiError::new(ErrorCode::ExtensionNotFound, format!("{id} is not there"))),
    }
}

/// A page that asks first, when another site has sent the browser here for an extension that would have to be installed: else any
/// link could bring any published extension into somebody's editor.
pub(super) async fn ask_first(context: &Context, request: &Request<Incoming>) -> Result<Option<Response<Body>>, ApiError> {
    if !is_from_elsewhere(request.headers()) {
        return Ok(None);
    }
    let Some(id) = Parameters::parse(request.uri().query().unwrap_or_default())?.extension else { return Ok(None) };
    if is_there(context, &id).await? { Ok(None) } else { Ok(Some(pages::confirm(&context.live.config.page, id.as_str(), "", ""))) }
}

/// The same for who has just signed in on the way from another site: from then on the browser takes the way for its own. `root` leads
/// to the instance's root, and from there `to` to what was asked for.
pub(super) async fn ask_after_login(context: &Context, root: &str, to: &str) -> Option<Response<Body>> {
    let query = to.split('#').next().and_then(|page| page.split_once('?')).map_or("", |(_, query)| query);
    // What cannot be read is refused there.
    let id = Parameters::parse(query).ok()?.extension?;
    if is_there(context, &id).await.unwrap_or(false) {
        return None;
    }
    Some(pages::confirm(&context.live.config.page, id.as_str(), root, to))
}

/// Whether an extension is known to be installed. Of an instance that does not run nobody can tell, and the loader's own reload would
/// hide who has asked.
async fn is_there(context: &Context, id: &ExtensionId) -> Result<bool, ApiError> {
    let instances = &context.app.instances;
    if instances.status(&context.instance).0.state != InstanceState::Running {
        return Ok(false);
    }
    let Begun::Running(lease) = instances.begin(&context.instance).await? else { return Ok(false) };
    Ok(find(&context.app.extensions.list(&lease, false).await?.extensions, id.as_str()).is_some())
}

fn find<'a>(all: &'a [InstalledExtension], id: &str) -> Option<&'a InstalledExtension> {
    all.iter().find(|one| one.id.as_str().eq_ignore_ascii_case(id))
}

/// The extension and all that it cannot do without.
fn closure(extension: &InstalledExtension, all: &[InstalledExtension]) -> Vec<String> {
    let mut seen = HashSet::from([extension.id.key()]);
    let (mut names, mut open) = (vec![extension.id.to_string()], vec![extension]);
    while let Some(one) = open.pop() {
        for needed in one.needs.iter().filter_map(|name| find(all, name)) {
            if seen.insert(needed.id.key()) {
                names.push(needed.id.to_string());
                open.push(needed);
            }
        }
    }
    names
}

fn shape(extension: &InstalledExtension, all: &[InstalledExtension]) -> Shape {
    let mut enabled = closure(extension, all);
    enabled.push(HELPER.to_owned());
    let mut layout = json!({"force": true, "views": [], "editors": []});
    if let ExtensionView::Side { view, .. } | ExtensionView::Panel { view, .. } = &extension.view {
        layout["views"] = json!([{ "id": view }]);
    }
    let options = json!({"enabledExtensions": enabled, "defaultLayout": layout});
    let mut settings = object(settings());
    if matches!(extension.view, ExtensionView::Panel { .. }) {
        settings.insert("workbench.panel.opensMaximized".to_owned(), "always".into());
    }
    Shape { settings, options: object(options), head: head(extension) }
}

/// Defaults, as in the full editor: who has set one of these for himself keeps it.
fn settings() -> Value {
    json!({
        "workbench.activityBar.location": "hidden",
        "workbench.statusBar.visible": false,
        "workbench.layoutControl.enabled": false,
        "workbench.startupEditor": "none",
        "workbench.tips.enabled": false,
        "workbench.secondarySideBar.defaultVisibility": "hidden",
        "workbench.navigationControl.enabled": false,
        "window.menuBarVisibility": "hidden",
        "window.commandCenter": false,
        "extensions.ignoreRecommendations": true,
        // With AI features off, the editor switches this extension off while the window comes up, and with that stops what is not
        // yet in its list of installed ones: ours. One that has no place to run is off already, and left alone.
        "remote.extensionKind": {"GitHub.copilot-chat": ["ui"]},
        "security.workspace.trust.startupPrompt": "never",
    })
}

/// A script for the page, with the page's own nonce.
fn head(extension: &InstalledExtension) -> String {
    let task = json!({"extension": extension.id, "name": extension.display_name, "view": extension.view}).to_string();
    let told = if task.len() <= MAX_TASK { task } else { json!({"extension": extension.id, "view": {"kind": "none"}}).to_string() };
    let config = json!({"helper": format!("./_static/{PREFIX}{}", hex::encode(&told)), "manifest": manifest(&told)});
    // Inside a script nothing but its end tag matters to HTML.
    let config = config.to_string().replace('<', "\\u003c");
    let script = SCRIPT.replace("__CONFIG__", &config);
    format!("<style>{STYLE}</style><script nonce=\"{{nonce}}\">{script}</script>")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The manifest of our own extension, which does what `told` says.
fn manifest(told: &str) -> Option<Value> {
    let task: Value = serde_json::from_str(told).ok()?;
    Some(json!({
        "publisher": "hoody", "name": "extension-view", "version": "1.0.0", "displayName": "Extension view",
        "engines": {"vscode": "^1.60.0"}, "extensionKind": ["web"], "browser": "./extension.js",
        "activationEvents": ["onStartupFinished"],
        "contributes": {"viewsContainers": {"activitybar": [
            {"id": "hoody-extension-view", "title": task["name"].as_str().unwrap_or("Extension"), "icon": "icon.svg"},
        ]}},
        "hoody": task,
    }))
}

/// A file of our own extension, whose address says what it has to do.
pub(super) fn file(name: &str) -> Option<(&'static str, Bytes)> {
    let (told, name) = name.strip_prefix(PREFIX)?.split_once('/')?;
    match name {
        "package.json" => {
            let manifest = manifest(std::str::from_utf8(&hex::decode(told).ok()?).ok()?)?;
            Some(("application/json", Bytes::from(manifest.to_string())))
        }
        // Asked for by the editor; an answer keeps an error out of everybody's console.
        "package.nls.json" => Some(("application/json", Bytes::from_static(b"{}"))),
        "icon.svg" => Some(("image/svg+xml", Bytes::from_static(include_bytes!("../pages/media/icon.svg")))),
        "extension.js" => Some(("text/javascript; charset=utf-8", Bytes::from_static(EXTENSION))),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn extension(id: &str, needs: &[&str], view: ExtensionView) -> InstalledExtension {
        InstalledExtension {
            id: id.parse().unwrap(),
            version: "1.0.0".into(),
            display_name: id.into(),
            built_in: false,
            size: None,
            needs: needs.iter().map(ToString::to_string).collect(),
            view,
            languages: Vec::new(),
        }
    }

    #[test]
    fn what_it_needs_is_enabled_as_well() {
        let all = [
            extension("a.one", &["A.Two", "a.gone"], ExtensionView::None),
            extension("a.two", &["a.one", "a.three"], ExtensionView::None),
            extension("a.three", &[], ExtensionView::None),
            extension("a.four", &[], ExtensionView::None),
        ];
        assert_eq!(closure(&all[0], &all), ["a.one", "a.two", "a.three"]);
        assert_eq!(shape(&all[3], &all).options["enabledExtensions"], json!(["a.four", HELPER]));
    }

    #[test]
    fn a_hostile_manifest_stays_text() {
        let view = ExtensionView::Side { view: "</script><script>alert(1)//{nonce}".into(), container: "x".into() };
        let shape = shape(&extension("a.one", &[], view), &[]);
        assert_eq!(shape.head.matches("</script>").count(), 1);
        assert_eq!(shape.options["defaultLayout"]["views"][0]["id"], "</script><script>alert(1)//{nonce}");
    }

    #[test]
    fn the_helper_is_told_by_its_address() {
        let told = hex::encode(r#"{"extension":"a.b"}"#);
        let (kind, content) = file(&format!("extension-view/{told}/package.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&content).unwrap();
        assert_eq!((kind, &manifest["hoody"]["extension"]), ("application/json", &json!("a.b")));
        assert!(file(&format!("extension-view/{told}/extension.js")).is_some());
        for name in ["extension-view/zz/package.json", "extension-view/7b/package.json", "extension-view/7b/x", "extension-view/x", "x"] {
            assert!(file(name).is_none(), "{name}");
        }
    }
}
