//! The files of a configuration: one, and those of the directory `conf.d` beside it, which say more or say otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::{known, raw};

/// The directory beside the configuration file. Its `*.toml` are read in the order of their names.
const MORE: &str = "conf.d";

/// What the files say together, before any value is checked. Holds hashes of passwords: it is not shown.
#[derive(Clone, Default, PartialEq)]
pub struct Written(toml::Table);

impl std::fmt::Debug for Written {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Written(…)")
    }
}

/// Reads `path` and what is in `conf.d` beside it. A table adds to the same table of an earlier file, whatever else replaces what
/// an earlier file said.
pub(super) fn read(path: &Path) -> Result<Written, ConfigError> {
    more(path, one(path)?)
}

/// The same, where `path` itself may be missing.
pub(super) fn read_if_there(path: &Path) -> Result<Written, ConfigError> {
    match one(path) {
        Err(ConfigError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => more(path, toml::Table::new()),
        other => more(path, other?),
    }
}

impl Written {
    /// The same as sections and keys.
    pub(super) fn file(&self, path: &Path) -> Result<raw::File, ConfigError> {
        self.0.clone().try_into().map_err(|e: toml::de::Error| ConfigError::Parse { path: path.to_owned(), message: e.to_string() })
    }

    /// The keys whose values differ between the two, as `section.key`, sorted.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("", &self.0, &other.0, &mut found);
        found.sort();
        found
    }
}

/// Those of `changes` that an instance takes up when it is started the next time.
pub fn at_next_start(changes: &[String]) -> Vec<&str> {
    const KEYS: [&str; 8] = ["ksm", "open_files", "run_time", "network", "root_directory", "root_image", "devices", "mounts"];
    let waits = |path: &&str| match path.split_once('.') {
        Some(("class" | "instance", rest)) => rest.rsplit_once('.').is_none_or(|(_, key)| KEYS.contains(&key)),
        Some((section, _)) => ["network", "accounts"].contains(&section),
        None => ["network", "accounts"].contains(path),
    };
    changes.iter().map(String::as_str).filter(waits).collect()
}

fn compare(prefix: &str, old: &toml::Table, new: &toml::Table, found: &mut Vec<String>) {
    let nothing = toml::Table::new();
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let table = |value: Option<&toml::Value>| value.is_none_or(toml::Value::is_table);
        match (old.get(name), new.get(name)) {
            (old, new) if old == new => {}
            // A section that is not there is as good as an empty one.
            (old, new) if table(old) && table(new) => {
                let inner = |value: Option<&toml::Value>| value.and_then(toml::Value::as_table).unwrap_or(&nothing).clone();
                compare(&path, &inner(old), &inner(new), found);
            }
            _ => found.push(path),
        }
    }
}

fn one(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    // Each file by itself, for the sake of the line in the message.
    toml::from_str::<raw::File>(&text).and_then(|_| toml::from_str(&text)).map_err(|e| {
        let mut message = e.to_string().trim_end().to_owned();
        if let Some(hint) = known::hint(e.message()) {
            message = format!("{message}\n{hint}");
        }
        ConfigError::Parse { path: path.to_owned(), message }
    })
}

fn more(path: &Path, mut table: toml::Table) -> Result<Written, ConfigError> {
    for path in beside(path)? {
        merge(&mut table, one(&path)?);
    }
    Ok(Written(table))
}

fn beside(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let dir = path.with_file_name(MORE);
    let failed = |source| ConfigError::Read { path: dir.clone(), source };
    let items = match fs::read_dir(&dir) {
        Ok(items) => items,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = items.map(|item| item.map(|item| item.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    // Editors' and package managers' leftovers end otherwise, or begin with a dot.
    paths.retain(|path| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    });
    paths.sort();
    Ok(paths)
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
