//! `?locale=`: the language pack of a display language, installed when somebody first asks for it. Never a reason for a page not
//! to come: without the pack the editor is in English.

use std::time::Duration;

use http::{HeaderMap, Response};

use super::super::app::Context;
use super::super::extensions::install_key;
use super::super::gate::is_navigation;
use super::super::pages;
use super::extensions::begin_install;
use crate::instances::{Begun, Lease};
use crate::model::{ExtensionSpec, Locale};
use crate::proxy::Body;

/// How long a page waits for a language pack before it goes on in English.
const PATIENCE: Duration = Duration::from_secs(20);

/// The languages that VS Code's makers translate it to, and how their packs are called: `MS-CEINTL.vscode-language-pack-NAME`.
const PACKS: &[(&str, &str)] = &[
    ("cs", "cs"),
    ("de", "de"),
    ("es", "es"),
    ("fr", "fr"),
    ("it", "it"),
    ("ja", "ja"),
    ("ko", "ko"),
    ("pl", "pl"),
    ("pt-br", "pt-BR"),
    ("ru", "ru"),
    ("tr", "tr"),
    ("zh-cn", "zh-hans"),
    ("zh-hans", "zh-hans"),
    ("zh-tw", "zh-hant"),
    ("zh-hant", "zh-hant"),
];

/// A page to show while the pack is installed; none when there is nothing to wait for, or no longer.
pub(super) async fn prepare(context: &Context, lease: &Lease, locale: &Locale, headers: &HeaderMap) -> Option<Response<Body>> {
    let (_, pack) = PACKS.iter().find(|(language, _)| *language == locale.as_str())?;
    let spec: ExtensionSpec = format!("MS-CEINTL.vscode-language-pack-{pack}").parse().ok()?;
    let extensions = &context.app.extensions;
    // Tried once per run of an instance: an hour without network would else be an hour of waiting pages.
    if !is_navigation(headers) || extensions.was_tried(lease, &spec.id, PATIENCE) {
        return None;
    }
    let all = extensions.list(lease, false).await.ok()?;
    if all.extensions.iter().any(|one| one.id == spec.id || one.languages.iter().any(|language| language == locale.as_str())) {
        return None;
    }
    drop(all);
    if extensions.find(&context.instance, &install_key(&spec.id)).is_none() {
        let Ok(Begun::Running(own)) = context.app.instances.begin(&context.instance).await else { return None };
        begin_install(context, own, spec.clone()).ok()?;
    }
    extensions.try_now(lease, &spec.id);
    Some(pages::installing(&context.live.config.page, spec.id.as_str(), PATIENCE.as_secs()))
}
