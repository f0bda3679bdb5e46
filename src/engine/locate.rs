//! Which engine a daemon uses, when it is not told exactly.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::EngineError;
use super::installed::{Engine, RECORD};
use super::layout;
use super::store::Store;

/// Where packages install engines.
pub const SYSTEM_DIR: &str = "/usr/lib/hoody-code/engines";
/// Names an entry or a store, like `--engine`.
pub const VARIABLE: &str = "HOODY_CODE_ENGINE";

/// Where `engine add` puts engines of an unprivileged user: `$XDG_CACHE_HOME/hoody-code/engines`, or the same below
/// `~/.cache`. A process with neither variable gets [`SYSTEM_DIR`].
pub fn cache_dir() -> PathBuf {
    cache_dir_from(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
}

fn cache_dir_from(xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    // The XDG specification says that relative paths are to be ignored.
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute(xdg).or_else(|| absolute(home).map(|home| home.join(".cache")));
    cache.map_or_else(|| PathBuf::from(SYSTEM_DIR), |cache| cache.join("hoody-code/engines"))
}

/// The engine to use: `explicit` (an entry, or a store and then its newest), else `HOODY_CODE_ENGINE` (same), else the
/// newest of [`SYSTEM_DIR`], else the newest of [`cache_dir`]. Highest version is newest, then latest made.
///
/// # Errors
/// A place that was named and holds no engine is an error, never a reason to look further. Otherwise
/// [`EngineError::NotFound`] with all places looked at and the next step.
pub fn locate(explicit: Option<&Path>) -> Result<Engine, EngineError> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    locate_in(explicit, variable.as_deref(), &[PathBuf::from(SYSTEM_DIR), cache_dir()])
}

pub(crate) fn locate_in(explicit: Option<&Path>, variable: Option<&Path>, fallbacks: &[PathBuf]) -> Result<Engine, EngineError> {
    if let Some(path) = explicit {
        return named(path, "--engine or configuration");
    }
    if let Some(path) = variable {
        return named(path, VARIABLE);
    }
    let found = fallbacks.iter().find_map(|dir| newest(dir));
    found.ok_or_else(|| EngineError::NotFound {
        looked: fallbacks.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

fn named(path: &Path, origin: &'static str) -> Result<Engine, EngineError> {
    if path.join(RECORD).exists() {
        return Engine::open(path);
    }
    if layout::is_tree(path) || layout::is_tree(&path.join("lib/vscode")) {
        return Err(EngineError::RawTree { path: path.to_owned() });
    }
    newest(path).ok_or_else(|| EngineError::Empty { path: path.to_owned(), origin })
}

fn newest(dir: &Path) -> Option<Engine> {
    Store::new(dir).list().ok()?.into_iter().find(|engine| !engine.is_retired())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_dir_prefers_absolute_xdg_then_home() {
        let some = |value: &str| Some(OsString::from(value));
        assert_eq!(cache_dir_from(some("/x"), some("/h")), Path::new("/x/hoody-code/engines"));
        assert_eq!(cache_dir_from(some("relative"), some("/h")), Path::new("/h/.cache/hoody-code/engines"));
        assert_eq!(cache_dir_from(None, None), Path::new(SYSTEM_DIR));
    }

    #[test]
    fn nothing_anywhere_names_places_and_next_step() {
        let error = locate_in(None, None, &["/nowhere/a".into(), "/nowhere/b".into()]).expect_err("found").to_string();
        assert!(error.contains("/nowhere/a, /nowhere/b") && error.contains("hoody-code engine add"), "{error}");
    }

    #[test]
    fn a_named_place_is_never_passed_over() {
        let error = locate_in(None, Some(Path::new("/nowhere")), &[]).expect_err("found").to_string();
        assert!(error.contains(VARIABLE), "{error}");
    }
}
