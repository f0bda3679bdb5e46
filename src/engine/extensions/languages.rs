//! `languagepacks.json`, by which the engine finds the texts of a display language. The running editor keeps it; the engine's
//! command line does not (coder/code-server#4735), so it is written here after a job that may have changed it.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::installed::{entries, read_json};
use crate::sys;

/// Writes the list anew from what is installed. One that says the same already is left alone.
///
/// # Errors
/// When the list of extensions cannot be read or the file not be written.
pub(super) fn refresh(extensions: &Path, user_data: &Path) -> io::Result<()> {
    let mut packs = Map::new();
    for entry in entries(extensions)? {
        let Ok(manifest) = read_json(&entry.dir.join("package.json")) else { continue };
        for localization in manifest["contributes"]["localizations"].as_array().into_iter().flatten() {
            let Some(language) = localization["languageId"].as_str() else { continue };
            let translations: Map<String, Value> = localization["translations"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| {
                    Some((one["id"].as_str()?.to_owned(), entry.dir.join(one["path"].as_str()?).display().to_string().into()))
                })
                .collect();
            if translations.is_empty() {
                continue;
            }
            let label = localization["localizedLanguageName"].as_str().or_else(|| localization["languageName"].as_str());
            packs.insert(
                language.to_owned(),
                json!({
                    // Names a cache of merged texts: another version, another name.
                    "hash": format!("{}-{}-{}", entry.id, entry.version, entry.stamp),
                    "label": label,
                    "extensions": [{"extensionIdentifier": {"id": entry.id}, "version": entry.version}],
                    "translations": translations,
                }),
            );
        }
    }
    let path = user_data.join("languagepacks.json");
    let known = read_json(&path).unwrap_or_else(|_| json!({}));
    let same = |known: &Value| {
        let map = known.as_object();
        map.is_some_and(|map| {
            map.len() == packs.len()
                && packs.iter().all(|(name, pack)| {
                    map.get(name).is_some_and(|old| {
                        old["extensions"][0]["version"] == pack["extensions"][0]["version"] && old["translations"] == pack["translations"]
                    })
                })
        })
    };
    if same(&known) {
        return Ok(());
    }
    sys::write_atomic(&path, Value::Object(packs).to_string().as_bytes())
}
