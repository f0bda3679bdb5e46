//! Holds the imports to the map in `src/lib.rs`: down, never up, never sideways.

#![allow(missing_docs, reason = "the tests' names say it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What each folder may import, besides itself. A new folder has to be written in here, and with that thought about.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sys", &[]),
    ("telemetry", &[]),
    ("config", &["model", "sys", "telemetry"]),
    ("engine", &["model", "sys", "telemetry"]),
    ("proto", &["model", "sys", "telemetry"]),
    ("agent", &["config", "engine", "proto", "model", "sys", "telemetry"]),
    ("broker", &["config", "engine", "proto", "model", "sys", "telemetry"]),
    ("auth", &["config", "engine", "model", "sys", "telemetry"]),
    ("assets", &["config", "engine", "model", "sys", "telemetry"]),
    ("proxy", &["config", "engine", "model", "sys", "telemetry"]),
    ("launch", &["config", "engine", "proto", "model", "sys", "telemetry"]),
    ("instances", &["launch", "config", "engine", "model", "sys", "telemetry"]),
    ("front", &["instances", "launch", "auth", "assets", "proxy", "config", "engine", "model", "sys", "telemetry"]),
    ("cli", &["config", "engine", "model", "sys", "telemetry"]),
    ("run_broker", &["agent", "broker", "config", "telemetry"]),
    ("run", &["front", "cli", "auth", "config", "engine", "model", "sys", "telemetry"]),
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).expect("below src");
            let first = relative.components().next().expect("a name").as_os_str().to_string_lossy();
            let folder = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).expect("a source");
            (folder, path, text)
        })
        .collect()
}

#[test]
fn imports_point_down() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (folder, path, text) in all_sources() {
        if matches!(folder.as_str(), "lib" | "bin" | "build") {
            continue;
        }
        let Some(may) = allowed.get(folder.as_str()) else { panic!("{folder} has no place in the map") };
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for piece in code.split("crate::").skip(1) {
                let target: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if target != folder && !may.contains(&target.as_str()) {
                    wrong.push(format!("{}:{}: {folder} imports {target}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_only_in_sys() {
    for (folder, path, text) in all_sources() {
        if folder != "sys" {
            assert!(!text.contains("unsafe {") && !text.contains("allow(unsafe_code"), "{}", path.display());
        }
    }
}

#[test]
fn files_stay_small() {
    for (_, path, text) in all_sources() {
        assert!(text.lines().count() <= 400, "{} wants to be split", path.display());
    }
}
