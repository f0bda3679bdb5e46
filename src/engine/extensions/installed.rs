//! What is installed: `extensions.json` of the extensions directory, and the manifest of each.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::view::view;
use crate::model::{ExtensionId, InstalledExtension, MAX_EXTENSION_TEXT};

/// The most bytes of a manifest or of the list; the largest manifest in use has about 2 MB.
const MAX_FILE: u64 = 16 << 20;

/// The most files that are counted for a size: enough for every extension that is one.
const MOST_FILES: usize = 200_000;

/// The most other extensions that one needs, and languages that it brings: the largest packs have about a hundred.
const MOST_NAMES: usize = 256;

/// An extension as the list has it.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) dir: PathBuf,
    /// Changes with every install.
    pub(super) stamp: u64,
    /// Whether it came as a file rather than from a gallery.
    pub(super) from_file: bool,
}

/// How often, and how long in between, a list is read again that is no JSON: the running editor writes it in place.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// The list. A missing one is empty.
///
/// # Errors
/// When it cannot be read, or is not what we know.
pub(super) fn entries(extensions: &Path) -> io::Result<Vec<Entry>> {
    let mut tries = 0;
    let list = loop {
        match read_json(&extensions.join("extensions.json")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) if e.kind() == io::ErrorKind::InvalidData && tries < TRIES => tries += 1,
            other => break other?,
        }
        std::thread::sleep(PAUSE);
    };
    let list = list.as_array().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "extensions.json is no list"))?;
    let entry = |value: &Value| {
        // The path of an older instance may not be where things are now; the name beside it is what counts.
        let name = value["relativeLocation"].as_str().filter(|name| !name.contains('/') && *name != "..");
        let dir = name.map_or_else(|| value["location"]["path"].as_str().map(PathBuf::from), |name| Some(extensions.join(name)));
        Some(Entry {
            id: value["identifier"]["id"].as_str()?.to_owned(),
            version: value["version"].as_str().unwrap_or_default().to_owned(),
            dir: dir?,
            stamp: value["metadata"]["installedTimestamp"].as_u64().unwrap_or(0),
            from_file: value["metadata"]["source"].as_str() == Some("vsix"),
        })
    };
    Ok(list.iter().filter_map(entry).collect())
}

/// Everything that is installed, and what came with the editor.
///
/// # Errors
/// As [`entries`].
pub(super) fn installed(extensions: &Path, built_in: &Path, sizes: bool) -> io::Result<Vec<InstalledExtension>> {
    let mut all: Vec<_> = entries(extensions)?.iter().filter_map(|entry| describe(&entry.dir, false, sizes)).collect();
    let mut theirs: Vec<_> = fs::read_dir(built_in)
        .map(|dir| dir.flatten().filter_map(|entry| describe(&entry.path(), true, sizes)).collect())
        .unwrap_or_default();
    all.sort_by_key(|one: &InstalledExtension| one.id.key());
    theirs.sort_by_key(|one: &InstalledExtension| one.id.key());
    all.extend(theirs);
    Ok(all)
}

/// None when there is no extension in `dir`.
fn describe(dir: &Path, built_in: bool, sizes: bool) -> Option<InstalledExtension> {
    let manifest = read_json(&dir.join("package.json")).ok()?;
    let text = |name: &str| manifest[name].as_str().unwrap_or_default();
    let short = |text: &str| text.chars().take(MAX_EXTENSION_TEXT / 4).collect();
    let id: ExtensionId = format!("{}.{}", text("publisher"), text("name")).parse().ok()?;
    let translated = |text: &str| translate(dir, text);
    let display_name = match text("displayName") {
        "" => text("name").to_owned(),
        name => translated(name),
    };
    let fits = |name: &&str| name.len() <= MAX_EXTENSION_TEXT;
    let names = |field: &str| manifest[field].as_array().into_iter().flatten().filter_map(Value::as_str).filter(fits).map(str::to_owned);
    let languages = manifest["contributes"]["localizations"].as_array().into_iter().flatten();
    Some(InstalledExtension {
        version: short(text("version")),
        display_name: short(&display_name),
        built_in,
        size: sizes.then(|| size(dir)),
        needs: names("extensionDependencies").chain(names("extensionPack")).take(MOST_NAMES).collect(),
        view: Some(view(&manifest)).filter(|view| view.bytes() <= MAX_EXTENSION_TEXT).unwrap_or_default(),
        languages: languages.filter_map(|one| one["languageId"].as_str()).filter(fits).take(MOST_NAMES).map(str::to_lowercase).collect(),
        id,
    })
}

/// `%key%` stands for a text in `package.nls.json`.
fn translate(dir: &Path, text: &str) -> String {
    let Some(key) = text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')) else { return text.to_owned() };
    let texts = read_json(&dir.join("package.nls.json")).unwrap_or_default();
    let found = texts[key].as_str().or_else(|| texts[key]["message"].as_str());
    found.unwrap_or(text).to_owned()
}

/// The bytes of the files below `dir`. Links are not followed: what they lead to is somebody else's.
fn size(dir: &Path) -> u64 {
    let (mut sum, mut files, mut open) = (0u64, 0, vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            files += 1;
            if files > MOST_FILES {
                return sum;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => sum = sum.saturating_add(entry.metadata().map_or(0, |meta| meta.len())),
                _ => {}
            }
        }
    }
    sum
}

/// # Errors
/// When the file cannot be read, is too large, or is no JSON.
pub(super) fn read_json(path: &Path) -> io::Result<Value> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too large"));
    }
    serde_json::from_slice(&text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::ExtensionView;
    use serde_json::json;

    #[test]
    fn what_is_listed_is_described() {
        let dir = tempfile::tempdir().unwrap();
        let (extensions, built_in) = (dir.path().join("e"), dir.path().join("b"));
        assert_eq!(installed(&extensions, &built_in, true).unwrap(), []);
        fs::create_dir_all(extensions.join("pub.one-1.0.0")).unwrap();
        fs::create_dir_all(built_in.join("git")).unwrap();
        let manifest = json!({"publisher": "Pub", "name": "one", "version": "1.0.0", "displayName": "%n%", "extensionPack": ["pub.two"]});
        fs::write(extensions.join("pub.one-1.0.0/package.json"), manifest.to_string()).unwrap();
        fs::write(extensions.join("pub.one-1.0.0/package.nls.json"), r#"{"n": "One"}"#).unwrap();
        fs::write(built_in.join("git/package.json"), r#"{"publisher": "vscode", "name": "git", "version": "1.0.0"}"#).unwrap();
        let list = json!([
            {"identifier": {"id": "pub.one"}, "version": "1.0.0", "relativeLocation": "pub.one-1.0.0"},
            {"identifier": {"id": "pub.gone"}, "version": "1.0.0", "relativeLocation": "pub.gone-1.0.0"},
            {"identifier": {"id": "pub.bad"}, "version": "1.0.0", "relativeLocation": "../b/git"},
            5
        ]);
        fs::write(extensions.join("extensions.json"), list.to_string()).unwrap();
        let all = installed(&extensions, &built_in, true).unwrap();
        let names: Vec<_> = all.iter().map(|one| (one.id.as_str(), one.display_name.as_str(), one.built_in)).collect();
        assert_eq!(names, [("Pub.one", "One", false), ("vscode.git", "git", true)]);
        assert!(all[0].size.unwrap() > 50 && all[0].needs == ["pub.two"]);
        let long = "x".repeat(MAX_EXTENSION_TEXT + 1);
        let manifest = json!({"publisher": "pub", "name": "one", "version": long, "displayName": format!("é{long}"),
            "extensionPack": vec!["pub.two"; 1000], "extensionDependencies": [long],
            "contributes": {"localizations": [{"languageId": long}], "commands": [{"command": long}]}});
        fs::write(extensions.join("pub.one-1.0.0/package.json"), manifest.to_string()).unwrap();
        let one = &installed(&extensions, &built_in, false).unwrap()[0];
        assert_eq!((one.version.len(), one.display_name.len(), one.needs.len()), (256, 257, MOST_NAMES));
        assert!(one.fits());
        assert_eq!((&one.needs[0], one.languages.len(), &one.view), (&"pub.two".to_owned(), 0, &ExtensionView::None));
        fs::write(extensions.join("extensions.json"), "{").unwrap();
        assert!(installed(&extensions, &built_in, false).is_err());
    }
}
