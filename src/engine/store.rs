//! A directory of engines, as everybody reads it. How engines get into it and out of it is in `adding`.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::EngineError;
use super::installed::{Engine, RECORD};

/// A directory of engines. Making the value touches nothing.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) dir: PathBuf,
}

impl Store {
    /// The store at `dir`, which is created by the first add.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The engines that open, newest first: highest version, then latest made. Entries that do not open are logged and left out;
    /// a store that does not exist is empty.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<Engine>, EngineError> {
        let items = match fs::read_dir(&self.dir) {
            Ok(items) => items,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::io("list", &self.dir)(error)),
        };
        let mut engines = Vec::new();
        for item in items {
            let path = item.map_err(EngineError::io("list", &self.dir))?.path();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || !path.join(RECORD).exists() {
                continue;
            }
            match Engine::open(&path) {
                Ok(engine) => engines.push(engine),
                Err(error) => tracing::warn!(%error, "engine left out"),
            }
        }
        engines.sort_by_cached_key(|engine| {
            let record = engine.record();
            let created = record.created.parse::<jiff::Timestamp>().unwrap_or_default();
            std::cmp::Reverse((version_key(&record.product.version), created))
        });
        Ok(engines)
    }

    /// The engine with this id.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], or why it does not open.
    pub fn get(&self, id: &str) -> Result<Engine, EngineError> {
        Engine::open(&self.entry(id)?)
    }

    pub(super) fn entry(&self, id: &str) -> Result<PathBuf, EngineError> {
        check_id(id)?;
        let path = self.dir.join(id);
        if path.join(RECORD).exists() { Ok(path) } else { Err(EngineError::Unknown { id: id.to_owned(), store: self.dir.clone() }) }
    }
}

pub(super) fn check_id(id: &str) -> Result<(), EngineError> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if plain && !id.is_empty() && !id.starts_with('.') && id.len() <= 128 { Ok(()) } else { Err(EngineError::BadId { id: id.to_owned() }) }
}

/// Orders `1.9.0` before `1.100.0`.
pub(crate) fn version_key(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(u64::MAX)).collect()
}
