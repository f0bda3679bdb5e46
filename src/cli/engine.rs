//! `hoody-code engine …`: the store of engines.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::EngineCommand;
use crate::engine::{AddOptions, Engine, EngineError, Progress, SYSTEM_DIR, Store, Tree, cache_dir};

/// What is there on a host with an installed service, for its operators to see.
const INSTALLED: &str = "/etc/hoody-code/config.toml";

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    version: &'a str,
    commit: &'a str,
    path: String,
}

impl<'a> Row<'a> {
    fn of(engine: &'a Engine) -> Self {
        let product = engine.product();
        Self { id: engine.id(), version: &product.version, commit: &product.commit, path: engine.dir().display().to_string() }
    }
}

/// Carries out one command; prints to standard output, progress to standard error.
///
/// # Errors
/// As the store says.
pub fn run(command: &EngineCommand) -> Result<(), EngineError> {
    if let Some(line) = elsewhere(command, Path::new(INSTALLED)) {
        eprintln!("hoody-code: {line}");
    }
    match command {
        EngineCommand::Add { path, node, id, move_tree, json, store } => {
            let tree = Tree::discover(path, node.as_deref())?;
            let options = AddOptions { id: id.clone(), move_tree: *move_tree, ..AddOptions::default() };
            let mut shown = Shown::default();
            let engine = open(store).add(&tree, &options, &mut |progress| shown.show(progress))?;
            shown.end();
            if *json { say_json(&Row::of(&engine)) } else { say(engine.id()) }
        }
        EngineCommand::List { json, store } => {
            let store = open(store);
            let engines = store.list()?;
            if engines.is_empty() && !json {
                eprintln!("hoody-code: no engine in {}", store.dir().display());
            }
            let rows: Vec<Row<'_>> = engines.iter().map(Row::of).collect();
            if *json {
                say_json(&rows);
            } else {
                for row in rows {
                    say(&format!("{:<40} {:<12} {}", row.id, row.version, row.path));
                }
            }
        }
        EngineCommand::Remove { id, json, store } => {
            open(store).remove(id)?;
            if *json {
                say_json(&serde_json::json!({ "id": id, "removed": true }));
            }
        }
    }
    Ok(())
}

/// What an operator has to know who leaves `--store` out where there is a service, whose engines are not in anybody's cache.
fn elsewhere(command: &EngineCommand, installed: &Path) -> Option<String> {
    let (EngineCommand::Add { store, .. } | EngineCommand::List { store, .. } | EngineCommand::Remove { store, .. }) = command;
    let own = store.is_none() && installed.exists();
    own.then(|| format!("note: this is about {}; the engines of the installed service are in --store {SYSTEM_DIR}", cache_dir().display()))
}

fn open(dir: &Option<PathBuf>) -> Store {
    Store::new(dir.clone().unwrap_or_else(cache_dir))
}

/// Standard output may be a closed pipe (`| head`): that is no reason to panic.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn say_json(value: &impl Serialize) {
    say(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Progress for people: one line that moves on a terminal, one line per step elsewhere.
#[derive(Default)]
struct Shown {
    last: String,
}

impl Shown {
    fn show(&mut self, progress: Progress) {
        let line = match progress {
            Progress::Waiting => "waiting for another installation to finish".to_owned(),
            Progress::Copying => "copying files".to_owned(),
            Progress::Packing { done, total } => {
                // In steps of ten where lines pile up.
                let percent = done.saturating_mul(100) / total.max(1);
                let step = if std::io::stderr().is_terminal() { 1 } else { 10 };
                format!("compressing static files: {} %", percent / step * step)
            }
            Progress::Warming => "filling the compile cache".to_owned(),
            Progress::Finishing => "finishing".to_owned(),
        };
        if line == self.last {
            return;
        }
        let mut err = std::io::stderr();
        let _ = if err.is_terminal() { write!(err, "\r\x1b[K  {line}") } else { writeln!(err, "  {line}") };
        self.last = line;
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_service_is_told_where_its_engines_are() {
        let list = |store: Option<&str>| EngineCommand::List { json: false, store: store.map(PathBuf::from) };
        let (there, not_there) = (Path::new("/"), Path::new("/nowhere"));
        assert!(elsewhere(&list(None), there).is_some_and(|line| line.ends_with("--store /usr/lib/hoody-code/engines")));
        assert_eq!(elsewhere(&list(None), not_there), None);
        assert_eq!(elsewhere(&list(Some("/x")), there), None);
    }
}
