//! The files of an instance's scopes, and room for one more.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::error::RoamingError;
use super::{MAX_FILES_BYTES, MAX_SCOPES, failed, file};

/// Removes folders' scopes, those not changed for longest first, until a file of `bytes` has room.
pub(super) fn make_room(dir: &Path, path: &Path, bytes: u64) -> Result<(), RoamingError> {
    let mut others: Vec<_> = files(dir).into_iter().filter(|(other, ..)| other != path).collect();
    let fits = |others: &[(PathBuf, u64, std::time::SystemTime)]| {
        others.len() < MAX_SCOPES && others.iter().map(|(_, bytes, _)| bytes).sum::<u64>() + bytes <= MAX_FILES_BYTES
    };
    others.sort_by_key(|(path, _, changed)| (file::is_kind(path, file::FOLDER), std::cmp::Reverse(*changed)));
    while !fits(&others) {
        match others.pop() {
            Some((oldest, ..)) if file::is_kind(&oldest, file::FOLDER) => {
                tracing::info!("{} gives way to newer state", oldest.display());
                fs::remove_file(&oldest).map_err(failed("remove", &oldest))?;
            }
            _ => return Err(RoamingError::TooLarge("the state of this instance")),
        }
    }
    Ok(())
}

/// The files of scopes in a directory, with size and time of the last change.
pub(super) fn files(dir: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let read = entries.flatten().filter_map(|entry| {
        let (path, meta) = (entry.path(), entry.metadata().ok()?);
        let is_scope = path.extension().is_none() && file::is_any_kind(&path);
        is_scope.then(|| (path, meta.len(), meta.modified().unwrap_or(std::time::UNIX_EPOCH)))
    });
    read.collect()
}
